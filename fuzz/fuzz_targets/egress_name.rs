#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| caution_fuzz::egress_name(data));
