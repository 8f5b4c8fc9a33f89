#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = caution_abi::nsm::Response::from_bytes(data);
    let _ = caution_abi::nsm::document_time_ms(data);
});
