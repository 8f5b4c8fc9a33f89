#![no_main]
//! Archives one after another, compressed or not, with all their content.
use caution_compare::{Budget, Ramdisk};
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut ramdisk = Ramdisk::new(data, Budget::new(&caution_fuzz::limits()));
    while let Ok(Some(_)) = ramdisk.next_entry() {
        let _ = std::io::copy(&mut ramdisk, &mut std::io::sink());
    }
});
