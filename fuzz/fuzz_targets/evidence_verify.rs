#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let policy = caution_attest::Policy::at(caution_attest::UnixMillis(1_725_719_859_545));
    let _ = caution_attest::Evidence::parse(data).map(|e| e.verify(&caution_attest::Roots::aws(), &policy));
});
