#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut reader = caution_rootfs::cpio::Reader::new(data);
    while let Ok(Some(_)) = reader.next_entry() {}
});
