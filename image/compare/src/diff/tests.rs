use super::*;
use crate::testing::{Archive, eif, gzip};
use caution_rootfs::Limits;
use std::fs;

fn side(bytes: &[u8]) -> Side {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    // The side keeps the file open.
    Side::open(file.path(), &Limits::default(), &std::env::temp_dir()).unwrap()
}

fn compared(left: &[u8], right: &[u8]) -> Comparison {
    let (left, right) = (side(left), side(right));
    compare(&left, &right, &DiffLimits::default(), &std::env::temp_dir()).unwrap()
}

/// An archive with an application's root and these files in it.
fn application(files: &[(&str, &str)]) -> Archive {
    let archive = Archive::new().file("boot.json", "{}").directory("rootfs");
    files.iter().fold(archive, |archive, (path, content)| archive.file(&format!("rootfs/{path}"), content))
}

fn image(archive: Archive) -> Vec<u8> {
    let enclave_os = gzip(&Archive::new().file("init", "init").end());
    eif(&[&enclave_os, &gzip(&archive.end())])
}

fn paths(comparison: &Comparison) -> Vec<(&str, Status)> {
    comparison.differences.iter().map(|one| (one.path.as_str(), one.status)).collect()
}

fn causes(difference: &Difference) -> Vec<Cause> {
    difference.attributions.iter().map(|attribution| attribution.cause).collect()
}

/// The same with left and right exchanged.
fn mirrored(comparison: &Comparison) -> Comparison {
    let mut mirrored = comparison.clone();
    for difference in &mut mirrored.differences {
        std::mem::swap(&mut difference.left, &mut difference.right);
        difference.status = match difference.status {
            Status::Changed => Status::Changed,
            Status::Added => Status::Removed,
            Status::Removed => Status::Added,
        };
    }
    mirrored
}

#[test]
fn an_image_does_not_differ_from_itself() {
    let bytes = image(application(&[("a", "1"), ("b", "2")]));
    let comparison = compared(&bytes, &bytes);
    assert!(comparison.is_same(), "{comparison:?}");
    assert_eq!(comparison.registers, Some(vec![]));
    assert!(comparison.layers.iter().all(|layer| layer.outcome == LayerOutcome::SameBytes));
    assert!(comparison.to_text(5).contains("nothing differs"));
}

#[test]
fn files_added_removed_and_changed_are_told_with_layer_and_register() {
    let left = image(application(&[("a", "1"), ("only-left", ""), ("same", "x")]));
    let right = image(application(&[("a", "22"), ("only-right", ""), ("same", "x")]));
    let comparison = compared(&left, &right);
    assert!(!comparison.is_same());
    let expected = [("/a", Status::Changed), ("/only-left", Status::Removed), ("/only-right", Status::Added)];
    assert_eq!(paths(&comparison), expected);
    assert_eq!(comparison.differences[0].aspects, [Aspect::Content]);
    assert!(comparison.differences.iter().all(|difference| difference.layer == "application"));
    let outcomes: Vec<LayerOutcome> = comparison.layers.iter().map(|layer| layer.outcome).collect();
    assert_eq!(outcomes, [LayerOutcome::SameBytes, LayerOutcome::Differ]);
    let registers: Vec<u8> = comparison.registers.iter().flatten().map(|one| one.register).collect();
    assert_eq!(registers, [0, 2]);
    let text = comparison.to_text(2);
    assert!(text.contains("PCR2 differs: the application layer"), "{text}");
    assert!(text.contains("/a  content, 1 → 2 bytes") && text.contains("… and 1 more"), "{text}");
    assert!(text.contains("cause unknown"), "{text}");
}

#[test]
fn exchanging_the_sides_exchanges_the_answer() {
    let left = image(application(&[("a", "1"), ("b", "2"), ("c", "3")]));
    let right = image(application(&[("b", "two"), ("c", "3"), ("d", "4")]));
    let (there, back) = (compared(&left, &right), compared(&right, &left));
    let seen = |comparison: &Comparison| {
        let of = |one: &Difference| (one.path.clone(), one.status, one.left.clone(), one.right.clone());
        comparison.differences.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(seen(&mirrored(&there)), seen(&back));
}

#[test]
fn bits_owners_and_times_name_what_they_are() {
    let plain = |mode| gzip(&Archive::new().raw("a", mode, 1, "x").end());
    let comparison = compared(&plain(0o100_664), &plain(0o100_644));
    assert_eq!(comparison.differences[0].aspects, [Aspect::Mode]);
    assert_eq!(causes(&comparison.differences[0]), [Cause::Mode]);
    let evidence = &comparison.differences[0].attributions[0].evidence;
    assert_eq!(evidence, "mode 0664 → 0644, as umask 022 gives it on the right");
    assert!(!comparison.differences[0].unexplained);

    let folder = |write: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        folder
    };
    let (left, right) = (
        folder(&|root| fs::write(root.join("a"), "x").unwrap()),
        folder(&|root| {
            fs::write(root.join("a"), "x").unwrap();
            std::os::unix::fs::symlink("a", root.join("b")).unwrap();
        }),
    );
    let open = |folder: &tempfile::TempDir| {
        Side::open(folder.path(), &Limits::default(), &std::env::temp_dir()).unwrap()
    };
    let comparison =
        compare(&open(&left), &open(&right), &DiffLimits::default(), &std::env::temp_dir()).unwrap();
    assert_eq!(paths(&comparison), [("/b", Status::Added)], "the times of folders are nobody's business");
    assert_eq!(comparison.differences[0].right.as_ref().unwrap().target.as_deref(), Some("a"));
    assert_eq!(comparison.registers, None);
}

#[test]
fn many_files_with_one_story_are_one_finding() {
    let archive =
        |mode| (0..9).fold(Archive::new(), |archive, n| archive.raw(&format!("f{n}"), mode, 1, "x"));
    let comparison = compared(&gzip(&archive(0o100_664).end()), &gzip(&archive(0o100_644).end()));
    assert_eq!(comparison.differences.len(), 9);
    let findings = comparison.findings();
    assert_eq!((findings.len(), findings[0].more), (1, 8));
    assert!(comparison.to_text(5).contains("/f0  mode, and 8 more"));
}

#[test]
fn another_order_of_the_same_entries_is_one_difference() {
    let left = gzip(&Archive::new().file("a", "1").file("b", "2").end());
    let right = gzip(&Archive::new().file("b", "2").file("a", "1").end());
    let comparison = compared(&left, &right);
    assert_eq!(paths(&comparison), [("", Status::Changed)]);
    assert_eq!(causes(&comparison.differences[0]), [Cause::FileOrder]);
    assert!(comparison.to_text(5).contains("(as a whole)  order of entries"));
}

/// Linux unpacks `etc//passwd` over `etc/passwd`.
#[test]
fn odd_paths_of_one_side_are_differences() {
    let plain = || Archive::new().directory("etc").file("etc/passwd", "root");
    for odd in ["etc//passwd", "etc/./passwd", "x/", "../x", ".."] {
        let comparison = compared(&gzip(&plain().end()), &gzip(&plain().file(odd, "evil").end()));
        assert_eq!(paths(&comparison), [(odd, Status::Added)], "{odd}");
        assert!(!comparison.is_same());
    }
}

#[test]
fn other_names_of_the_same_file_are_links() {
    let linked = Archive::new().hard_link("a", "x").hard_link("b", "x").end();
    let separate = Archive::new().file("a", "x").file("b", "x").end();
    let comparison = compared(&gzip(&linked), &gzip(&separate));
    assert!(comparison.differences.iter().all(|one| one.aspects == [Aspect::Links]), "{comparison:?}");
    assert_eq!(comparison.differences.len(), 2);
}

#[test]
fn a_package_in_two_versions_explains_its_files() {
    let status =
        |version: &str| format!("Package: libx1\nStatus: install ok installed\nVersion: {version}\n\n");
    let files = |version: &str, library: &str| {
        [
            ("lib/libx.so.1", library.to_owned()),
            ("usr/share/other", library.to_owned()),
            ("var/lib/dpkg/info/libx1:amd64.list", "/.\n/lib/libx.so.1\n".to_owned()),
            ("var/lib/dpkg/info/libx1:amd64.md5sums", library.to_owned()),
            ("var/lib/dpkg/status", status(version)),
        ]
    };
    let archive = |version: &str, library: &str| {
        let files = files(version, library);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, content)| (*path, content.as_str())).collect();
        image(application(&files))
    };
    let comparison = compared(&archive("1.0-1", "old"), &archive("1.0-2", "new"));
    let package = &comparison.packages[0];
    assert_eq!((package.manager, package.name.as_str()), ("dpkg", "libx1"));
    assert_eq!((package.left.as_deref(), package.right.as_deref()), (Some("1.0-1"), Some("1.0-2")));
    let by_package: Vec<&str> = comparison
        .differences
        .iter()
        .filter(|one| causes(one).first() == Some(&Cause::PackageVersion))
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(
        by_package,
        ["/lib/libx.so.1", "/var/lib/dpkg/info/libx1:amd64.md5sums", "/var/lib/dpkg/status"]
    );
    let other = comparison.differences.iter().find(|one| one.path == "/usr/share/other").unwrap();
    assert!(other.unexplained && other.attributions.is_empty(), "{other:?}");
    let text = comparison.to_text(9);
    assert!(text.contains("part of libx1 1.0-1 → 1.0-2 (dpkg)"), "{text}");
}

/// python3.11-minimal is no part of python3, although its list begins like one of that.
#[test]
fn a_package_with_a_longer_name_is_another_package() {
    let status =
        |version: &str| format!("Package: x1\nVersion: {version}\n\nPackage: x1.2-lib\nVersion: 7\n\n");
    let side = |version: &str, content: &str| {
        image(application(&[
            ("lib/x", content),
            ("var/lib/dpkg/info/x1.2-lib.list", "/lib/x\n"),
            ("var/lib/dpkg/status", &status(version)),
        ]))
    };
    let comparison = compared(&side("1", "old"), &side("2", "new"));
    let other = comparison.differences.iter().find(|one| one.path == "/lib/x").unwrap();
    assert!(other.unexplained && other.attributions.is_empty(), "{other:?}");
}

#[test]
fn another_release_of_the_operating_system_is_named() {
    let release = |version: &str| {
        let text = format!("PRETTY_NAME=\"Debian GNU/Linux {version}\"\nVERSION_ID=\"{version}\"\n");
        gzip(&Archive::new().directory("etc").file("etc/os-release", &text).end())
    };
    let comparison = compared(&release("12"), &release("13"));
    assert_eq!(causes(&comparison.differences[0]), [Cause::BaseImage], "told once");
    let evidence = &comparison.differences[0].attributions[0].evidence;
    assert_eq!(evidence, "Debian GNU/Linux 12 12 → Debian GNU/Linux 13 13");
}

#[test]
fn a_boot_plan_names_the_key_of_the_configuration() {
    use caution_abi::boot_plan::{App, BootPlan, Readiness, Restart, RestartPolicy};
    let plan = |argument: &str, level: &str| BootPlan {
        version: BootPlan::VERSION,
        app: App {
            argv: vec!["/app".into(), argument.into()],
            env: [("LEVEL".to_owned(), level.to_owned())].into(),
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![],
        },
        ports: vec![],
        http_port: None,
        egress: vec![],
        e2e: None,
        readiness: Readiness::Started,
        restart: Restart {
            policy: RestartPolicy::Never,
            max_restarts: 0,
            backoff_ms: 100,
            backoff_max_ms: 100,
        },
        logs: false,
    };
    let archive = |plan: &BootPlan| {
        let text = String::from_utf8(plan.to_bytes()).unwrap();
        image(Archive::new().file("boot.json", &text).directory("rootfs"))
    };
    let comparison = compared(&archive(&plan("a", "info")), &archive(&plan("b", "debug")));
    assert_eq!(paths(&comparison), [("boot.json", Status::Changed)]);
    let difference = &comparison.differences[0];
    assert_eq!(causes(difference), [Cause::Config, Cause::Config]);
    assert_eq!(difference.attributions[0].evidence, "argv: [\"/app\",\"a\"] → [\"/app\",\"b\"]");
    assert!(difference.attributions[0].fix.contains("`run`"), "{difference:?}");
    assert_eq!(difference.attributions[1].evidence, "env LEVEL: `info` → `debug`");
    assert!(!difference.unexplained);
}

#[test]
fn everything_in_enclaveos_is_about_its_release() {
    let with = |init: &str| {
        let enclave_os = gzip(&Archive::new().file("init", init).end());
        eif(&[&enclave_os, &gzip(&application(&[]).end())])
    };
    let comparison = compared(&with("1"), &with("2"));
    assert_eq!(paths(&comparison), [("/init", Status::Changed)]);
    assert_eq!(causes(&comparison.differences[0])[0], Cause::EnclaveOs);
    assert_eq!(comparison.register_words(), Some("PCR1 differs: the EnclaveOS layer"));
}

#[test]
fn a_folder_is_compared_with_the_application_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "1").unwrap();
    let image = side(&image(application(&[("a", "2")])));
    let folder = Side::open(folder.path(), &Limits::default(), &std::env::temp_dir()).unwrap();
    for (left, right) in [(&image, &folder), (&folder, &image)] {
        let comparison = compare(left, right, &DiffLimits::default(), &std::env::temp_dir()).unwrap();
        let changed: Vec<&Difference> =
            comparison.differences.iter().filter(|one| one.aspects.contains(&Aspect::Content)).collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].path, "/a");
        let uncompared =
            comparison.layers.iter().filter(|one| one.outcome == LayerOutcome::NotCompared).count();
        assert_eq!(uncompared, 1, "EnclaveOS");
    }
}

#[test]
fn more_than_is_looked_into_is_said() {
    let left = gzip(&Archive::new().file("a", "12345").file("b", "1").end());
    let right = gzip(&Archive::new().file("a", "54321").file("b", "2").end());
    let limits = DiffLimits { file_bytes: 4, ..DiffLimits::default() };
    let comparison = compare(&side(&left), &side(&right), &limits, &std::env::temp_dir()).unwrap();
    let looked: Vec<(&str, bool)> =
        comparison.differences.iter().map(|one| (one.path.as_str(), one.not_looked_into.is_none())).collect();
    assert_eq!(looked, [("/a", false), ("/b", true)]);
}

#[test]
fn a_page_without_differences_has_nothing_to_filter() {
    let image = gzip(&Archive::new().file("a", "1").end());
    let title = crate::PageTitle { left: "a", right: "b", program: "test" };
    let page = compared(&image, &image).to_html(&title);
    assert!(page.contains("<h1>Nothing differs</h1>") && !page.contains("<script"), "{page}");
}

#[test]
fn a_page_escapes_what_images_hold() {
    let hostile = "<script>alert(1)</script>";
    let left = gzip(&Archive::new().file(&format!("{hostile}\u{1b}[2J"), "1").end());
    let right = gzip(&Archive::new().file(&format!("{hostile}\u{1b}[2J"), "2").end());
    let comparison = compared(&left, &right);
    let title = crate::PageTitle { left: hostile, right: "b", program: "test" };
    let page = comparison.to_html(&title);
    assert!(!page.contains(hostile), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("\\u{1b}"), "{page}");
    assert!(!comparison.to_text(9).contains('\u{1b}'));
}

#[test]
fn names_and_versions_of_packages_are_escaped() {
    let status = |version: &str| format!("Package: lib\u{1b}[2Jx\nVersion: {version}\u{202e}\n\n");
    let archive = |version: &str| image(application(&[("var/lib/dpkg/status", &status(version))]));
    let comparison = compared(&archive("1"), &archive("2"));
    let package = &comparison.packages[0];
    assert_eq!((package.name.as_str(), package.left.as_deref()), (r"lib\u{1b}[2Jx", Some(r"1\u{202e}")));
    assert!(!comparison.to_text(9).contains(['\u{1b}', '\u{202e}']));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Files by name with their bits and content.
    fn files() -> impl Strategy<Value = std::collections::BTreeMap<String, (bool, String)>> {
        proptest::collection::btree_map("[a-d]{1,2}", (any::<bool>(), "[x-z]{0,3}"), 0..8)
    }

    fn ramdisk(files: &std::collections::BTreeMap<String, (bool, String)>) -> Vec<u8> {
        let archive = files.iter().fold(Archive::new(), |archive, (path, (wide, content))| {
            archive.raw(path, if *wide { 0o100_664 } else { 0o100_644 }, 1, content)
        });
        gzip(&archive.end())
    }

    proptest! {
        #[test]
        fn what_differs_is_what_differs_and_the_sides_can_be_exchanged(left in files(), right in files()) {
            let there = compared(&ramdisk(&left), &ramdisk(&right));
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            let expected: Vec<String> =
                names.into_iter().filter(|name| left.get(*name) != right.get(*name)).map(|name| format!("/{name}")).collect();
            let mut found: Vec<String> = there.differences.iter().map(|one| one.path.clone()).collect();
            found.sort();
            prop_assert_eq!(found, expected);

            let back = compared(&ramdisk(&right), &ramdisk(&left));
            let seen = |comparison: &Comparison| -> Vec<_> {
                let of = |one: &Difference| (one.path.clone(), one.status, one.left.clone(), one.right.clone(), one.aspects.clone());
                let mut seen: Vec<_> = comparison.differences.iter().map(of).collect();
                seen.sort_by(|a, b| a.0.cmp(&b.0));
                seen
            };
            prop_assert_eq!(seen(&mirrored(&there)), seen(&back));
            prop_assert!(compared(&ramdisk(&left), &ramdisk(&left)).is_same());
        }
    }
}
