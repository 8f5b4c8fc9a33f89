#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = caution_abi::seal::Seal::from_bytes(data);
});
