#![no_main]
use caution_rootfs::oci::Document;
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Document::ALL.map(|document| document.check(data, &caution_fuzz::limits()));
});
