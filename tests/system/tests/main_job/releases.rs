//! Which EnclaveOS releases are believed in: known ones, the one built here, and those the caller names.

use super::verify::{cache, other_release};
use super::{HELLO, Running, check, text};
use caution_enclaveos::{KnownRelease, KnownReleases, Release};
use caution_system_tests::command::{Machine, Ran};
use std::fs;
use std::path::{Path, PathBuf};

/// The checkout of Caution's own source.
fn source() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn known() -> KnownReleases {
    KnownReleases::parse(&fs::read(source().join("client/cli/releases/releases.json")).unwrap()).unwrap()
}

/// The release that `make enclaveos` built of this tree.
fn of_this_tree() -> Release {
    caution_enclaveos::default_release(&cache()).expect("a release: caution enclaveos build")
}

/// Puts a release into an empty cache, where nothing says that it was built there.
fn put(release: &Release, cache: &Path) {
    let place = cache.join("enclaveos").join(release.id().to_string());
    fs::create_dir_all(&place).unwrap();
    for entry in fs::read_dir(&release.dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
    }
}

/// Verifies a running enclave from the source of the hello example.
fn verify(running: &Running, more: &[&str]) -> Ran {
    let args = [&["verify", "--json"], more].concat();
    running.machine.caution(&HELLO.repository.root, &args)
}

#[test]
fn the_release_of_this_tree_is_known() {
    let release = of_this_tree();
    let entry = KnownRelease::of(&release, "<the last commit that changed what it is built from>");
    assert!(
        known().by_pcr1(&release.info.pcr1).is_some_and(|known| known.differences(&release).is_empty()),
        "EnclaveOS {} as it was built last on this machine is not in client/cli/releases/releases.json. If it is this \
         tree's (`caution enclaveos build`), write its entry into the list as CONTRIBUTING.md says, and raise `serial`:\n{}",
        release.info.version,
        serde_json::to_string_pretty(&entry).unwrap()
    );
}

#[test]
fn a_known_release_is_named_and_its_bytes_are_needed() {
    let running = Running::honest();
    let known = known();
    let release = of_this_tree();
    let known = known.by_pcr1(&release.info.pcr1).expect("the release of this tree is known");
    let empty = tempfile::tempdir().unwrap();
    let here = ["--workdir", text(empty.path())];

    let verdict = verify(&running, &here).expect(16).json();
    assert_eq!(check(&verdict, "platform")["status"], "ok");
    assert_eq!(verdict["enclaveos"]["basis"], "known");
    assert_eq!(verdict["enclaveos"]["source_commit"], known.source_commit);
    let build = check(&verdict, "build").to_string();
    assert!(build.contains(&format!("caution enclaveos verify {}", known.version)), "{build}");

    put(&release, empty.path());
    let verdict = verify(&running, &here).expect(0).json();
    let platform = check(&verdict, "platform")["detail"].to_string();
    for words in [&known.version, "known release", &known.kernel_version, &known.source_commit[..7]] {
        assert!(platform.contains(words), "{platform}");
    }
}

#[test]
fn an_unknown_release_is_refused_unless_the_caller_names_it() {
    let folder = other_release();
    let release = Release::load(folder.path()).unwrap();
    let clone = HELLO.repository.clone_of();
    let args = ["apps", "build", "--json", "--enclaveos", text(folder.path())];
    Machine::new().caution(&clone.root, &args).expect(0);
    let eif = clone.stage("output/enclave.eif");
    let running = Running::start(&HELLO.repository.root, &eif, &clone.stage("manifest.json"), &[]);
    let empty = tempfile::tempdir().unwrap();
    let here = ["--workdir", text(empty.path())];
    let pcr1 = release.info.pcr1.to_string();
    let allowed = [&here[..], &["--allow-enclaveos", &pcr1]].concat();

    // Its bytes are on the machine, and nothing speaks for them.
    put(&release, empty.path());
    let verdict = verify(&running, &here).expect(12).json();
    let platform = check(&verdict, "platform").to_string();
    assert!(platform.contains("of no known EnclaveOS release"), "{platform}");
    assert!(platform.contains(&format!("--allow-enclaveos {pcr1}")), "{platform}");
    let another = ["--allow-enclaveos", &"1".repeat(96)];
    verify(&running, &[&here[..], &another].concat()).expect(12);

    let verdict = verify(&running, &allowed).expect(0).json();
    assert_eq!(verdict["enclaveos"]["basis"], "allowed");
    let platform = check(&verdict, "platform")["detail"].to_string();
    assert!(platform.contains("NOT A KNOWN EnclaveOS RELEASE"), "{platform}");

    // Allowed, and not on the machine.
    let verdict = verify(&running, &["--allow-enclaveos", &pcr1]).expect(16).json();
    assert_eq!(check(&verdict, "platform")["status"], "ok");
    assert_eq!(check(&verdict, "build")["status"], "failed");

    verify(&running, &["--allow-enclaveos", &"0".repeat(96)]).expect(2);
}

#[test]
fn a_release_is_compared_with_what_its_source_builds() {
    let machine = Machine::new();
    let known = known();
    let newest = known.releases().last().expect("a release is known");
    let before = of_this_tree().id();

    // The same source with another command line, which ramdisk 0 holds a copy of. Kernel and program come from the cache.
    let other = tempfile::tempdir().unwrap();
    let copy = "git archive HEAD | tar x -C \"$0\" && sed -i 's/^cmdline = \"/&quiet /' \"$0/enclave/enclaveos.lock\"";
    let status = std::process::Command::new("sh")
        .args(["-ec", copy, text(other.path())])
        .current_dir(source())
        .status();
    assert!(status.unwrap().success());
    let pcr1 = newest.pcr1.to_string();
    let args = ["enclaveos", "verify", &pcr1, "--json", "--source", text(other.path())];
    let json = machine.caution(other.path(), &args).expect(12).json();
    assert_eq!(json["equal"], false);
    assert_eq!(json["differing"], serde_json::json!(["command line", "ramdisk"]));
    // It stays for whoever wants to compare, and is nobody's default.
    let dir = PathBuf::from(json["dir"].as_str().unwrap());
    assert!(dir.join("kernel").is_file());
    assert_eq!(of_this_tree().id(), before);
    fs::remove_dir_all(dir).unwrap();

    let ran = machine.caution(&source(), &["enclaveos", "verify", "9.9.9"]).expect(16);
    assert!(ran.stderr.contains("does not have `9.9.9`"), "{}", ran.stderr);
    let ran = machine.caution(Path::new("/"), &["enclaveos", "verify"]).expect(16);
    assert!(ran.stderr.contains("No checkout of Caution's source"), "{}", ran.stderr);
}

#[test]
#[ignore = "compiles EnclaveOS where its commit is not the one that was built last; part of `make test-long`"]
fn the_newest_release_is_what_its_commit_builds() {
    let json = Machine::new().caution(&source(), &["enclaveos", "verify", "--json"]).expect(0).json();
    assert_eq!(json["equal"], true);
    // Nothing that is built says whether its version was tagged.
    let mut known = json["known"].clone();
    known["released"] = serde_json::Value::Null;
    assert_eq!(known, json["built"]);
}
