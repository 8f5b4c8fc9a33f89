#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (archived, expected) = Default::default();
    let _ = caution_attest::Evidence::parse(data)
        .map(|e| e.verify_archived(&caution_attest::Roots::aws(), &archived, &expected));
});
