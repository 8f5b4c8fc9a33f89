//! Extracting as a user who may do little.

use super::*;
use std::process::Command;

const OTHER: u32 = 65534;

#[test]
fn what_another_user_may_not_make_is_listed() {
    if !is_root() {
        return;
    }
    let archive = Archive::new()
        .directory("d")
        .raw("d/closed", 0o100_000, 1, "readable for who extracts")
        .raw("locked", 0o040_000, 2, "")
        .file("locked/f", "inside")
        .raw("setuid", 0o106_755, 1, "")
        .hard_link("h1", "")
        .hard_link("h2", "linked")
        .symlink("s", "nowhere")
        .raw("char", 0o020_666, 1, "")
        .raw("fifo", 0o010_600, 1, "");
    let scratch = Scratch::new(&archive.end());
    // The folder of this test's own program may be closed to other users.
    fs::copy(std::env::current_exe().unwrap(), scratch.path("test")).unwrap();
    fs::set_permissions(scratch.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (user, group) = (format!("--reuid={OTHER}"), format!("--regid={OTHER}"));
    let test = scratch.path("test");
    let name = "extract::tests::unprivileged::extracts_the_image_of_its_folder";
    let ended = Command::new("setpriv")
        .args([&user, &group, "--clear-groups"])
        .arg(&test)
        .args(["--exact", name, "--include-ignored"])
        .current_dir(scratch.0.path())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));

    let found = |name: &str| fs::symlink_metadata(scratch.path("out").join(name)).unwrap();
    let mode = |name: &str| found(name).mode() & 0o7777;
    assert_eq!((found("d").uid(), found("d").mtime()), (OTHER, 86400));
    // Nothing runs as a user it is not meant to run as, and who extracts can read everything.
    let modes = ["d", "d/closed", "locked", "setuid", "fifo"].map(mode);
    assert_eq!(modes, [0o755, 0o400, 0o700, 0o755, 0o600]);
    assert_eq!(found("h1").ino(), found("h2").ino());
    assert_eq!(scratch.read("locked/f") + &scratch.read("h1"), "insidelinked");
    assert!(!scratch.path("out/char").exists());

    let mut differing = scratch.differing();
    differing.sort();
    let owner = r#"["owner"]"#;
    let both = r#"["owner","mode"]"#;
    let expected = [
        ("char", "only root may make device nodes"),
        ("d", owner),
        ("d/closed", both),
        ("fifo", owner),
        ("h1", owner),
        ("h2", owner),
        ("locked", both),
        ("locked/f", owner),
        ("s", owner),
        ("setuid", both),
    ];
    assert_eq!(differing, expected.map(|(path, why)| (path.to_owned(), why.to_owned())));
    let meta: Value = serde_json::from_slice(&fs::read(scratch.path("out.meta.json")).unwrap()).unwrap();
    let of = |name: &str| {
        meta["differing"].as_array().unwrap().iter().find(|line| line["path"] == name).unwrap().clone()
    };
    assert_eq!(
        of("char"),
        serde_json::json!({
            "path": "char", "kind": "char-device", "device": [1, 3], "mode": "0666", "uid": 1000, "gid": 100,
            "mtime": 86400, "not_made": "only root may make device nodes",
        })
    );
    assert_eq!(of("setuid")["mode"], "6755");
}

#[test]
#[ignore = "is run by what_another_user_may_not_make_is_listed, as that user, where its image lies"]
fn extracts_the_image_of_its_folder() {
    let Ok(side) = Side::open(Path::new("image"), &Limits::default(), Path::new(".")) else { return };
    extract(&side, &[0], Path::new("out")).unwrap();
}
