//! Images of the AWS builder, and ones that are written here.

use super::*;
use caution_eif::{HeaderOptions, Metadata, Writer};
use std::io::{Cursor, Write as _};

/// The folder of outside vectors, or `None` with a loud line.
fn vectors() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the outside vectors lie is said by the environment")]
    let named = std::env::var_os("CAUTION_VECTORS").map(PathBuf::from);
    let folder = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"))
        .join("eif");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT TESTED: no outside vectors in {} (set CAUTION_VECTORS)", folder.display());
    None
}

fn described(file: &Path) -> Described<'_> {
    let (image, contents) = read(file).unwrap();
    let signature = Signature::of(&image);
    Described { file, image, contents, release: None, signature }
}

fn image(ramdisks: &[&[u8]]) -> tempfile::NamedTempFile {
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).unwrap();
    writer.kernel(&b"kernel"[..]).unwrap();
    writer.cmdline("reboot=k").unwrap();
    writer.metadata(&Metadata::new("6.12.1")).unwrap();
    for ramdisk in ramdisks {
        writer.ramdisk(*ramdisk).unwrap();
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(writer.finish().unwrap().0.get_ref()).unwrap();
    file
}

#[test]
fn images_of_other_tools_are_described_as_their_makers_do() {
    let Some(folder) = vectors() else { return };
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut described_images = 0;
    for (name, expected) in index.as_object().unwrap() {
        let file = folder.join(name);
        if name.starts_with("broken/") || !file.exists() {
            continue;
        }
        let described = described(&file);
        let json = described.to_json();
        for key in ["version", "arch", "default_cpus", "crc32", "metadata", "sha256", "size"] {
            assert_eq!(json[key], expected[key], "{name}: {key}");
        }
        for (key, register) in [("pcr0", "PCR0"), ("pcr1", "PCR1"), ("pcr2", "PCR2"), ("pcr8", "PCR8")] {
            assert_eq!(json[key], expected["tool_pcrs"][register], "{name}: {register}");
        }
        for (ours, theirs) in
            json["sections"].as_array().unwrap().iter().zip(expected["sections"].as_array().unwrap())
        {
            assert_eq!(ours["kind"], theirs["type"], "{name}");
            assert_eq!((&ours["offset"], &ours["size"]), (&theirs["offset"], &theirs["size"]), "{name}");
        }
        // Curves other than P-384 are not checked.
        let checked = name.starts_with("signed") && !name.contains("p256");
        assert_eq!(json["signature"]["holds"].as_bool(), checked.then_some(true), "{name}");
        let single = name.starts_with("one-ramdisk");
        assert_eq!(text::text(&described).contains("the empty constant"), single, "{name}");
        described_images += 1;
    }
    assert!(described_images >= 6, "{described_images}");
}

#[test]
fn each_ramdisk_has_the_offset_and_the_command_that_unpack_it() {
    let file = image(&[b"\x1f\x8bone", b"070701two", b"?"]);
    let described = described(file.path());
    let bytes = std::fs::read(file.path()).unwrap();
    let json = described.to_json();
    let sections = json["sections"].as_array().unwrap();
    for (section, content) in sections[3..].iter().zip([&b"\x1f\x8bone"[..], b"070701two", b"?"]) {
        let at = usize::try_from(section["content_offset"].as_u64().unwrap()).unwrap();
        assert!(bytes[at..].starts_with(content));
    }
    assert_eq!(sections[3]["pcrs"], serde_json::json!([0, 1]));
    assert_eq!(sections[5]["pcrs"], serde_json::json!([0, 2]));
    let said = text::text(&described);
    let from = sections[3]["content_offset"].as_u64().unwrap() + 1;
    assert!(
        said.contains(&format!("tail -c +{from} {} | head -c 5 | zcat | cpio", file.path().display())),
        "{said}"
    );
    assert!(said.contains("head -c 9 | cat | cpio") && !said.contains("ramdisk 2 here"), "{said}");
}

#[test]
fn what_is_no_sound_image_is_refused_with_the_reason() {
    let file = image(&[b"ramdisk"]);
    let mut bytes = std::fs::read(file.path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file.path(), &bytes).unwrap();
    let refused = || read(file.path()).map(drop).unwrap_err();
    assert!(refused().causes[0].starts_with("the checksum is wrong: the header says "));
    std::fs::write(file.path(), b"\x7fELF").unwrap();
    assert!(refused().causes[0].contains("its header alone needs 548"));
    assert!(read(Path::new("/nonexistent.eif")).is_err());
    assert!(read(Path::new("/")).is_err());
}

#[test]
fn a_signature_that_proves_nothing_is_said_to() {
    let Some(folder) = vectors() else { return };
    let file = folder.join("signed-p384.eif");
    let mut described = described(&file);
    *described.image.signature_unverified.as_mut().unwrap().last_mut().unwrap() ^= 1;
    described.signature = Signature::of(&described.image);
    assert_eq!(described.to_json()["signature"]["holds"], false);
    assert!(text::text(&described).contains("PROVES NOTHING"));
}

/// JSON has no words for bytes that are no text; they are replaced, as on the terminal.
#[test]
fn a_file_with_any_name_is_described_as_json() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(std::ffi::OsStr::from_bytes(b"x\xff.eif"));
    std::fs::copy(image(&[b"ramdisk"]).path(), &file).unwrap();
    assert!(described(&file).to_json()["file"].as_str().unwrap().ends_with("x\u{fffd}.eif"));
}
