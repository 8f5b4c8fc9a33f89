mod hostile;
mod identity;
mod unprivileged;

use super::*;
use crate::testing::{Archive, chain, eif, gzip};
use caution_rootfs::Limits;
use serde_json::Value;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use tempfile::TempDir;

/// A folder with an image in it, and where that is extracted to.
struct Scratch(TempDir);

impl Scratch {
    fn new(image: &[u8]) -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::write(scratch.path("image"), image).unwrap();
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn side(&self) -> Side {
        Side::open(&self.path("image"), &Limits::default(), self.0.path()).unwrap()
    }

    fn extract(&self) -> Result<Extracted, ExtractError> {
        let side = self.side();
        let layers: Vec<usize> = (0..side.layers().len()).collect();
        extract(&side, &layers, &self.path("out"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap()
    }

    /// Path and reason of each entry that is not as it is stored.
    fn differing(&self) -> Vec<(String, String)> {
        let meta: Value = serde_json::from_slice(&fs::read(self.path("out.meta.json")).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let of = |line: &Value| {
            let why = if line["not_made"].is_null() { &line["not_set"] } else { &line["not_made"] };
            (text(&line["path"]), text(why))
        };
        meta["differing"].as_array().unwrap().iter().map(of).collect()
    }

    /// What lies in the folder around.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Owners are those of the archives of these tests, and only root can set them.
fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("NOT TESTED: only root can make device nodes and give files away");
    }
    is_root
}

#[test]
fn each_layer_of_several_has_a_folder() {
    let os = gzip(&Archive::new().file("init", "the init").end());
    let app = Archive::new().file("boot.json", "{}").directory("rootfs").file("rootfs/f", "content").end();
    let scratch = Scratch::new(&eif(&[&os, &app]));
    let extracted = scratch.extract().unwrap();
    assert_eq!(scratch.read("enclaveos/init"), "the init");
    assert_eq!(scratch.read("app/boot.json") + &scratch.read("app/rootfs/f"), "{}content");
    let folders: Vec<_> = extracted.layers.iter().map(|layer| layer.folder.clone()).collect();
    assert_eq!(folders, [scratch.path("out/enclaveos"), scratch.path("out/app")]);
    assert_eq!((extracted.layers[1].entries, extracted.layers[1].bytes), (3, 9));
    assert_eq!(scratch.names(), ["image", "out", "out.meta.json"]);
    assert_eq!(fs::metadata(scratch.path("out")).unwrap().mode() & 0o7777, 0o700);

    let scratch = Scratch::new(&eif(&[&os, &os]));
    scratch.extract().unwrap();
    assert_eq!(scratch.read("ramdisk0/init") + &scratch.read("ramdisk1/init"), "the initthe init");
    // One by itself is the folder.
    let side = scratch.side();
    extract(&side, &[1], &scratch.path("one")).unwrap();
    assert!(scratch.path("one/init").exists());
}

#[test]
fn what_is_there_is_neither_overwritten_nor_mixed_with() {
    let scratch = Scratch::new(&Archive::new().file("f", "new").end());
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("f"), "old").unwrap();
    assert!(matches!(scratch.extract(), Err(ExtractError::NotEmpty { .. })));
    assert_eq!(scratch.read("f"), "old");
    // A link to an empty folder is no empty folder.
    fs::remove_file(out.join("f")).unwrap();
    fs::rename(&out, scratch.path("elsewhere")).unwrap();
    symlink("elsewhere", &out).unwrap();
    assert!(matches!(scratch.extract(), Err(ExtractError::NotEmpty { .. })));
    fs::remove_file(&out).unwrap();
    fs::rename(scratch.path("elsewhere"), &out).unwrap();
    scratch.extract().unwrap();
    assert_eq!(scratch.read("f"), "new");

    for name in ["/", ".."] {
        let error = extract(&scratch.side(), &[0], Path::new(name)).unwrap_err();
        assert!(matches!(error, ExtractError::NoName { .. }), "{name}");
    }
    let error = extract(&scratch.side(), &[0], &scratch.path("absent/out")).unwrap_err();
    assert!(error.fix().unwrap().contains("mkdir -p"), "{error:?}");
    let folder = Side::open(&out, &Limits::default(), &out).unwrap();
    assert!(matches!(extract(&folder, &[0], &scratch.path("copy")), Err(ExtractError::Folder { .. })));
}

#[test]
fn a_failed_extraction_leaves_nothing_and_a_killed_one_nothing_that_looks_finished() {
    let scratch = Scratch::new(&Archive::new().file("a", "whole").file("b", "content").unended());
    let error = scratch.extract().unwrap_err();
    assert!(chain(&error).contains("truncated"), "{error:?}");
    assert_eq!(scratch.names(), ["image"]);

    // What it has written until it is killed.
    fs::create_dir_all(scratch.path("out.part/tree")).unwrap();
    let error = scratch.extract().unwrap_err();
    assert!(matches!(error, ExtractError::Leftover { .. }));
    assert!(error.fix().unwrap().contains("rm -r "), "{error:?}");
}

#[test]
fn every_kind_is_made_with_owner_mode_and_time() {
    let archive = Archive::new()
        .directory("d")
        .raw("d/setuid", 0o104_751, 1, "program")
        .hard_link("h1", "")
        .hard_link("h2", "linked")
        .symlink("s", "d/setuid")
        .raw("char", 0o020_640, 1, "")
        .raw("fifo", 0o010_600, 1, "");
    let scratch = Scratch::new(&archive.end());
    if !is_root() {
        return;
    }
    let extracted = scratch.extract().unwrap();
    assert_eq!((extracted.differing, extracted.left_out), (0, 0), "{:?}", scratch.differing());
    let found = |name: &str| fs::symlink_metadata(scratch.path("out").join(name)).unwrap();
    for (name, mode) in [
        ("d", 0o040_755),
        ("d/setuid", 0o104_751),
        ("h1", 0o100_644),
        ("char", 0o020_640),
        ("fifo", 0o010_600),
    ] {
        let found = found(name);
        assert_eq!(
            (found.mode(), found.uid(), found.gid(), found.mtime()),
            (mode, 1000, 100, 86400),
            "{name}"
        );
    }
    assert_eq!((found("s").uid(), found("s").mtime()), (1000, 86400));
    assert_eq!(found("h1").ino(), found("h2").ino());
    assert_eq!(scratch.read("h1"), "linked");
    assert_eq!(nix::sys::stat::major(found("char").rdev()), 1);
}

#[test]
fn what_the_kernel_does_with_names_that_come_twice_is_done() {
    let archive = Archive::new()
        .file("same", "first, and longer")
        .file("same", "second")
        .hard_link("h1", "one")
        .hard_link("h2", "")
        .file("h1", "two")
        .directory("d")
        .file("d", "a folder without content gives way")
        .directory("full")
        .file("full/f", "stays")
        .file("full", "does not")
        .symlink("link", "same")
        .file("link", "a link is replaced, not followed")
        .file("/absolute//./path", "below the folder");
    let scratch = Scratch::new(&archive.end());
    scratch.extract().unwrap();
    assert_eq!(scratch.read("same"), "second");
    assert_eq!(scratch.read("h1") + &scratch.read("h2"), "twotwo");
    assert_eq!(scratch.read("d"), "a folder without content gives way");
    assert_eq!(scratch.read("full/f"), "stays");
    assert_eq!(scratch.read("link"), "a link is replaced, not followed");
    assert_eq!(scratch.read("absolute/path"), "below the folder");
    let differing = scratch.differing();
    assert!(differing.contains(&("full".into(), "a folder with something in it has its name".into())));
}

#[test]
fn a_container_image_is_extracted_too() {
    let scratch = Scratch::new(&crate::testing::container(&[("etc/passwd", "root:x:0:0\n")]));
    let extracted = scratch.extract().unwrap();
    assert_eq!(scratch.read("etc/passwd"), "root:x:0:0\n");
    // The root's own attributes, which the private folder does not have.
    assert_eq!(scratch.differing()[0].0, ".");
    assert_eq!(extracted.left_out, 0);
}
