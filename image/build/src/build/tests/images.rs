//! Images that are there already: in the commit, or on this machine.

use super::*;
use std::error::Error as _;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::PathBuf;

/// The image of [`app`] in every form that engines write, in the folder of the scratch repository.
fn forms(scratch: &Scratch) -> [PathBuf; 3] {
    let (layout, archive, docker) =
        (scratch.outside("layout"), scratch.outside("archive.tar"), scratch.outside("docker.tar"));
    let script = r#"set -eu
        buildah build -q --isolation chroot --layers --iidfile "$4" . >/dev/null
        id=$(cat "$4")
        buildah push -q "$id" "oci:$1:image"
        buildah push -q "$id" "oci-archive:$2:image"
        buildah push -q "$id" "docker-archive:$3:image:latest""#;
    let output = Command::new("/bin/sh")
        .args(["-c", script, "forms"])
        .args([&layout, &archive, &docker, &scratch.outside("id")])
        .current_dir(scratch.path())
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [layout, archive, docker]
}

fn of_image(scratch: &Scratch, image: &Path) -> Result<Built, BuildError> {
    let with = With { image: Some(image), ..With::default() };
    run_with(scratch.path(), &release(&scratch.outside("release"), KERNEL), &with, &|_| {})
}

#[test]
fn an_image_beyond_a_limit_is_refused_by_its_name_and_can_be_allowed() {
    let scratch = app();
    let [layout, ..] = forms(&scratch);
    let release = release(&scratch.outside("release"), KERNEL);
    let with_entries = |entries| {
        let limits = Limits { entries, ..Limits::default() };
        let with = With { image: Some(&layout), limits, ..With::default() };
        run_with(scratch.path(), &release, &with, &|_| {})
    };
    let refusal = with_entries(1).expect_err("has more than one");
    let causes = std::iter::successors(refusal.source(), |error| (*error).source());
    assert!(causes.map(ToString::to_string).any(|cause| cause.contains("(entries)")), "{refusal:?}");
    assert!(refusal.fix().is_some_and(|fix| fix.contains("--limit")));
    with_entries(100).expect("is allowed");
}

#[test]
fn every_form_of_an_image_gives_the_bytes_of_its_build() {
    let scratch = app();
    let built = build_quietly(&scratch).expect("builds");
    for form in forms(&scratch) {
        let given = of_image(&scratch, &form).unwrap_or_else(|error| panic!("{}: {error}", form.display()));
        assert_eq!(given.sha256, built.sha256, "{}", form.display());
        // Nobody else can make this image from the commit, so the manifest does not say so.
        assert_eq!(given.manifest.app_source, None);

        if form.is_file() {
            let clone = scratch.outside("clone");
            scratch.git(&["clone", "-q", &scratch.path().to_string_lossy(), &clone.to_string_lossy()]);
            fs::copy(&form, clone.join("image.tar")).expect("copies");
            let procfile = fs::read_to_string(clone.join("Procfile")).expect("reads");
            fs::write(clone.join("Procfile"), procfile + "oci_tarball: image.tar\n").expect("writes");
            scratch.git(&["-C", &clone.to_string_lossy(), "add", "-A"]);
            scratch.git(&["-C", &clone.to_string_lossy(), "commit", "-qm", "image"]);
            let release = release(&scratch.outside("release"), KERNEL);
            let committed = run(&clone, &release, &|_| {}).expect("builds");
            assert_eq!((committed.sha256, committed.image), (built.sha256, given.image));
            let source = committed.manifest.app_source.expect("names its commit");
            assert_eq!(source.commit, committed.commit.to_string());
            let pin = fs::read_to_string(clone.join("eif-stage/Containerfile.eif")).expect("was written");
            fs::write(clone.join("Containerfile.eif"), pin).expect("writes");
            scratch.git(&["-C", &clone.to_string_lossy(), "add", "-A"]);
            scratch.git(&["-C", &clone.to_string_lossy(), "commit", "-qm", "pin"]);
            assert_eq!(run(&clone, &release, &|_| {}).expect("is the pinned one").sha256, built.sha256);
            builds_something(&scratch, &clone);
            fs::remove_dir_all(clone).expect("removes");
        }
    }
}

/// Adds a stage to a `Containerfile.eif` of which nothing is built: nobody compares it with anything.
fn builds_something(scratch: &Scratch, clone: &Path) {
    let path = clone.join("Containerfile.eif");
    let text = fs::read_to_string(&path).expect("reads");
    let line = text.lines().count() + 1;
    fs::write(path, text + "FROM scratch\n").expect("writes");
    scratch.git(&["-C", &clone.to_string_lossy(), "commit", "-qam", "a stage"]);
    let error = run(clone, &release(&scratch.outside("release"), KERNEL), &|_| {}).expect_err("is refused");
    let expected = format!(
        "Containerfile.eif:{line}: `FROM scratch` does not follow from `image.tar` of the same commit"
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

/// Asserts on what was done, by the counts of the result; a file of 200 kB has a block of its own.
#[test]
fn a_second_build_unpacks_and_compresses_only_what_changed() {
    let scratch = app();
    let store = scratch.outside("store");
    let build_with = |image: &Path, store: Option<&Path>| {
        let with = With { image: Some(image), store, ..With::default() };
        run_with(scratch.path(), &release(&scratch.outside("release"), KERNEL), &with, &|progress| {
            assert!(!matches!(progress, Progress::Note(_)), "{progress:?}");
        })
        .expect("builds")
    };
    scratch.write(
        "Containerfile",
        "FROM scratch\nCOPY tree /\nCOPY large /large\nENTRYPOINT [\"/app/server\"]\n",
    );
    scratch.write("tree/constant", &"always the same ".repeat(20_000));
    for (content, layers, kept) in [("one ", (0, 2), 0), ("one ", (2, 0), 520_000), ("two ", (1, 1), 320_000)]
    {
        scratch.write("large", &content.repeat(50_000));
        scratch.commit();
        let [layout, archive, docker] = forms(&scratch);
        let built = build_with(&layout, Some(&store));
        let reuse = built.reuse;
        assert_eq!((reuse.layers_ready, reuse.layers_unpacked), layers, "{content}: {reuse:?}");
        assert_eq!(reuse.bytes_ready, kept, "{content}: {reuse:?}");
        assert_eq!(build_with(&layout, None).sha256, built.sha256);
        let other = build_with(&archive, Some(&store)).reuse;
        assert_eq!((other.layers_ready, other.layers_unpacked), (2, 0));
        assert_eq!(build_with(&docker, Some(&store)).reuse.bytes_ready, 520_000);
        for form in [&archive, &docker] {
            fs::remove_file(form).expect("removes");
        }
        fs::remove_dir_all(&layout).expect("removes");
    }
}

/// As a user who may do nothing, on a machine where nothing but git can be found.
#[test]
fn an_image_needs_no_engine_and_no_privileges() {
    let scratch = app();
    let built = build_quietly(&scratch).expect("builds");
    let [layout, ..] = forms(&scratch);
    fs::rename(layout, scratch.outside("image")).expect("renames");
    let programs = scratch.outside("programs");
    fs::create_dir(&programs).expect("mkdir");
    let git = crate::process::find_program("git").expect("is installed");
    std::os::unix::fs::symlink(git, programs.join("git")).expect("links");
    // Where tests are built may be closed to others.
    let this = scratch.outside("this");
    fs::copy(std::env::current_exe().expect("is running"), &this).expect("copies");
    let everyone = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scratch.outside("."), everyone).expect("opens the folder");
    fs::remove_dir_all(scratch.path().join("eif-stage")).expect("removes");

    let mut shell = format!("PATH='{}' exec \"$0\" \"$@\"", programs.display());
    if nix::unistd::geteuid().is_root() {
        give_away(scratch.path());
        let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all";
        shell = format!("exec {nobody} /usr/bin/env HOME=/ PATH='{}' \"$0\" \"$@\"", programs.display());
    }
    let ended = child_of(&this, scratch.path(), &shell);
    assert!(ended.success(), "{ended}");
    let image = fs::read(scratch.path().join("eif-stage/output/enclave.eif")).expect("was built");
    assert_eq!(Sha256Digest::of(&image), built.sha256);
}

/// Makes a folder and all below it the unprivileged user's.
fn give_away(path: &Path) {
    lchown(path, Some(65534), Some(65534)).expect("is root");
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("reads") {
            give_away(&entry.expect("reads").path());
        }
    }
}

#[test]
fn images_that_cannot_be_used_are_named_before_anything_is_written() {
    let scratch = app();
    let [layout, archive, _] = forms(&scratch);
    let refused = |path: &Path| of_image(&scratch, path).expect_err("cannot be used");
    let said = |error: &BuildError| {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {cause}")
    };

    let index = fs::read_to_string(layout.join("index.json")).expect("reads");
    let for_arm = index.replacen(
        "\"mediaType\"",
        "\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"},\"mediaType\"",
        1,
    );
    fs::write(layout.join("index.json"), for_arm).expect("writes");
    let error = refused(&layout);
    let text = said(&error);
    assert!(text.contains("`layout`") && text.contains("linux/amd64; it is for linux/arm64"), "{text}");
    assert!(error.fix().is_some_and(|fix| fix.contains("--platform linux/amd64")));

    assert!(said(&refused(&scratch.outside("absent.tar"))).contains("absent.tar"));
    fs::write(scratch.outside("other.tar"), [0; 1024]).expect("writes");
    let error = refused(&scratch.outside("other.tar"));
    assert!(error.fix().is_some_and(|fix| fix.contains("docker save")), "{error}");
    let gzip = Command::new("gzip").arg("-k").arg(&archive).status().expect("gzip runs");
    assert!(gzip.success());
    assert!(said(&refused(&scratch.outside("archive.tar.gz"))).contains("compressed with gzip"));

    let committed = |procfile: &str, why: &str| {
        scratch.write("Procfile", procfile);
        scratch.commit();
        let error = build_quietly(&scratch).expect_err("has no image");
        assert!(said(&error).contains(why), "{}", said(&error));
    };
    committed("run: /a\noci_tarball: image.tar\n", "no `image.tar`, which its configuration names");
    committed("run: /a\noci_tarball: tree\n", "`tree` in commit");
    assert!(!scratch.path().join("eif-stage").exists());
    scratch.write(
        "image.tar",
        &format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1\n", "ab".repeat(32)),
    );
    committed("run: /a\noci_tarball: image.tar\n", "Git LFS pointer `image.tar`");
    assert!(!scratch.path().join("eif-stage/output").exists());
}

#[test]
fn one_file_of_the_image_is_packed_with_certificates_and_nothing_else() {
    let scratch = app();
    scratch.write("tree/etc/ssl/certs/ca-certificates.crt", "certificates");
    scratch.write("tree/app/server", "a program that needs no other");
    scratch.write("Procfile", "run: /app/link -v\nbinary: /app/link\n");
    scratch.commit();
    let built = build_quietly(&scratch).expect("builds");
    let rootfs = ["app", "app/link", "etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt"];
    let mut expected = vec!["boot.json".to_owned(), "rootfs".to_owned()];
    expected.extend(rootfs.map(|name| format!("rootfs/{name}")));
    expected.push("sealed.json".to_owned());
    assert_eq!(names_and_last(scratch.path()).0, expected);
    let app = built.boot_plan.app;
    // The user is the image's, though the file that names it is left out.
    assert_eq!((app.argv, app.cwd.as_str(), app.uid), (vec!["/app/link".into(), "-v".into()], "/", 1000));

    scratch.write("tree/app/server", "#!/bin/sh\n");
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("cannot start alone");
    assert!(
        matches!(&error, BuildError::NeedsInterpreter { interpreter, .. } if interpreter == "/bin/sh"),
        "{error}"
    );
    assert!(error.fix().is_some_and(|fix| fix.contains("link it statically")), "{error}");

    scratch.write("Procfile", "run: /app/gone\nbinary: /app/gone\n");
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("has no such file");
    assert!(matches!(&error, BuildError::NoBinary(path) if path == "/app/gone"), "{error}");
    scratch.write("tree/app/server", "a program that needs no other");
    scratch.write("Procfile", "run: /app/server | tee /log\nbinary: /app/server\n");
    scratch.commit();
    let error = build_quietly(&scratch).expect_err("runs a shell");
    assert!(error.to_string().contains("the command runs `/bin/sh`"), "{error}");
}
