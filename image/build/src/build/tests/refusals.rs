//! Builds that stop, and what they leave.

use super::*;

#[test]
fn a_failed_container_build_shows_its_step_and_leaves_no_image() {
    let scratch = app();
    scratch.write("Containerfile", "FROM scratch\nCOPY no-such-file /\n");
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("fails");
    let text = error.to_string();
    assert!(text.contains("at `STEP 2/2: COPY no-such-file /`") && text.contains("no such file"), "{text}");
    let stage = scratch.path().join("eif-stage");
    let log = fs::read_to_string(stage.join("build.log")).expect("was kept");
    assert!(log.contains("STEP 2/2"), "{log}");
    assert!(!stage.join("output").exists() && !stage.join(".partial").exists());
}

#[test]
fn a_commit_that_pins_another_enclaveos_is_refused_with_both() {
    let scratch = app();
    let first = build_quietly(&scratch).expect("builds");
    fs::copy(scratch.path().join("eif-stage/Containerfile.eif"), scratch.path().join("Containerfile.eif"))
        .expect("copies");
    scratch.commit();
    assert_eq!(build_quietly(&scratch).expect("is the pinned one").measurements, first.measurements);

    let other = release(&scratch.outside("other release"), b"another kernel");
    let error = run(scratch.path(), &other, &|_| {}).expect_err("is another one");
    let text = error.to_string();
    for pcr1 in [first.measurements.pcr1, other.reference().pcr1] {
        assert!(text.contains(&pcr1.to_string()), "{text}");
    }
    let pinned = release(&scratch.outside("release"), KERNEL).id().to_string();
    assert!(error.fix().is_some_and(|fix| fix.contains(&pinned)), "{error}");
}

#[test]
fn what_can_be_refused_is_refused_before_anything_is_written() {
    let scratch = app();
    scratch.git(&["rm", "-q", "Containerfile"]);
    scratch.git(&["commit", "-qm", "no Containerfile"]);
    let error = build_quietly(&scratch).expect_err("has none");
    assert!(error.to_string().ends_with("has no `Containerfile` or `Dockerfile`."), "{error}");

    scratch.write(
        "Containerfile",
        &format!("FROM scratch\nFROM stagex/core-filesystem@sha256:{}\n", "5".repeat(63)),
    );
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("has a short digest");
    assert!(
        error.to_string().contains("Containerfile:2") && error.to_string().contains("has 63 characters"),
        "{error}"
    );

    scratch.write("Containerfile", "FROM debian:12 AS a\nFROM scratch\nCOPY --from=busybox /x /x\n");
    scratch.commit();
    let error = build_strictly(&scratch).expect_err("is not pinned");
    assert_eq!(
        error.to_string(),
        "2 base images are named without a digest:\n    Containerfile:1: `debian:12`\n    Containerfile:3: `busybox`"
    );

    scratch.write("Containerfile", "# syntax=docker/dockerfile:1\nFROM scratch\n");
    scratch.commit();
    let error = build_strictly(&scratch).expect_err("is not pinned");
    assert_eq!(
        error.to_string(),
        "A base image is named without a digest:\n    Containerfile:1: `docker/dockerfile:1`"
    );
    scratch.write("Containerfile", &format!("# syntax=x@sha256:{}\nFROM scratch\n", "5".repeat(63)));
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("has a short digest");
    assert!(error.to_string().contains("Containerfile:1: the digest of `x@sha256:5"), "{error}");

    fs::write(scratch.path().join("Containerfile"), b"FROM scratch\n# \xff\n").expect("writes");
    scratch.commit();
    assert!(matches!(build_quietly(&scratch), Err(BuildError::ContainerfileNotText(_))));
    assert!(!scratch.path().join("eif-stage").exists());
}

#[test]
fn a_release_whose_files_changed_after_it_was_loaded_is_refused() {
    let scratch = app();
    let release = release(&scratch.outside("release"), KERNEL);
    fs::write(release.kernel_path(), "another kernel").expect("writes");
    let error = run(scratch.path(), &release, &|_| {}).expect_err("measures something else");
    assert!(matches!(error, BuildError::EnclaveOsChanged { .. }), "{error}");
    assert!(!scratch.path().join("eif-stage/output").exists());
}
