#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = caution_abi::boot_plan::BootPlan::from_bytes(data);
});
