#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soundpost_testsuite::oracles::pulse(data));
