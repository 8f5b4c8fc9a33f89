//! Whole builds with the real buildah: `FROM scratch`, so that no base image is needed.

mod another_user;
mod images;
mod odd_names;
mod processors;
mod refusals;

use super::*;
use crate::boot_plan_of;
use crate::engine::EngineName;
use crate::git::Repository;
use crate::testing::Scratch;
use caution_abi::boot_plan;
use caution_abi::manifest::EnclaveOsRef;
use caution_abi::seal::{self, Seal};
use caution_eif::{SectionKind, Signer};
use caution_enclaveos::{FileInfo, Release, ReleaseInfo, Toolchain};
use caution_measure::{ImagePcrs, PcrHasher, Sha256Digest};
use caution_rootfs::Limits;
use std::cell::RefCell;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

const KERNEL: &[u8] = b"not a kernel, but measured like one";
const CMDLINE: &str = "reboot=k panic=1";
const RAMDISK: &[u8] = b"not a ramdisk either";

/// A release of nothing bootable, in `dir`.
fn release(dir: &Path, kernel: &[u8]) -> Release {
    fs::create_dir_all(dir).expect("mkdir");
    let mut pcr1 = PcrHasher::new();
    for part in [kernel, CMDLINE.as_bytes(), RAMDISK] {
        pcr1.update(part);
    }
    let file = |bytes: &[u8]| FileInfo { sha256: Sha256Digest::of(bytes), size: bytes.len() as u64 };
    let text = || "test".to_owned();
    let info = ReleaseInfo {
        version: "0.0.0-test".into(),
        kernel_version: "6.12.0".into(),
        pcr1: pcr1.finish(),
        cmdline: CMDLINE.into(),
        kernel: file(kernel),
        ramdisk: file(RAMDISK),
        toolchain: Toolchain {
            rustc: text(),
            target: text(),
            gcc: text(),
            binutils: text(),
            libc: text(),
            zstd: text(),
        },
    };
    for (name, bytes) in [
        ("kernel", kernel),
        ("cmdline", CMDLINE.as_bytes()),
        ("ramdisk0.cpio.gz", RAMDISK),
        ("release.json", &serde_json::to_vec(&info).expect("is JSON")),
    ] {
        fs::write(dir.join(name), bytes).expect("writes");
    }
    Release::load(dir).expect("is a release")
}

/// A commit whose image has users, modes, links and an environment.
fn app() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "Procfile",
        "run: /app/server --port 8080\nports: 8080\napp_sources: https://git.example.org/a.git\n",
    );
    scratch.write(
        "Containerfile",
        "FROM scratch AS files\nCOPY tree /\n\nFROM scratch\nCOPY --from=files / /\nENV COLOUR=blue\nUSER app\nWORKDIR /app\nENTRYPOINT [\"/app/other\"]\n",
    );
    scratch.write("tree/app/server", "#!/bin/true\n");
    scratch.write("tree/etc/passwd", "root:x:0:0::/:\napp:x:1000:1000::/app:\n");
    scratch.write("tree/etc/group", "root:x:0:\napp:x:1000:\nlog:x:1001:app\n");
    std::os::unix::fs::symlink("server", scratch.path().join("tree/app/link")).expect("links");
    scratch.commit();
    scratch
}

/// What a build is asked for beside the commit.
#[derive(Default)]
struct With<'a> {
    image: Option<&'a Path>,
    strict: bool,
    limits: Limits,
    signer: Option<&'a Signer>,
    store: Option<&'a Path>,
}

fn run(root: &Path, release: &Release, progress: &dyn Fn(Progress<'_>)) -> Result<Built, BuildError> {
    run_with(root, release, &With::default(), progress)
}

fn run_with(
    root: &Path,
    release: &Release,
    with: &With<'_>,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Built, BuildError> {
    run_into(&root.join("eif-stage"), root, release, with, progress)
}

fn run_into(
    output: &Path,
    root: &Path,
    release: &Release,
    with: &With<'_>,
    progress: &dyn Fn(Progress<'_>),
) -> Result<Built, BuildError> {
    let repo = Repository::discover(root)?;
    build(&Request {
        repo: &repo,
        commit: &repo.head()?,
        branch: repo.branch()?,
        release,
        image: with.image,
        // Others are tried where they are installed on purpose; here their words would differ.
        engine: Some(EngineName::Buildah),
        no_cache: false,
        no_network: false,
        trial: None,
        strict: with.strict,
        limits: with.limits,
        signer: with.signer,
        store: with.store,
        output,
        progress,
    })
}

fn run_signed(root: &Path, release: &Release, signer: &Signer) -> Result<Built, BuildError> {
    let with = With { signer: Some(signer), ..With::default() };
    run_with(root, release, &with, &|_| {})
}

fn build_quietly(scratch: &Scratch) -> Result<Built, BuildError> {
    run(scratch.path(), &release(&scratch.outside("release"), KERNEL), &|_| {})
}

fn build_strictly(scratch: &Scratch) -> Result<Built, BuildError> {
    let strict = With { strict: true, ..With::default() };
    run_with(scratch.path(), &release(&scratch.outside("release"), KERNEL), &strict, &|_| {})
}

#[test]
fn a_commit_becomes_an_image_and_its_companions() {
    let scratch = app();
    let release = release(&scratch.outside("release"), KERNEL);
    let seen = RefCell::new(Vec::new());
    let built = run(scratch.path(), &release, &|progress| match progress {
        Progress::Step { step, detail, .. } => seen.borrow_mut().push((step, detail)),
        Progress::Warning { message, .. } => panic!("{message}"),
        Progress::Started(_) | Progress::EngineLine(_) | Progress::Note(_) => {}
    })
    .expect("builds");

    let stage = scratch.path().join("eif-stage");
    let read = |name: &str| fs::read(stage.join(name)).expect("is there");
    let mut names: Vec<_> =
        fs::read_dir(&stage).expect("reads").map(|e| e.expect("reads").file_name()).collect();
    names.sort();
    assert_eq!(names, ["Containerfile.eif", "boot.json", "build.log", "manifest.json", "output"]);

    let eif = read("output/enclave.eif");
    assert_eq!((built.size, built.sha256), (eif.len() as u64, Sha256Digest::of(&eif)));
    let image = caution_eif::read(eif.as_slice(), &caution_eif::Limits::default()).expect("is an image");
    assert_eq!(image.measurements, built.measurements);
    assert_eq!(built.measurements.pcr1, release.reference().pcr1);
    let pcrs = String::from_utf8(read("output/enclave.pcrs")).expect("is text");
    let ImagePcrs { measurements, pcr8 } = ImagePcrs::from_text(&pcrs).expect("is readable");
    assert_eq!((measurements, pcr8, built.pcr8), (built.measurements, None, None));

    let ramdisks: Vec<u8> = image
        .sections_of(caution_eif::SectionKind::Ramdisk)
        .flat_map(|s| {
            let start = usize::try_from(s.data_offset).expect("fits");
            eif[start..start + usize::try_from(s.size).expect("fits")].to_vec()
        })
        .collect();
    assert_eq!(read("output/rootfs.cpio.gz"), ramdisks);

    let plan = boot_plan_of(&stage.join("output/enclave.eif")).expect("has a plan");
    assert_eq!((&plan, plan.to_bytes()), (&built.boot_plan, read("boot.json")));
    assert_eq!(plan.app.argv, ["/app/server", "--port", "8080"]);
    assert_eq!((plan.app.uid, plan.app.gid, plan.app.groups), (1000, 1000, vec![1000, 1001]));
    assert_eq!(
        (plan.app.cwd.as_str(), plan.app.env.get("COLOUR").map(String::as_str)),
        ("/app", Some("blue"))
    );

    assert_eq!(read("manifest.json"), built.manifest.to_bytes());
    assert_eq!(
        built.manifest.enclaveos,
        EnclaveOsRef { version: "0.0.0-test".into(), pcr1: built.measurements.pcr1 }
    );
    let pinned = String::from_utf8(read("Containerfile.eif")).expect("is text");
    assert!(pinned.contains(&format!("{} pcr1 {}\n", release.id(), built.measurements.pcr1)), "{pinned}");

    let steps: Vec<_> = seen.borrow().iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Step::Source, Step::Container, Step::Filesystem, Step::Image]);
    let details: Vec<_> = seen.into_inner().into_iter().map(|(_, detail)| detail).collect();
    assert!(details[0].ends_with("(clean export, 6 files)"), "{details:?}");
    assert_eq!(details[1], "buildah · Containerfile · 2 stages");
    assert_eq!(details[2], "6 entries, 87 B");
    assert!(details[3].starts_with("eif-stage/output/enclave.eif · "), "{details:?}");

    let repository = Repository::discover(scratch.path()).expect("is a repository");
    assert_eq!(repository.dirty().expect("asks"), Vec::<String>::new());
}

#[test]
fn a_release_that_is_older_than_encryption_is_refused_before_anything_is_built() {
    let scratch = app();
    scratch.write("Procfile", "run: /app/server\nports: 8083\nhttp_port: 8083\ne2e: true\n");
    scratch.commit();
    let error = build_quietly(&scratch).unwrap_err();
    assert!(matches!(error, BuildError::WithoutEncryption { is_pinned: false, .. }), "{error}");
    assert!(error.to_string().contains("end-to-end encryption"), "{error}");
    assert!(error.fix().is_some_and(|fix| fix.contains("caution enclaveos build")));
    assert!(!scratch.path().join("eif-stage").exists());
}

/// EnclaveOS takes the last file's presence and number for the proof that all the others are there.
#[test]
fn the_seal_comes_last_and_counts_the_names_of_the_root() {
    let scratch = app();
    scratch.write("tree/zz/behind everything", "");
    scratch.commit();
    build_quietly(&scratch).expect("builds");
    let (names, last) = names_and_last(scratch.path());
    assert_eq!(names.first().map(String::as_str), Some(boot_plan::PATH));
    assert_eq!(names.last().map(String::as_str), Some(seal::PATH));
    assert!(names.is_sorted());
    let below = names.iter().filter(|name| name.starts_with("rootfs/")).count();
    assert_eq!((below, names.len()), (8, 11));
    assert_eq!(Seal::from_bytes(&last).expect("is a seal"), Seal::new(8));
}

/// The names in ramdisk 1 of a build, and the content of the last.
fn names_and_last(root: &Path) -> (Vec<String>, Vec<u8>) {
    let ramdisks = fs::File::open(root.join("eif-stage/output/rootfs.cpio.gz")).expect("is there");
    let mut ramdisks = std::io::BufReader::new(ramdisks);
    // The first ramdisk of these tests is no archive.
    ramdisks.seek_relative(i64::try_from(RAMDISK.len()).expect("fits")).expect("seeks");
    let mut reader = caution_rootfs::cpio::Reader::new(flate2::read::GzDecoder::new(ramdisks));
    let (mut names, mut last) = (Vec::new(), Vec::new());
    while let Some(found) = reader.next_entry().expect("is an archive") {
        names.push(String::from_utf8(found.entry.path).expect("is text"));
        last.clear();
        reader.read_to_end(&mut last).expect("reads");
    }
    (names, last)
}

/// Another folder, umask, locale, time zone and two CPUs or one; and no cached layer the second time.
#[test]
fn the_same_commit_gives_the_same_bytes_anywhere() {
    let scratch = app();
    let here = build_quietly(&scratch).expect("builds");
    let elsewhere = scratch.outside("another folder");
    scratch.git(&["clone", "-q", &scratch.path().to_string_lossy(), &elsewhere.to_string_lossy()]);
    let ended =
        child(&elsewhere, "umask 077; TZ=Asia/Tokyo LANG=C; export TZ LANG; exec taskset -c 0 \"$0\" \"$@\"");
    assert!(ended.success(), "{ended}");
    let there = fs::read(elsewhere.join("eif-stage/output/enclave.eif")).expect("was built");
    assert_eq!(Sha256Digest::of(&there), here.sha256);
    for name in [
        "output/rootfs.cpio.gz",
        "output/enclave.pcrs",
        "output/enclave.layers.json.gz",
        "boot.json",
        "manifest.json",
        "Containerfile.eif",
    ] {
        let read = |root: &Path| fs::read(root.join("eif-stage").join(name)).expect("was built");
        assert_eq!(read(&elsewhere), read(scratch.path()), "{name}");
    }
}

#[test]
fn one_changed_byte_changes_the_application_and_not_the_platform() {
    let scratch = app();
    let before = build_quietly(&scratch).expect("builds").measurements;
    scratch.write("tree/app/server", "#!/bin/True\n");
    scratch.commit();
    let after = build_quietly(&scratch).expect("builds").measurements;
    assert_eq!(before.pcr1, after.pcr1);
    assert_ne!(before.pcr2, after.pcr2);
    assert_ne!(before.pcr0, after.pcr0);
}

#[test]
fn a_signed_image_has_the_same_measurements_and_the_same_bytes_each_time() {
    let scratch = app();
    let release = release(&scratch.outside("release"), KERNEL);
    let signer = Signer::from_pem(
        include_bytes!("../../../../core/eif/tests/signer/key.pem"),
        include_bytes!("../../../../core/eif/tests/signer/certificate.v3.pem"),
    )
    .expect("belong together");
    let plain = run(scratch.path(), &release, &|_| {}).expect("builds");
    let built = run_signed(scratch.path(), &release, &signer).expect("builds");
    let again = run_signed(scratch.path(), &release, &signer).expect("builds");
    assert_eq!((built.measurements, built.sha256), (plain.measurements, again.sha256));
    assert_ne!(built.sha256, plain.sha256);
    assert_eq!(built.pcr8, Some(signer.certificate().pcr8));

    let eif = fs::read(&built.eif).expect("was built");
    let image = caution_eif::read(eif.as_slice(), &caution_eif::Limits::default()).expect("is an image");
    assert_eq!(image.sections.last().map(|section| section.kind), Some(SectionKind::Signature));
    assert_eq!(image.signature(), Ok(Some(signer.certificate())));
    let pcrs = fs::read_to_string(built.eif.with_file_name("enclave.pcrs")).expect("was built");
    assert_eq!(pcrs.lines().count(), 4);
    let expected = ImagePcrs { measurements: built.measurements, pcr8: built.pcr8 };
    assert_eq!(ImagePcrs::from_text(&pcrs), Ok(expected));
}

/// As by kill -9: the process is gone in the middle, nothing cleans up, the next build works.
#[test]
fn a_killed_build_leaves_no_file_under_a_final_name() {
    let scratch = app();
    for step in ["Container", "Filesystem", "Image"] {
        release(&scratch.outside("release"), KERNEL);
        fs::write(scratch.outside("abort at"), step).expect("writes");
        assert!(!child(scratch.path(), "exec \"$0\" \"$@\"").success());
        let stage = scratch.path().join("eif-stage");
        assert!(stage.join(".partial").exists(), "{step}");
        assert!(!stage.join("output").exists() && !stage.join("boot.json").exists(), "{step}");
    }
    let built = build_quietly(&scratch).expect("builds");
    assert!(built.eif.exists() && !scratch.path().join("eif-stage/.partial").exists());
}

/// Runs [`build_here`] in its own process, in `folder`, through a line of shell.
fn child(folder: &Path, shell: &str) -> std::process::ExitStatus {
    child_of(&std::env::current_exe().expect("is running"), folder, shell)
}

/// The same with a copy of this program.
fn child_of(program: &Path, folder: &Path, shell: &str) -> std::process::ExitStatus {
    Command::new("/bin/sh")
        .args(["-c", shell])
        .arg(program)
        .args(["build::tests::build_here", "--exact", "--ignored", "--quiet"])
        .current_dir(folder)
        .output()
        .expect("runs")
        .status
}

/// Builds the repository it runs in, with the release beside it, from the file `image` beside it if there
/// is one; aborts when the step begins that the file `abort at` beside it names.
#[test]
#[ignore = "run by the tests that need a process of their own"]
fn build_here() {
    let root = std::env::current_dir().expect("is somewhere");
    let beside = |name: &str| root.parent().expect("is in a folder").join(name);
    // `cargo test -- --include-ignored` starts it where there is nothing to build; those who need it
    // look at what it built.
    if !beside("release").exists() {
        return;
    }
    let release = Release::load(&beside("release")).expect("is a release");
    let abort_at = fs::read_to_string(beside("abort at")).unwrap_or_default();
    let image = Some(beside("image")).filter(|image| image.exists());
    let with = With { image: image.as_deref(), ..With::default() };
    run_with(&root, &release, &with, &|progress| {
        if let Progress::Started(step) = progress
            && format!("{step:?}") == abort_at
        {
            std::process::abort();
        }
    })
    .expect("builds");
}
