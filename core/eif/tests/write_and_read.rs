//! What the writer makes, the reader reads; and what it is made of is what `specs/eif.md` says.

mod common;

use SectionKind::{Cmdline, Kernel, Ramdisk};
use caution_eif::{
    Arch, EifError, Header, HeaderOptions, Limits, Metadata, SectionKind, Writer, read, read_with,
};
use caution_measure::{Measurements, Pcr, PcrHasher, Sha256Digest};
use common::{parts, sample};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

fn pcr(parts: &[&[u8]]) -> Pcr {
    let mut hasher = PcrHasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

#[test]
fn reading_gives_what_was_written() {
    let (file, written) = sample();
    let image = read(file.as_slice(), &Limits::default()).unwrap();
    let (kernel, cmdline, enclave_os, application) = parts();
    assert_eq!(image.sections, written.sections);
    assert_eq!(image.measurements, written.measurements);
    assert_eq!(
        written.measurements,
        Measurements {
            pcr0: pcr(&[&kernel, cmdline.as_bytes(), &enclave_os, &application]),
            pcr1: pcr(&[&kernel, cmdline.as_bytes(), &enclave_os]),
            pcr2: pcr(&[&application]),
        }
    );
    assert_eq!((image.sha256, image.size), (written.sha256, written.size));
    assert_eq!((written.sha256, written.size), (Sha256Digest::of(&file), file.len() as u64));
    assert_eq!(image.cmdline, cmdline);
    assert_eq!(image.metadata, Some(Metadata::new("6.12.1").to_json()));
    assert!(!image.has_signature());
    assert_eq!((image.header.version, image.header.options.arch), (4, Arch::X86_64));
    let kinds: Vec<_> = image.sections.iter().map(|section| section.kind).collect();
    assert_eq!(kinds, [Kernel, Cmdline, SectionKind::Metadata, Ramdisk, Ramdisk]);
    let registers: Vec<_> = image.measured_sections().map(|(_, registers)| registers).collect();
    assert_eq!(registers, [&[0, 1][..], &[0, 1], &[], &[0, 1], &[0, 2]]);
    for (section, content) in image.sections_of(Ramdisk).zip([enclave_os, application]) {
        let start = usize::try_from(section.data_offset).unwrap();
        assert!(file[start..][..content.len()] == content && section.size == content.len() as u64);
    }
}

#[test]
fn sections_can_be_taken_out_while_reading() {
    let (file, _) = sample();
    let mut taken = Vec::new();
    let image = read_with(file.as_slice(), &Limits::default(), |section, content| {
        if section.kind == Ramdisk {
            taken.extend_from_slice(content);
        }
        Ok(())
    })
    .unwrap();
    let (_, _, enclave_os, application) = parts();
    assert!(taken == [enclave_os, application].concat());
    assert_eq!(image.sections.len(), 5);
    let full = read_with(file.as_slice(), &Limits::default(), |_, _| Err(io::ErrorKind::StorageFull.into()));
    assert!(matches!(full, Err(EifError::Io { .. })));
}

#[test]
fn the_same_parts_give_the_same_bytes_however_they_arrive() {
    /// Gives one byte, then two, then three …
    struct Trickle<'a>(&'a [u8], usize);
    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            let n = self.1.min(buffer.len()).min(self.0.len());
            self.0.read(&mut buffer[..n])
        }
    }
    let (file, written) = sample();
    let (kernel, cmdline, enclave_os, application) = parts();
    let mut out = tempfile();
    out.write_all(b"left over from an earlier attempt").unwrap();
    let mut writer = Writer::new(out, HeaderOptions::default()).unwrap();
    writer.kernel(Trickle(&kernel, 0)).unwrap();
    writer.cmdline(cmdline).unwrap();
    writer.metadata(&Metadata::new("6.12.1")).unwrap();
    writer.ramdisk(Trickle(&enclave_os, 0)).unwrap();
    writer.ramdisk(Trickle(&application, 0)).unwrap();
    let (out, again) = writer.finish().unwrap();
    assert_eq!(again, written);
    assert!(out.into_inner() == file);
    let image = read(Trickle(&file, 0), &Limits::default()).unwrap();
    assert_eq!(image.sha256, written.sha256);
}

fn tempfile() -> Cursor<Vec<u8>> {
    Cursor::new(Vec::new())
}

#[test]
fn one_ramdisk_leaves_the_application_register_empty() {
    let mut writer = Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    writer.kernel(&b"k"[..]).unwrap();
    writer.cmdline("").unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    writer.ramdisk(&b"r"[..]).unwrap();
    let (_, written) = writer.finish().unwrap();
    assert_eq!(written.measurements.pcr0, written.measurements.pcr1);
    assert_eq!(written.measurements.pcr2, Pcr::EMPTY);
}

#[test]
fn header_and_metadata_are_not_measured_and_architecture_is_a_flag() {
    let make = |options, kernel_version: &str| {
        let mut writer = Writer::new(tempfile(), options).unwrap();
        writer.kernel(&b"k"[..]).unwrap();
        writer.cmdline("c").unwrap();
        writer.metadata(&Metadata::new(kernel_version)).unwrap();
        writer.ramdisk(&b"r"[..]).unwrap();
        let (file, written) = writer.finish().unwrap();
        (file.into_inner(), written)
    };
    let (_, x86) = make(HeaderOptions::default(), "1");
    let other = HeaderOptions { arch: Arch::Aarch64, default_mem: 7, default_cpus: 9 };
    let (file, arm) = make(other, "2");
    assert_eq!(x86.measurements, arm.measurements);
    assert_ne!(x86.sha256, arm.sha256);
    assert_eq!(file[..8], *b".eif\0\x04\0\x01");
    assert_eq!(read(file.as_slice(), &Limits::default()).unwrap().header.options, other);
}

#[test]
fn metadata_says_nothing_about_the_building_machine() {
    let json = String::from_utf8(Metadata::new("6.12.1").to_json()).unwrap();
    assert_eq!(
        json,
        r#"{"ImageName":"caution-enclave","ImageVersion":"1","BuildMetadata":{"BuildTime":"1970-01-01T00:00:00+00:00","BuildTool":"caution","BuildToolVersion":"1","OperatingSystem":"Linux","KernelVersion":"6.12.1"},"DockerInfo":null,"CustomMetadata":null}"#
    );
}

#[test]
fn parts_out_of_order_are_refused() {
    let new = || Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    let order = |result| assert!(matches!(result, Err(EifError::WriteOrder { .. })));
    order(new().cmdline("c"));
    order(new().ramdisk(&b""[..]).map(drop));
    let mut writer = new();
    writer.kernel(&b"k"[..]).unwrap();
    order(writer.kernel(&b"k"[..]).map(drop));
    order(writer.metadata(&Metadata::default()));
    writer.cmdline("c").unwrap();
    order(writer.ramdisk(&b"r"[..]).map(drop));
    writer.metadata(&Metadata::default()).unwrap();
    order(writer.metadata(&Metadata::default()));
    for _ in 0..Header::MAX_SECTIONS - 3 {
        writer.ramdisk(&b""[..]).unwrap();
    }
    order(writer.ramdisk(&b""[..]).map(drop));
    assert_eq!(writer.finish().unwrap().1.sections.len(), Header::MAX_SECTIONS);
}

#[test]
fn unfinished_images_are_refused() {
    let unfinished = |writer: Writer<_>| {
        assert!(matches!(writer.finish(), Err(EifError::Unfinished { .. })));
    };
    let mut writer = Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    writer.kernel(&b"k"[..]).unwrap();
    writer.cmdline("c").unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    unfinished(writer);
    unfinished(Writer::new(tempfile(), HeaderOptions::default()).unwrap());
    // A section that was begun and dropped poisons the image, though a whole one came before.
    let mut writer = Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    writer.kernel(&b"k"[..]).unwrap();
    writer.cmdline("c").unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    writer.ramdisk(&b"r"[..]).unwrap();
    writer.ramdisk_writer().unwrap().write_all(b"half").unwrap();
    assert!(matches!(writer.ramdisk(&b"r"[..]), Err(EifError::WriteOrder { .. })));
    unfinished(writer);
}

#[test]
fn empty_kernels_and_nul_in_the_command_line_are_refused() {
    let mut writer = Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    assert!(matches!(writer.kernel(&b""[..]), Err(EifError::EmptyKernel)));
    let mut writer = Writer::new(tempfile(), HeaderOptions::default()).unwrap();
    writer.kernel(&b"k"[..]).unwrap();
    assert!(matches!(writer.cmdline("a\0"), Err(EifError::CmdlineText { position: 1, byte: 0 })));
}

/// A disk that loses a bit.
struct Forgetful(Cursor<Vec<u8>>);

impl Write for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut()[600] ^= 1;
        Ok(())
    }
}

impl Seek for Forgetful {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Read for Forgetful {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

#[test]
fn a_file_that_reads_back_differently_is_noticed() {
    let mut writer = Writer::new(Forgetful(tempfile()), HeaderOptions::default()).unwrap();
    writer.kernel(&[7; 100][..]).unwrap();
    writer.cmdline("c").unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    writer.ramdisk(&b"r"[..]).unwrap();
    assert!(matches!(writer.finish(), Err(EifError::ReadBack { .. })));
}
