#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = caution_attest::Evidence::parse(data);
});
