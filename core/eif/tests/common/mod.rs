//! A small image, as the writer makes it.

use caution_eif::{HeaderOptions, Metadata, Writer, Written};
use std::io::{Cursor, Write as _};

/// Kernel, command line and two ramdisks, the second of which is larger than any buffer.
pub(crate) fn parts() -> (Vec<u8>, &'static str, Vec<u8>, Vec<u8>) {
    let pattern =
        |length: usize, seed: usize| (0..length).map(move |i| (i * 31 + i / 251 + seed).to_le_bytes()[0]);
    let application = pattern(2_500_001, 3).collect();
    (pattern(5000, 1).collect(), "reboot=k panic=1", pattern(700, 2).collect(), application)
}

/// The image of [`parts`]: header, metadata and ramdisk 1 included.
pub(crate) fn sample() -> (Vec<u8>, Written) {
    let (kernel, cmdline, enclave_os, application) = parts();
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).expect(IN_MEMORY);
    writer.kernel(kernel.as_slice()).expect(IN_MEMORY);
    writer.cmdline(cmdline).expect(IN_MEMORY);
    writer.metadata(&Metadata::new("6.12.1")).expect(IN_MEMORY);
    writer.ramdisk(enclave_os.as_slice()).expect(IN_MEMORY);
    let mut section = writer.ramdisk_writer().expect(IN_MEMORY);
    for piece in application.chunks(300_000) {
        section.write_all(piece).expect(IN_MEMORY);
    }
    section.finish().expect(IN_MEMORY);
    let (file, written) = writer.finish().expect(IN_MEMORY);
    (file.into_inner(), written)
}

const IN_MEMORY: &str = "parts in order, written to memory";
