//! See the module of this name.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| real_streaming_fuzz::log::check(data));
