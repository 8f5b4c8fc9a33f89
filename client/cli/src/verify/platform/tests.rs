use super::*;
use caution_measure::PcrHasher;
use serde_json::json;
use std::fs;
use std::path::Path;

/// A release of three short files, as a build leaves one.
fn release(folder: &Path, kernel: &str) -> Release {
    let (cmdline, ramdisk) = ("reboot=k", "ramdisk");
    let mut pcr1 = PcrHasher::new();
    for part in [kernel, cmdline, ramdisk] {
        pcr1.update(part.as_bytes());
    }
    let file = |text: &str| json!({ "sha256": Sha256Digest::of(text.as_bytes()), "size": text.len() });
    let tools = ["rustc", "target", "gcc", "binutils", "libc", "zstd"];
    let info = json!({
        "version": "0.2.0", "kernel_version": "6.12.1-1", "pcr1": pcr1.finish(), "cmdline": cmdline,
        "kernel": file(kernel), "ramdisk": file(ramdisk),
        "toolchain": tools.iter().map(|name| ((*name).to_owned(), json!("1"))).collect::<serde_json::Map<_, _>>(),
    });
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in [
        ("kernel", kernel),
        ("cmdline", cmdline),
        ("ramdisk0.cpio.gz", ramdisk),
        ("release.json", &info.to_string()),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    Release::load(folder).unwrap()
}

/// A list of one release, built from commit `1111…`.
fn list(of: &Release) -> KnownReleases {
    let entry = KnownRelease::of(of, &"1".repeat(40));
    let list = json!({ "schema": "caution.enclaveos-releases/1", "serial": 1, "releases": [entry] });
    KnownReleases::parse(list.to_string().as_bytes()).unwrap()
}

fn nothing() -> KnownReleases {
    KnownReleases::parse(br#"{"schema": "caution.enclaveos-releases/1", "serial": 1, "releases": []}"#)
        .unwrap()
}

#[test]
fn a_release_is_believed_when_it_is_known_built_here_or_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let release = release(dir.path(), "kernel");
    let pcr1 = release.info.pcr1;
    let built = || Some(release.clone());
    let short = pcr1.abbreviated();
    for (list, built, allowed, expected) in [
        (
            list(&release),
            None,
            vec![],
            format!("EnclaveOS 0.2.0, known release (kernel 6.12.1-1, source commit 1111111, PCR1 {short})"),
        ),
        (
            list(&release),
            built(),
            vec![pcr1],
            format!("EnclaveOS 0.2.0, known release (kernel 6.12.1-1, source commit 1111111, PCR1 {short})"),
        ),
        (nothing(), built(), vec![pcr1], format!("EnclaveOS 0.2.0, built from source here (PCR1 {short})")),
        (
            nothing(),
            None,
            vec![Pcr::EMPTY, pcr1],
            format!(
                "NOT A KNOWN EnclaveOS RELEASE: believed only because --allow-enclaveos names it (PCR1 {short})"
            ),
        ),
    ] {
        let Ok(belief) = (Knowledge { list, pin: None, built, allowed: &allowed }).judge(&pcr1) else {
            panic!("{expected}")
        };
        assert_eq!(belief.describe(&pcr1, false).0, expected);
    }
}

#[test]
fn a_pin_says_which_release_it_is_and_never_why_to_believe_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (this, other) = (release(&dir.path().join("1"), "kernel"), release(&dir.path().join("2"), "other"));
    let (pcr1, id) = (this.info.pcr1, this.id());
    let judge = |list, pin, built, allowed: &[Pcr]| {
        let judged = (Knowledge { list, pin: Some(pin), built, allowed }).judge(&pcr1);
        judged.map(|belief| belief.describe(&pcr1, true).0).map_err(|Doubt(detail, _)| detail)
    };
    let pin = Pin { id, pcr1 };
    assert!(
        judge(list(&this), pin, None, &[]).unwrap().contains("0.2.0, pinned by the commit, known release")
    );
    assert!(
        judge(nothing(), pin, Some(this.clone()), &[]).unwrap().contains("pinned by the commit, built from")
    );
    assert!(
        judge(nothing(), pin, None, &[pcr1])
            .unwrap()
            .contains("RELEASE: pinned by the commit, believed only")
    );
    assert!(judge(nothing(), pin, None, &[]).unwrap_err().contains("the commit pins is not known"));
    // Another release is not the pinned one, however well it is known.
    let elsewhere = Pin { id: other.id(), pcr1: other.info.pcr1 };
    assert!(
        judge(list(&this), elsewhere, Some(this.clone()), &[pcr1]).unwrap_err().starts_with("PCR1 differs")
    );
    // Neither is one with the same register and other files.
    assert!(
        judge(list(&this), Pin { id: other.id(), pcr1 }, None, &[pcr1])
            .unwrap_err()
            .contains("another identity")
    );
}

#[test]
fn an_unknown_release_is_named_with_the_ways_out() {
    let dir = tempfile::tempdir().unwrap();
    let built = release(dir.path(), "kernel");
    for built in [Some(built.clone()), None] {
        let here = built.is_some();
        let knowledge = Knowledge { list: nothing(), pin: None, built, allowed: &[] };
        let Err(Doubt(detail, lines)) = knowledge.judge(&Pcr::EMPTY) else { panic!("believed") };
        assert_eq!(
            detail.starts_with("PCR1 differs: not EnclaveOS 0.2.0 as built from source here"),
            here,
            "{detail}"
        );
        let lines = lines.join("\n");
        for words in [
            format!("running {}", Pcr::EMPTY),
            "fix: caution enclaveos releases --update FILE".into(),
            format!("--allow-enclaveos {}", Pcr::EMPTY),
        ] {
            assert!(lines.contains(&words), "{lines}");
        }
    }
}

#[test]
fn bytes_that_are_not_here_are_named_with_the_command_that_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let release = release(&dir.path().join("release"), "kernel");
    let known = || KnownRelease::of(&release, &"1".repeat(40));
    let cache = dir.path().join("cache");
    let platform = |belief| Platform { cache: cache.clone(), pcr1: release.info.pcr1, belief };
    for (belief, command) in [
        (Belief::Known(known()), "caution enclaveos verify 0.2.0"),
        (Belief::Allowed(None), "caution enclaveos build"),
        (Belief::Allowed(Some(release.id())), "caution enclaveos build"),
    ] {
        let error = platform(belief).release().unwrap_err();
        assert_eq!(error.exit, Exit::CannotReproduce);
        assert!(error.hint.as_ref().is_some_and(|hint| hint.starts_with(command)), "{error:?}");
    }
    fs::create_dir_all(cache.join("enclaveos")).unwrap();
    fs::rename(&release.dir, cache.join("enclaveos").join(release.id().to_string())).unwrap();
    for belief in [Belief::Known(known()), Belief::Allowed(None), Belief::Allowed(Some(release.id()))] {
        assert_eq!(platform(belief).release().unwrap().id(), release.id());
    }
}
