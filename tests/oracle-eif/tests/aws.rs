//! PCRs, checksum and metadata of our images, as the AWS crate sees them; and of its images, as we do.

use aws_nitro_enclaves_image_format::defs::{EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{EifBuilder, PcrSignatureChecker, SignKeyData};
use caution_eif::{Arch, HeaderOptions, Limits, Metadata, Signer, Writer, Written, read};
use caution_measure::Measurements;
use caution_rootfs::cpio::{self, Entry, EntryKind};
use caution_rootfs::gzip::GzipWriter;
use sha2::Sha384;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const CMDLINE: &str = "reboot=k panic=1 pci=off nomodules console=ttyS0";

struct Parts {
    kernel: Vec<u8>,
    ramdisks: Vec<Vec<u8>>,
}

fn parts(ramdisks: usize) -> Parts {
    let noise = |length: usize, seed: usize| {
        (0..length).map(move |i| (i.wrapping_mul(i) / 7 + i * 31 + seed).to_le_bytes()[0]).collect()
    };
    Parts {
        kernel: noise(300_000, 1),
        ramdisks: (0..ramdisks).map(|n| noise(400_000 + n * 1_500_000, n)).collect(),
    }
}

/// Our image of these parts, in a file.
fn ours(parts: &Parts, signer: Option<&Signer>, path: &Path) -> Written {
    let mut writer = Writer::new(new_file(path), HeaderOptions::default()).unwrap();
    writer.kernel(parts.kernel.as_slice()).unwrap();
    writer.cmdline(CMDLINE).unwrap();
    writer.metadata(&Metadata::new("6.12.1")).unwrap();
    for ramdisk in &parts.ramdisks {
        writer.ramdisk(ramdisk.as_slice()).unwrap();
    }
    if let Some(signer) = signer {
        writer.sign(signer).unwrap();
    }
    writer.finish().unwrap().1
}

/// The AWS builder's image of these parts, in `aws.eif` of a folder, and the registers it computes.
fn theirs(
    parts: &Parts,
    signer: Option<SignKeyData>,
    arch: u16,
    metadata: EifIdentityInfo,
    folder: &Path,
) -> BTreeMap<String, String> {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("kernel"), &parts.kernel).unwrap();
    let hasher = <Sha384 as sha2::Digest>::new();
    let mut builder = EifBuilder::new(&at("kernel"), CMDLINE.to_owned(), signer, hasher, arch, metadata);
    for (number, ramdisk) in parts.ramdisks.iter().enumerate() {
        let path = at(&format!("ramdisk{number}"));
        std::fs::write(&path, ramdisk).unwrap();
        builder.add_ramdisk(&path);
    }
    builder.write_to(&mut new_file(&at("aws.eif")))
}

/// Builds examples/hello in a folder and returns what the program said of it.
fn build_hello(folder: &Path) -> serde_json::Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program =
        std::env::var_os("CAUTION_BIN").map_or_else(|| root.join("target/release/caution"), PathBuf::from);
    assert!(program.is_file(), "{} is missing. Run `make build`, or `make test`.", program.display());
    let script = "cp -r \"$0/.\" . && git init -q && git add -A -- . ':!eif-stage' ':!.caution' &&
        git -c user.name=test -c user.email=test@localhost -c commit.gpgSign=false commit -qm hello &&
        exec \"$1\" apps build --json";
    let output = Command::new("sh")
        .args(["-c", script])
        .args([&root.join("examples/hello"), &program])
        .current_dir(folder)
        .output()
        .unwrap();
    // What is missing, EnclaveOS or a base image, is named with the command that makes it.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn new_file(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}

/// A file of `core/eif/tests/signer`.
fn signer_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/eif/tests/signer").join(name)
}

fn signer(key: &str, certificate: &str) -> Signer {
    let read = |name| std::fs::read(signer_file(name)).unwrap();
    Signer::from_pem(&read(key), &read(certificate)).unwrap()
}

fn assert_same(measurements: &Measurements, aws: &BTreeMap<String, String>) {
    for (register, pcr) in measurements.iter() {
        assert_eq!(pcr.to_string(), aws[&register.to_string()], "{register}");
    }
}

fn aws_reader(path: &Path) -> EifReader {
    EifReader::from_eif(path.display().to_string()).unwrap()
}

#[test]
fn the_aws_reader_measures_our_images_as_we_do() {
    let folder = tempfile::tempdir().unwrap();
    for ramdisks in [1, 2, 3] {
        let path = folder.path().join("ours.eif");
        let written = ours(&parts(ramdisks), None, &path);
        let mut reader = aws_reader(&path);
        assert!(reader.check_crc());
        assert_same(&written.measurements, &reader.get_measurements().unwrap());
        let metadata = reader.get_metadata().unwrap();
        assert_eq!(metadata.build_info.img_kernel, "6.12.1");
        assert_eq!(metadata.build_info.build_time, "1970-01-01T00:00:00+00:00");
        let header = reader.get_header();
        assert_eq!((header.default_mem, header.default_cpus, header.version), (1 << 30, 2, 4));
        assert_eq!(usize::from(header.num_sections), 3 + ramdisks);
    }
}

#[test]
fn the_aws_builder_and_ours_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    for ramdisks in [1, 2] {
        let parts = parts(ramdisks);
        let written = ours(&parts, None, &at("ours.eif"));
        let metadata: EifIdentityInfo = serde_json::from_slice(&Metadata::new("6.12.1").to_json()).unwrap();
        let EifBuildInfo { build_tool, .. } = &metadata.build_info;
        assert_eq!(build_tool, "caution");
        let pcrs = theirs(&parts, None, 0, metadata, folder.path());
        assert_same(&written.measurements, &pcrs);
        assert!(std::fs::read(at("aws.eif")).unwrap() == std::fs::read(at("ours.eif")).unwrap());
    }
}

#[test]
fn we_measure_an_image_of_the_aws_builder_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut metadata: EifIdentityInfo = serde_json::from_slice(&Metadata::default().to_json()).unwrap();
    metadata.custom_info = serde_json::json!({"any": ["thing"]});
    let arm = aws_nitro_enclaves_image_format::defs::EIF_HDR_ARCH_ARM64;
    let pcrs = theirs(&parts(2), None, arm, metadata, folder.path());
    let image = read(File::open(folder.path().join("aws.eif")).unwrap(), &Limits::default()).unwrap();
    assert_same(&image.measurements, &pcrs);
    assert_eq!(image.cmdline, CMDLINE);
    assert_eq!(image.header.options.arch, Arch::Aarch64);
}

/// Not a stand-in: what `caution apps build` makes of examples/hello, on the EnclaveOS that boots.
#[test]
fn the_aws_reader_measures_hello_as_the_build_says() {
    let folder = tempfile::tempdir().unwrap();
    let built = build_hello(folder.path());
    let eif = folder.path().join("eif-stage/output/enclave.eif");
    let mut reader = aws_reader(&eif);
    assert!(reader.check_crc());
    let theirs = reader.get_measurements().unwrap();
    for pcr in ["PCR0", "PCR1", "PCR2"] {
        assert_eq!(theirs[pcr], built[pcr.to_lowercase()], "{pcr}");
    }
    let ours = read(File::open(eif).unwrap(), &Limits::default()).unwrap();
    assert_same(&ours.measurements, &theirs);
}

#[test]
fn the_aws_tools_accept_our_signature_and_give_the_same_pcr8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.eif");
    for (key, certificate) in [
        ("key.pem", "certificate.v3.pem"),
        ("key.pkcs8.pem", "certificate.v3.pem"),
        ("key.pem", "certificate.pem"),
    ] {
        let written = ours(&parts(2), Some(&signer(key, certificate)), &path);
        let mut reader = aws_reader(&path);
        assert!(reader.check_crc());
        let measurements = reader.get_measurements().unwrap();
        assert_same(&written.measurements, &measurements);
        assert_eq!(written.pcr8.unwrap().to_string(), measurements["PCR8"]);
        reader.get_certificate_info(measurements).unwrap();
        assert_eq!(reader.sign_check, Some(true));
    }
    // What nitro-cli asks before it starts an image: this certificate is valid for a hundred years, the
    // other one for twenty days.
    ours(&parts(2), Some(&signer("key.pem", "certificate.v3.pem")), &path);
    PcrSignatureChecker::from_eif(&path.display().to_string()).unwrap().verify().unwrap();
}

#[test]
fn we_accept_the_aws_builders_signature_and_give_the_same_pcr8() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    for (key, certificate) in [("key.pem", "certificate.pem"), ("key.pkcs8.pem", "certificate.v3.pem")] {
        let parts = parts(2);
        let metadata = serde_json::from_slice(&Metadata::new("6.12.1").to_json()).unwrap();
        let key_file = signer_file(key).display().to_string();
        let signs = SignKeyData::new(&key_file, &signer_file(certificate)).unwrap();
        let pcrs = theirs(&parts, Some(signs), 0, metadata, folder.path());
        let theirs = std::fs::read(at("aws.eif")).unwrap();
        let image = read(theirs.as_slice(), &Limits::default()).unwrap();
        assert_same(&image.measurements, &pcrs);
        let signature = image.signature().unwrap().unwrap();
        assert_eq!(signature.pcr8.to_string(), pcrs["PCR8"]);

        // Theirs signs with a random number: the files differ in the checksum and in the last 96 bytes of
        // COSE, which are one or two in the file each.
        let ours_signer = signer(key, certificate);
        assert_eq!(ours(&parts, Some(&ours_signer), &at("ours.eif")).pcr8, Some(signature.pcr8));
        let ours = std::fs::read(at("ours.eif")).unwrap();
        let start = usize::try_from(image.sections.last().unwrap().data_offset).unwrap();
        let same = ours.len().min(theirs.len()) - 2 * 96;
        assert!(start + 100 < same);
        assert!(ours[start..same] == theirs[start..same]);
    }
}

#[test]
fn cpio_and_gzip_streamed_into_the_image_measure_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streamed.eif");
    let mut writer = Writer::new(new_file(&path), HeaderOptions::default()).unwrap();
    writer.kernel(&b"kernel"[..]).unwrap();
    writer.cmdline(CMDLINE).unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    writer.ramdisk(&b"EnclaveOS"[..]).unwrap();
    // The path of a build: no temporary file between the archive and the image.
    let mut archive = cpio::Writer::new(GzipWriter::new(writer.ramdisk_writer().unwrap()).unwrap());
    let content = vec![b'x'; 3_000_000];
    let entry = Entry {
        path: b"file".to_vec(),
        kind: EntryKind::File { size: content.len() as u64 },
        mode: 0o644,
        uid: 0,
        gid: 0,
    };
    archive.append(&entry, &mut content.as_slice()).unwrap();
    let mut section = archive.finish().unwrap().finish().unwrap();
    section.flush().unwrap();
    section.finish().unwrap();
    let (_, written) = writer.finish().unwrap();
    let mut reader = aws_reader(&path);
    assert!(reader.check_crc());
    assert_same(&written.measurements, &reader.get_measurements().unwrap());
}
