//! Known EnclaveOS releases, and what their source builds.

use super::text;
use super::verify::cache;
use caution_enclaveos::{KnownRelease, KnownReleases, Release};
use caution_system_tests::command::Machine;
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
    assert_eq!(json["known"], json["built"]);
}
