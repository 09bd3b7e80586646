//! The agent on journals in bad company: it does not panic or hang, loses nothing that was written by the rules, and its trail verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    indelible_server::fuzzing::ingest(folder.path(), script);
});
