//! Ramdisks that mean harm.

use super::*;

/// A folder beside the extracted one, with a file that nobody may touch.
fn with_victim(archive: impl FnOnce(&str) -> Archive) -> (Scratch, Vec<(String, String)>) {
    let scratch = Scratch::new(&[]);
    let victim = scratch.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("secret"), "secret").unwrap();
    fs::set_permissions(victim.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(victim.join("secret")).unwrap();
    fs::write(scratch.path("image"), archive(victim.to_str().unwrap()).end()).unwrap();
    scratch.extract().unwrap();

    let names: Vec<_> = fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    let after = fs::metadata(victim.join("secret")).unwrap();
    assert_eq!((after.mode(), after.uid(), after.nlink(), after.mtime()), {
        (before.mode(), before.uid(), 1, before.mtime())
    });
    assert_eq!(fs::read_to_string(victim.join("secret")).unwrap(), "secret");
    assert_eq!(scratch.names(), ["image", "out", "out.meta.json", "victim"]);
    let differing = scratch.differing();
    (scratch, differing)
}

fn reasons(differing: Vec<(String, String)>) -> Vec<String> {
    differing.into_iter().map(|(_, why)| why).filter(|why| !why.starts_with('[')).collect()
}

#[test]
fn paths_that_lead_up_are_left_out() {
    let (scratch, differing) = with_victim(|_| {
        Archive::new()
            .file("../victim/evil", "evil")
            .directory("a")
            .file("a/../../victim/secret", "evil")
            .symlink("../victim/link", "evil")
            .raw("../victim/fifo", 0o010_777, 1, "")
            .directory("../victim/folder")
            .file("..", "evil")
            .file("a/fine", "fine")
    });
    assert_eq!(reasons(differing), vec!["its path leads up (`..`)"; 6]);
    assert_eq!(scratch.read("a/fine"), "fine");
}

#[test]
fn nothing_is_written_through_links() {
    let (scratch, differing) = with_victim(|victim| {
        Archive::new()
            .symlink("absolute", victim)
            .file("absolute/evil", "evil")
            .file("absolute/secret", "evil")
            .directory("absolute/folder")
            .symlink("up", "../../victim")
            .file("up/secret", "evil")
            .symlink("file", &format!("{victim}/secret"))
            .file("file", "in place of the link")
            .symlink("inside", "d")
            .directory("d")
            .file("inside/f", "not even inside")
    });
    assert_eq!(reasons(differing), vec!["its path leads through what is no folder"; 5]);
    assert_eq!(scratch.read("file"), "in place of the link");
}

/// A link's own attributes are its target's for who follows it.
#[test]
fn attributes_are_never_set_through_links() {
    let (_, differing) = with_victim(|victim| {
        let secret = format!("{victim}/secret");
        Archive::new()
            .symlink("link", &secret)
            // A file whose first name has become a link in between.
            .hard_link("h1", "content")
            .symlink("h1", &secret)
            .hard_link("h2", "")
            .hard_link("h3", "content")
            // A folder that has become one.
            .directory("d")
            .symlink("d", victim)
            .raw("d", 0o120_777, 1, &secret)
    });
    assert_eq!(reasons(differing), vec!["its other name is no file any more"; 2]);
}

#[test]
fn hard_links_stay_inside() {
    let (_, differing) = with_victim(|victim| {
        let secret = format!("{victim}/secret");
        Archive::new()
            // Both names of inode 7: nothing but the archive's own paths is ever linked.
            .hard_link("../victim/secret", "")
            .hard_link("got", "evil")
            .hard_link(&secret, "evil")
    });
    assert_eq!(reasons(differing), ["its path leads up (`..`)"]);
}

/// Who extracts as root makes the device, and must not write to it.
#[test]
fn content_is_written_to_files_alone() {
    let archive = Archive::new()
        .raw("device", 0o020_666, 1, "")
        .file("device", "not into the device")
        .raw("fifo", 0o010_666, 1, "")
        .file("fifo", "not into the pipe, where nobody reads")
        .hard_link("h1", "")
        .raw("h1", 0o010_666, 1, "")
        .hard_link("h2", "not into the pipe either");
    let scratch = Scratch::new(&archive.end());
    scratch.extract().unwrap();
    assert_eq!(scratch.read("device"), "not into the device");
    assert_eq!(scratch.read("fifo"), "not into the pipe, where nobody reads");
}

#[test]
fn names_that_no_file_system_takes_are_left_out() {
    let deep = "a/".repeat(2000) + "f";
    let long = "n".repeat(256);
    let scratch = Scratch::new(&Archive::new().file(&long, "").file(&deep, "deep").file("f", "fine").end());
    scratch.extract().unwrap();
    assert_eq!(scratch.read("f"), "fine");
    assert_eq!(reasons(scratch.differing()), ["a name in its path is longer than 255 bytes"]);
    fs::remove_dir_all(scratch.path("out")).unwrap();
}

/// Repeats one entry.
struct Many(Vec<u8>, usize);

impl Read for Many {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let at = self.1 % self.0.len();
        let n = (&self.0[at..]).read(buffer)?;
        self.1 += n;
        Ok(n)
    }
}

#[test]
fn a_million_entries_are_read_and_no_more() {
    use crate::ramdisk::{Budget, Ramdisk, RamdiskError};
    let many = Many(Archive::new().file("n", "").unended(), 0);
    let mut ramdisk = Ramdisk::new(many, Budget::new(&Limits::default()));
    let mut count = 0;
    let error = loop {
        match ramdisk.next_entry() {
            Ok(entry) => count += usize::from(entry.is_some()),
            Err(error) => break error,
        }
    };
    // The archive counts, too.
    assert_eq!(count, 999_999);
    assert!(matches!(error, RamdiskError::Limit { name: "entries", .. }));
}

#[test]
fn a_bomb_leaves_nothing() {
    let zeros = String::from_utf8(vec![0; 4 << 20]).unwrap();
    let scratch = Scratch::new(&gzip(&Archive::new().file("f", &zeros).end()));
    let limits = Limits { uncompressed_bytes: 1 << 20, ..Limits::default() };
    let side = Side::open(&scratch.path("image"), &limits, scratch.0.path()).unwrap();
    let error = extract(&side, &[0], &scratch.path("out")).unwrap_err();
    assert!(chain(&error).contains("limit `uncompressed_bytes`"), "{error:?}");
    assert_eq!(error.fix().unwrap(), "if it should be that large: --limit uncompressed_bytes=2097152");
    assert_eq!(scratch.names(), ["image"]);
}
