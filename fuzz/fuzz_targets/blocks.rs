//! Blocks of a sealed file: no bytes panic, and memory stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| indelible_server::fuzzing::block(bytes));
