use super::*;
use std::fs;

fn install(cache: &Path, kernel: &[u8]) -> Release {
    let toolchain = Toolchain {
        rustc: "rustc 1.95.0".into(),
        target: "x86_64-unknown-linux-gnu".into(),
        gcc: "gcc 12".into(),
        binutils: "ld 2.40".into(),
        libc: "libc6-dev 2.36".into(),
        zstd: "1.5.4".into(),
    };
    let parts = Parts {
        version: "0.1.0",
        kernel_version: "6.12.1-1",
        kernel,
        cmdline: "reboot=k",
        ramdisk: b"ramdisk",
        toolchain,
    };
    Release::install(cache, parts).unwrap()
}

#[test]
fn a_release_is_found_by_its_identity_and_as_the_default() {
    let cache = tempfile::tempdir().unwrap();
    let first = install(cache.path(), b"kernel one");
    let second = install(cache.path(), b"kernel two");
    assert!(matches!(default_release(cache.path()), Err(ReleaseError::NoDefault)));
    second.make_default(cache.path()).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(installed(cache.path(), &first.id()).unwrap(), first);
    assert_eq!(default_release(cache.path()).unwrap(), second);
    assert_eq!(by_pcr1(cache.path(), &first.info.pcr1).unwrap().as_ref(), Some(&first));
    assert_eq!(by_pcr1(cache.path(), &Pcr::EMPTY).unwrap(), None);
    assert_eq!(fs::read(second.kernel_path()).unwrap(), b"kernel two");
    assert_eq!(fs::read(second.ramdisk_path()).unwrap(), b"ramdisk");
    // Installing again changes nothing.
    assert_eq!(install(cache.path(), b"kernel one"), first);
    assert_eq!(default_release(cache.path()).unwrap(), second);
}

#[test]
fn pcr1_covers_kernel_command_line_and_ramdisk_in_this_order() {
    let cache = tempfile::tempdir().unwrap();
    let release = install(cache.path(), b"kernel");
    let mut pcr = PcrHasher::new();
    pcr.update(b"kernelreboot=kramdisk");
    assert_eq!(release.info.pcr1, pcr.finish());
    assert_eq!(release.reference().pcr1, release.info.pcr1);
}

#[test]
fn every_changed_file_is_noticed() {
    for (name, content, what) in [
        (KERNEL, "kernal", "the kernel's SHA-256"),
        (KERNEL, "kernel ", "the kernel's size"),
        (RAMDISK, "ramdusk", "the ramdisk's SHA-256"),
        (RAMDISK, "", "the ramdisk's size"),
        (CMDLINE, "reboot=t", "the command line"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let release = install(cache.path(), b"kernel");
        fs::write(release.dir.join(name), content).unwrap();
        let error = Release::load(&release.dir).unwrap_err();
        assert!(matches!(&error, ReleaseError::Changed { what: w, .. } if *w == what), "{error}");
        assert!(by_pcr1(cache.path(), &release.info.pcr1).is_err());
        // A build repairs it.
        assert_eq!(install(cache.path(), b"kernel"), release);
    }
}

#[test]
fn a_note_that_lies_about_pcr1_is_noticed() {
    let cache = tempfile::tempdir().unwrap();
    let release = install(cache.path(), b"kernel");
    let path = release.dir.join(INFO);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&release.info.pcr1.to_string(), &Pcr::EMPTY.to_string())).unwrap();
    let error = Release::load(&release.dir).unwrap_err();
    assert!(matches!(error, ReleaseError::Changed { what: "PCR1", .. }), "{error}");
    fs::write(&path, text.replace("\"version\"", "\"versoin\"")).unwrap();
    assert!(matches!(Release::load(&release.dir), Err(ReleaseError::Json { .. })));
}

#[test]
fn a_release_under_another_name_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let release = install(cache.path(), b"kernel");
    let other = Sha256Digest::of(b"other");
    assert!(matches!(installed(cache.path(), &other), Err(ReleaseError::NotInstalled { .. })));
    fs::rename(&release.dir, place(cache.path(), &other)).unwrap();
    let error = installed(cache.path(), &other).unwrap_err();
    assert!(matches!(error, ReleaseError::OtherRelease { actual, .. } if actual == release.id()), "{error}");
}

#[test]
fn without_a_build_there_is_no_default() {
    let cache = tempfile::tempdir().unwrap();
    let error = default_release(cache.path()).unwrap_err();
    assert!(error.fix().is_some_and(|fix| fix.contains("caution enclaveos build")), "{error}");
    fs::create_dir(cache.path().join(RELEASES)).unwrap();
    fs::write(cache.path().join(RELEASES).join(CURRENT), "../..\n").unwrap();
    assert!(matches!(default_release(cache.path()), Err(ReleaseError::Pointer { .. })));
}
