#![no_main]
libfuzzer_sys::fuzz_target!(|data: &str| {
    let _ = caution_measure::ImagePcrs::from_text(data);
});
