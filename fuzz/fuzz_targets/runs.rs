//! Runs of the search index: no bytes panic, and nothing is found that the run does not have.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| indelible_server::fuzzing::run(bytes));
