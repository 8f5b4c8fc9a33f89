#![no_main]
//! The same archive as two layers, so that what hides and replaces has something below it.
use caution_fuzz::{limits, mend_checksums};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    if let Ok(tree) = caution_rootfs::merge_archives(&[data, data], &limits(), &std::env::temp_dir()) {
        let _ = caution_rootfs::resolve_user(&tree, "app");
        let archive = tree.write_cpio("rootfs", &[], Vec::new()).expect("whatever merges can be written");
        let mut reader = caution_rootfs::cpio::Reader::new(archive.as_slice());
        while reader.next_entry().expect("whatever is written can be read").is_some() {}
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    mend_checksums(&mut data[..size]);
    size
});
