#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coracle_packager::fuzz::manifest(data));
