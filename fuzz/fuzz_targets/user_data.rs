#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = caution_abi::evidence::UserData::from_bytes(data);
});
