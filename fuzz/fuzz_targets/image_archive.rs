#![no_main]
//! An image as one file, as an engine saves it: its documents, then its layers, compressed or not.
use caution_fuzz::{limits, mend_checksums};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::io::Write as _;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("there is a folder for temporary files");
    file.write_all(data).expect("and room in it");
    let image = caution_rootfs::oci::open(file.path(), &limits());
    let _ = image.map(|image| caution_rootfs::merge(&image, &limits(), &std::env::temp_dir(), None));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    mend_checksums(&mut data[..size]);
    size
});
