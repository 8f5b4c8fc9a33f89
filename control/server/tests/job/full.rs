//! A data folder without room.

use crate::process::{Platform, said};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system, gone when this is dropped.
struct Small(PathBuf);

impl Small {
    fn at(folder: &Path) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            let _ = writeln!(io::stderr(), "NOT TESTED: a full disk (only root can mount a small one)");
            return None;
        }
        fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        assert!(
            mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(folder).status().unwrap().success()
        );
        Some(Self(folder.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // What the folder's owner could not remove.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_everything_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(_small) = Small::at(&data) else { return };
    let platform = Platform::within(folder).await;
    let app = platform.app("hello");
    let first = platform.commit("first");
    assert!(said(platform.push(app)).0);

    let mut fill = File::create(data.join("fill")).unwrap();
    let end = (0..).find_map(|_| fill.write_all(&[7; 4096]).err()).unwrap();
    assert_eq!(end.kind(), io::ErrorKind::StorageFull);
    platform.commit(&noise());
    let (pushed, text) = said(platform.push(app));
    let reasons = ["No space left on device", "the disk of the database is full"];
    assert!(!pushed && reasons.iter().any(|reason| text.contains(reason)), "{text}");
    // What the API has to write is refused where the database is on this disk; a log that it begins before is not.
    let refused = (0..200).find_map(|n| {
        let body = json!({ "name": format!("app-{n}"), "organisation": platform.organisation.uuid() });
        let (status, answer) = platform.answer("POST", "/v1/apps", Some(body));
        (status != 201).then_some((status, answer["message"].clone()))
    });
    if data.join("cautiond.db").exists() {
        assert_eq!(refused, Some((503, json!("The platform's disk is full."))));
    }
    assert_eq!(platform.answer("GET", &format!("/v1/apps/{app}"), None).0, 200);
    assert_eq!(platform.running("hello"), Some(first));

    drop(fill);
    fs::remove_file(data.join("fill")).unwrap();
    let second = platform.commit("second");
    let (pushed, text) = said(platform.push(app));
    assert!(pushed, "{text}");
    assert_eq!(platform.running("hello"), Some(second));
}

/// A file that does not become smaller.
fn noise() -> String {
    let mut text = String::new();
    let mut state = 1_u64;
    while text.len() < 1 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let _ = writeln!(text, "{state:x}");
    }
    text
}
