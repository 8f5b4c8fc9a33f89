use super::*;
use crate::entry::Kind;
use crate::testing::{Archive, eif, gzip};
use std::fs;
use std::os::unix::fs::symlink;

fn open(path: &Path) -> Result<Side, SideError> {
    Side::open(path, &Limits::default(), &std::env::temp_dir())
}

fn side_of(bytes: &[u8]) -> Result<Side, SideError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    // The side keeps the file open.
    open(file.path())
}

fn names(layer: &Layer) -> Vec<String> {
    let entries = layer.entries.as_deref().unwrap();
    entries.iter().map(|listed| String::from_utf8(listed.entry.path.clone()).unwrap()).collect()
}

fn application() -> Vec<u8> {
    let archive = Archive::new()
        .file("boot.json", "{}")
        .directory("rootfs")
        .directory("rootfs/bin")
        .hard_link("rootfs/bin/a", "")
        .hard_link("rootfs/bin/b", "program")
        .symlink("rootfs/sh", "bin/a")
        .file("sealed.json", "[]");
    gzip(&archive.end())
}

fn enclave_os() -> Vec<u8> {
    gzip(&Archive::new().file("init", "init").end())
}

#[test]
fn an_enclave_image_has_its_facts_and_layers() {
    let bytes = eif(&[&enclave_os(), &application()]);
    let side = side_of(&bytes).unwrap();
    let Facts::Eif { image, sections } = side.facts() else { panic!("{:?}", side.facts()) };
    let expected = caution_eif::read(bytes.as_slice(), &caution_eif::Limits::default()).unwrap();
    assert_eq!(**image, expected);
    assert_eq!(sections.len(), expected.sections.len());
    let stored = Sha256Digest::new(Sha256::digest(enclave_os()).into());
    assert_eq!(side.layers()[0], LayerFacts { name: LayerName::EnclaveOs, stored: Some(stored) });
    assert_eq!(side.layers()[1].name.to_string(), "application");

    let listing = side.list().unwrap();
    assert_eq!(names(&listing.layers[0]), ["/init"]);
    assert_eq!(
        names(&listing.layers[1]),
        ["boot.json", "/", "/bin", "/bin/a", "/bin/b", "/sh", "sealed.json"]
    );
}

#[test]
fn ramdisks_of_others_are_numbered() {
    let plain = Archive::new().file("init", "").end();
    let side = side_of(&eif(&[&plain, &plain, &plain])).unwrap();
    let shown: Vec<String> = side.layers().iter().map(|layer| layer.name.to_string()).collect();
    assert_eq!(shown, ["ramdisk 0", "ramdisk 1", "ramdisk 2"]);
    let Listing { layers } = side.list_only(|layer| layer == 1).unwrap();
    assert!(layers[0].entries.is_none() && layers[2].entries.is_none());
    assert_eq!(names(&layers[1]), ["/init"]);
}

/// Linux goes on after a ramdisk it cannot read, and people compare such images too.
#[test]
fn a_broken_ramdisk_is_a_problem_of_its_layer() {
    let broken = Archive::new().file("a", "content").unended();
    let side = side_of(&eif(&[b"STAND-IN", &broken, &enclave_os()])).unwrap();
    let Listing { layers } = side.list().unwrap();
    let problem = |layer: &Layer| crate::testing::chain(layer.problem.as_ref().unwrap());
    assert_eq!(
        problem(&layers[0]),
        "The layer `ramdisk 0` cannot be read to its end. / no cpio archive begins with the bytes 53 54 41 4e 44 2d"
    );
    assert_eq!(names(&layers[1]), ["/a"]);
    assert!(problem(&layers[1]).contains("truncated"));
    assert!(layers[2].problem.is_none());
}

#[test]
fn all_names_of_a_file_have_its_content() {
    let side = side_of(&eif(&[&enclave_os(), &application()])).unwrap();
    let Listing { layers } = side.list().unwrap();
    let entries = layers[1].entries.as_ref().unwrap();
    let [a, b] = [3, 4].map(|index| entries[index].content.unwrap());
    assert_eq!(a, b);
    assert_eq!((a.size, a.place), (7, Place { layer: 1, entry: 4 }));
    assert_eq!(a.sha256, Sha256Digest::new(Sha256::digest("program").into()));
    assert!(entries[2].content.is_none());
}

#[test]
fn content_is_read_in_a_second_pass_that_stops_early() {
    // What follows is broken: nobody may look at it.
    let archive = Archive::new().file("a", "one").file("b", "two").file("c", "three").unended();
    let side = side_of(&eif(&[&enclave_os(), &archive])).unwrap();
    let mut found = Vec::new();
    let wanted = [(1, 2), (1, 0), (0, 0)].map(|(layer, entry)| Place { layer, entry });
    side.contents(&wanted, |place, content| {
        let mut text = String::new();
        content.read_to_string(&mut text).unwrap();
        found.push((place.layer, place.entry, text));
        Ok::<_, SideError>(())
    })
    .unwrap();
    assert_eq!(found, [(0, 0, "init".into()), (1, 0, "one".into()), (1, 2, "three".into())]);

    let absent = side.contents(&[Place { layer: 0, entry: 9 }], |_, _| Ok::<_, SideError>(()));
    assert!(matches!(absent, Err(SideError::Changed { .. })));
}

#[test]
fn a_folder_is_listed_sorted_and_without_following_links() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    fs::create_dir(inside("a")).unwrap();
    fs::write(inside("a/f"), "content").unwrap();
    fs::write(inside("a-b"), "").unwrap();
    fs::hard_link(inside("a/f"), inside("z")).unwrap();
    symlink("/etc", inside("link")).unwrap();
    let side = open(folder.path()).unwrap();
    let Listing { layers } = side.list().unwrap();
    assert_eq!(layers[0].name.to_string(), "folder");
    assert_eq!(names(&layers[0]), ["/a", "/a-b", "/a/f", "/link", "/z"]);
    let entries = layers[0].entries.as_ref().unwrap();
    assert_eq!(entries[2].content, entries[4].content);
    assert_eq!(entries[2].content.unwrap().size, 7);
    assert_eq!(entries[3].entry.kind, Kind::Symlink(b"/etc".to_vec()));
}

#[test]
fn a_container_image_is_its_merged_tree() {
    let bytes = crate::testing::container(&[("rootfs/f", "hi"), ("g", "hi")]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let side = open(file.path()).unwrap();
    assert!(matches!(side.facts(), Facts::Container { .. }));
    let Listing { layers } = side.list().unwrap();
    // `rootfs` is a folder of the image here, as any other.
    assert_eq!(names(&layers[0]), ["/", "/g", "/rootfs", "/rootfs/f"]);
    assert_eq!(layers[0].entries.as_ref().unwrap()[1].entry.mode, 0o640);
}

#[test]
fn a_ramdisk_by_itself_and_a_folder_with_an_application_are_shown_alike() {
    let side = side_of(&application()).unwrap();
    assert!(matches!(side.facts(), Facts::Ramdisk));
    let Listing { layers } = side.list().unwrap();
    assert_eq!(names(&layers[0])[..3], ["boot.json", "/", "/bin"]);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("rootfs/bin")).unwrap();
    fs::write(folder.path().join("boot.json"), "{}").unwrap();
    let Listing { layers } = open(folder.path()).unwrap().list().unwrap();
    assert_eq!(names(&layers[0]), ["boot.json", "/", "/bin"]);
    // Beside other folders it is a folder like them.
    fs::create_dir(folder.path().join("etc")).unwrap();
    let Listing { layers } = open(folder.path()).unwrap().list().unwrap();
    assert_eq!(names(&layers[0]), ["/boot.json", "/etc", "/rootfs", "/rootfs/bin"]);
}

#[test]
fn what_is_none_of_these_says_what_was_tried() {
    let refused = |bytes: &[u8]| crate::testing::chain(&side_of(bytes).unwrap_err());
    assert!(refused(b"hello").contains("no enclave image (`.eif`), no ramdisk"));
    assert!(refused(b".eif but short").contains("is no sound enclave image"));
    assert!(refused(&gzip(b"a compressed text")).contains("is no ramdisk. / no cpio archive begins"));
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut tar::Header::new_gnu(), "a", &b""[..]).unwrap();
    assert!(refused(&tar.into_inner().unwrap()).contains("cannot be read as a container image. /"));
    let missing = open(Path::new("/absent/enclave.eif")).unwrap_err();
    assert!(matches!(missing, SideError::Read { .. }));
    assert!(matches!(open(Path::new("/dev/null")), Err(SideError::NotAFile { .. })));
}

#[test]
fn limits_hold_over_all_layers_and_are_errors() {
    let limits = Limits { entries: 8, ..Limits::default() };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), eif(&[&enclave_os(), &application()])).unwrap();
    let side = Side::open(file.path(), &limits, &std::env::temp_dir()).unwrap();
    let error = side.list().unwrap_err();
    assert!(crate::testing::chain(&error).contains("limit `entries`"), "{error:?}");
    assert_eq!(error.fix().unwrap(), "if it should be that large: --limit entries=16");
    // 7 entries and the archive itself.
    assert_eq!(side.list_only(|layer| layer == 1).unwrap().layers[1].entries.as_ref().unwrap().len(), 7);
}

const fn is_send<T: Send>() {}
const _: () = is_send::<Side>();
