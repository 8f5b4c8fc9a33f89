//! `caution verify` on the honest image, and on images that are not what they should be.

use super::{HELLO, Running, build, check};
use caution_abi::manifest::Manifest;
use caution_measure::{PcrHasher, Sha256Digest};
use caution_system_tests::command::Machine;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_honest_application_verifies() {
    let hello = &*HELLO;
    let running = Running::honest();
    assert!(running.greeting().contains("Hello"), "{}", running.greeting());

    let root = &hello.repository.root;
    let text = running.machine.caution(root, &["verify"]).expect(0).stdout;
    let commit = hello.repository.head();
    assert!(
        text.starts_with(&format!(
            "VERIFIED (development root, not hardware)  hello runs exactly commit {} in a local enclave.",
            &commit[..7]
        )),
        "{text}"
    );

    let verdict = running.machine.caution(root, &["verify", "--json", "--commit", "HEAD"]).expect(0).json();
    assert_eq!(verdict["schema"], "caution.verdict/1");
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["root"], "development");
    assert_eq!(verdict["commit"], commit);
    for pcr in ["pcr0", "pcr1", "pcr2"] {
        assert_eq!(verdict["attested"][pcr], hello.built[pcr]);
        assert_eq!(verdict["expected"][pcr], hello.built[pcr]);
    }
    for name in ["evidence", "source", "platform", "build"] {
        assert_eq!(check(&verdict, name)["status"], "ok");
    }
    let hashes = fs::read(root.join(".caution/trusted_hashes.json")).unwrap();
    let hashes: serde_json::Value = serde_json::from_slice(&hashes).unwrap();
    assert_eq!(hashes["pcr2"], hello.built["pcr2"]);
    assert!(hashes["verified_at"].as_str().is_some_and(|t| t.ends_with('Z')));

    // The same enclave against given registers, and against other ones.
    let pcrs = hello.repository.stage("output/enclave.pcrs");
    let pcrs = pcrs.to_str().unwrap();
    let url = running.attestation_url();
    let given = ["verify", "--attestation-url", &url, "--pcrs", pcrs];
    let text = running.machine.caution(Path::new("/"), &given).expect(0).stdout;
    assert!(text.contains("Which source makes them was not checked"), "{text}");
    let other = tempfile::NamedTempFile::new().unwrap();
    fs::write(other.path(), fs::read_to_string(pcrs).unwrap().replacen(['0', '1'], "2", 1)).unwrap();
    let given = ["verify", "--json", "--attestation-url", &url, "--pcrs", other.path().to_str().unwrap()];
    let verdict = running.machine.caution(Path::new("/"), &given).expect(12).json();
    assert_eq!(verdict["failure"], "measurement_mismatch");
}

#[test]
fn inspect_shows_and_says_that_nothing_was_verified() {
    let running = Running::honest();
    let args = ["verify", "--inspect-attestation", "--attestation-url", &running.attestation_url()];
    let json = running.machine.caution(Path::new("/"), &args).expect(0).json();
    assert_eq!(json["verification"], "not_performed");
    assert_eq!(json["attestation_payload"]["nonce"], json["challenge_nonce"]);
    assert_eq!(json["response_metadata"]["manifest"]["app_source"]["commit"], HELLO.repository.head());
}

#[test]
fn one_changed_byte_of_source_is_caught() {
    let hello = &*HELLO;
    let tampered = hello.repository.clone_of();
    tampered.edit("src/main.rs", "Hello", "Hallo");
    let built = build(&tampered);
    assert_eq!(built["pcr1"], hello.built["pcr1"]);
    assert_ne!(built["pcr2"], hello.built["pcr2"]);

    // Shown with the honest manifest, only the measurement tells.
    let running =
        Running::start(&hello.repository.root, &tampered.stage("output/enclave.eif"), &hello.manifest, &[]);
    assert!(running.greeting().contains("Hallo"));
    let ran = running.machine.caution(&hello.repository.root, &["verify", "--json"]).expect(12);
    let verdict = ran.json();
    assert_eq!(verdict["failure"], "measurement_mismatch");
    assert_eq!(check(&verdict, "platform")["status"], "ok");
    let layer = check(&verdict, "build");
    assert_eq!(layer["status"], "failed");
    assert!(layer["detail"].as_str().unwrap().starts_with("PCR2 differs: the application layer"), "{layer}");

    // The file is named, in the verdict and by the command that the verdict names.
    assert_eq!(verdict["differences"]["told"][0]["path"], "/app/hello", "{verdict}");
    let ran = running.machine.caution(&hello.repository.root, &["verify"]).expect(12);
    let text = std::fs::read_to_string(hello.repository.root.join("Containerfile")).unwrap();
    let copy = "COPY --from=build /hello /app/hello";
    let line = text.lines().position(|line| line == copy).unwrap() + 1;
    let written = format!("written by: Containerfile:{line} {copy}");
    for part in ["/app/hello  content", &written, "caution apps diff"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let args = ["apps", "diff", "--json", "--html", page.to_str().unwrap()];
    let report = running.machine.caution(&hello.repository.root, &args).expect(1).json();
    assert_eq!(report["right"], "the deployed image of hello");
    let paths: Vec<&str> = report["comparison"]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/app/hello"]);
    let registers = report["comparison"]["registers"].as_array().unwrap();
    assert_eq!(registers.iter().map(|one| one["register"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("/app/hello"));
    let same = ["apps", "diff", "commit:HEAD", hello.eif.to_str().unwrap()];
    let ran = running.machine.caution(&hello.repository.root, &same).expect(0);
    assert!(ran.stdout.contains("nothing differs"), "{}", ran.stdout);
}

#[test]
fn another_run_command_is_caught_whatever_the_manifest_says() {
    let hello = &*HELLO;
    let other = hello.repository.clone_of();
    other.edit("Procfile", "run: /app/hello", "run: /app/../app/hello");
    build(&other);
    let eif = other.stage("output/enclave.eif");

    // A manifest that tells the truth about the wrong command disagrees with the reviewed source.
    let truthful = with_manifest(&other.stage("manifest.json"), |m| {
        m.app_source.as_mut().unwrap().commit = hello.repository.head();
    });
    let running = Running::start(&hello.repository.root, &eif, truthful.path(), &[]);
    let verdict = running.machine.caution(&hello.repository.root, &["verify", "--json"]).expect(13).json();
    let lines = check(&verdict, "source")["lines"].to_string();
    assert!(lines.contains("run_command"), "{lines}");
    drop(running);

    // One that repeats the reviewed command is contradicted by PCR2.
    let running = Running::start(&hello.repository.root, &eif, &hello.manifest, &[]);
    let verdict = running.machine.caution(&hello.repository.root, &["verify", "--json"]).expect(12).json();
    assert!(check(&verdict, "build")["detail"].as_str().unwrap().contains("how it is started"));
}

#[test]
fn another_enclaveos_is_caught() {
    let hello = &*HELLO;
    let release = other_release();
    let clone = hello.repository.clone_of();
    let args = ["apps", "build", "--json", "--enclaveos", release.path().to_str().unwrap()];
    let built = Machine::new().caution(&clone.root, &args).expect(0).json();
    assert_eq!(built["pcr2"], hello.built["pcr2"]);
    assert_ne!(built["pcr1"], hello.built["pcr1"]);

    let eif = clone.stage("output/enclave.eif");
    let running = Running::start(&hello.repository.root, &eif, &clone.stage("manifest.json"), &[]);
    let ran = running.machine.caution(&hello.repository.root, &["verify", "--json"]).expect(12);
    let verdict = ran.json();
    let platform = check(&verdict, "platform");
    assert!(platform["detail"].as_str().unwrap().starts_with("PCR1 differs"), "{platform}");
}

#[test]
fn debug_mode_never_verifies() {
    let hello = &*HELLO;
    let running = Running::start(&hello.repository.root, &hello.eif, &hello.manifest, &["--debug"]);
    let ran = running.machine.caution(&hello.repository.root, &["verify"]).expect(11);
    assert!(ran.stdout.starts_with("NOT VERIFIED  The enclave runs in debug mode"), "{}", ran.stdout);
    let logs = running.machine.caution(&hello.repository.root, &["apps", "logs"]).expect(0);
    assert!(logs.stderr.contains("debug mode"), "{}", logs.stderr);
}

#[test]
fn the_development_root_proves_nothing_unless_it_is_named() {
    let hello = &*HELLO;
    let running = Running::honest();
    let root = &hello.repository.root;
    let verdict =
        running.machine.caution(root, &["verify", "--json", "--trust-root", "aws"]).expect(10).json();
    assert_eq!(verdict["failure"], "evidence_invalid");
    assert_eq!(verdict["root"], serde_json::Value::Null);

    // Another machine knows nothing of this enclave and has another development root.
    let url = running.attestation_url();
    let elsewhere = Machine::new();
    elsewhere.caution(root, &["verify", "--attestation-url", &url]).expect(10);
    elsewhere.caution(root, &["verify", "--attestation-url", &url, "--trust-root", "dev"]).expect(10);
}

/// A copy of a manifest with something changed.
pub(crate) fn with_manifest(path: &Path, change: impl FnOnce(&mut Manifest)) -> tempfile::NamedTempFile {
    let mut manifest = Manifest::from_bytes(&fs::read(path).unwrap()).unwrap();
    change(&mut manifest);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), manifest.to_bytes()).unwrap();
    file
}

/// The release of this machine with four bytes more in ramdisk 0, consistent in itself. The kernel
/// skips zeros between archives, so it boots all the same.
pub(crate) fn other_release() -> tempfile::TempDir {
    let release = caution_enclaveos::default_release(&cache()).expect("a release: caution enclaveos build");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&release.dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let ramdisk = [fs::read(release.ramdisk_path()).unwrap(), vec![0; 4]].concat();
    let mut hasher = PcrHasher::new();
    hasher.update(&fs::read(release.kernel_path()).unwrap());
    hasher.update(release.cmdline().as_bytes());
    hasher.update(&ramdisk);
    let info_path = folder.path().join("release.json");
    let mut info: serde_json::Value = serde_json::from_slice(&fs::read(&info_path).unwrap()).unwrap();
    info["ramdisk"]["sha256"] = Sha256Digest::of(&ramdisk).to_string().into();
    info["ramdisk"]["size"] = ramdisk.len().into();
    info["pcr1"] = hasher.finish().to_string().into();
    fs::write(&info_path, format!("{info:#}\n")).unwrap();
    fs::write(folder.path().join(release.ramdisk_path().file_name().unwrap()), ramdisk).unwrap();
    folder
}

/// The cache of tools and releases that `make test` filled.
#[expect(clippy::disallowed_methods, reason = "the same variables as the program under test")]
pub(crate) fn cache() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p: &PathBuf| p.is_absolute());
    absolute("CAUTION_WORKDIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|c| c.join("caution")))
        .or_else(|| absolute("HOME").map(|h| h.join(".cache/caution")))
        .expect("HOME is set")
}
