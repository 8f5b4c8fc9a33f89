#![no_main]
libfuzzer_sys::fuzz_target!(|data: &str| {
    let _ = caution_measure::Measurements::from_text(data);
});
