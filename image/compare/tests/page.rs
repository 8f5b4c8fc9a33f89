//! The page in a real Chromium: it opens without network, filters by cause, and runs no script of an image.

#![expect(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

use caution_compare::{DiffLimits, PageTitle, Side, compare};
use caution_rootfs::{Limits, cpio};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian and others install it; `CHROMIUM` names another one.
#[expect(clippy::disallowed_methods, reason = "a test says where its browser is by the environment")]
fn chromium() -> Option<PathBuf> {
    let places =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let found =
        std::env::var_os("CHROMIUM").map(PathBuf::from).into_iter().chain(places).find(|path| path.exists());
    if found.is_none() {
        println!("SKIPPED: NO CHROMIUM (apt-get install chromium); THE PAGE WAS NOT OPENED");
    }
    found
}

fn archive(path: &Path, mode: u32, content: &[u8]) {
    let mut writer = cpio::Writer::new(Vec::new());
    let entry = |path: &[u8], mode, size| cpio::Entry {
        path: path.to_vec(),
        kind: cpio::EntryKind::File { size },
        mode,
        uid: 0,
        gid: 0,
    };
    writer
        .append(
            &entry(b"<img src=x onerror=document.title=1>", 0o644, content.len() as u64),
            &mut &content[..],
        )
        .unwrap();
    writer.append(&entry(b"mode", mode, 1), &mut &b"x"[..]).unwrap();
    std::fs::write(path, writer.finish().unwrap()).unwrap();
}

/// The document as it is after its scripts have run.
fn dom(chromium: &Path, page: &Path, fragment: &str) -> String {
    let output = Command::new(chromium)
        .args(["--headless", "--disable-gpu", "--no-sandbox", "--virtual-time-budget=2000", "--dump-dom"])
        .arg(format!("file://{}#{fragment}", page.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_page_filters_by_cause_and_runs_nothing_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let (left, right) = (folder.path().join("left.cpio"), folder.path().join("right.cpio"));
    archive(&left, 0o664, b"one");
    archive(&right, 0o644, b"two");
    let open = |path: &Path| Side::open(path, &Limits::default(), folder.path()).unwrap();
    let comparison = compare(&open(&left), &open(&right), &DiffLimits::default(), folder.path()).unwrap();
    let page = folder.path().join("report.html");
    let title = PageTitle { left: "left.cpio", right: "right.cpio", program: "caution" };
    std::fs::write(&page, comparison.to_html(&title)).unwrap();
    let Some(chromium) = chromium() else { return };

    let all = dom(&chromium, &page, "");
    assert_eq!(all.matches("<article").count(), 2, "{all}");
    assert!(all.contains("2 of 2 shown"), "{all}");
    assert!(!all.contains("<img") && !all.contains("<title>1</title>"), "{all}");

    let modes = dom(&chromium, &page, "mode");
    assert!(modes.contains("1 of 2 shown"), "{modes}");
    let hidden = modes.split("<article").filter(|article| article.contains("hidden=\"\"")).count();
    // The filter bar itself is no longer hidden, so only the other article is.
    assert_eq!(hidden, 1, "{modes}");
}
