//! The image itself: the documented way by hand, sameness, hostile files.

use super::engines::alone;
use super::{HELLO, build, shell, text};
use caution_system_tests::command::Machine;
use caution_system_tests::repository::Repository;
use std::fs;
use std::process::Command;

/// `product/debug-enclave-reproducibility`: the second gzip entry binwalk finds is the app.
#[test]
fn the_documented_manual_path_yields_the_app() {
    let hello = &*HELLO;
    let dir = tempfile::tempdir().unwrap();
    let eif = text(&hello.eif);
    let offset = shell(
        dir.path(),
        &format!("binwalk {eif} | awk '/gzip compressed data/ {{ print $1 }}' | sed -n 2p"),
    );
    let offset = offset.trim();
    assert!(!offset.is_empty(), "binwalk finds a second gzip entry");
    // bs=1 is what the documents say; the same bytes come faster with skip counted in bytes.
    shell(
        dir.path(),
        &format!(
            "dd if={eif} iflag=skip_bytes bs=64K skip={offset} status=none | zcat | cpio --quiet --no-absolute-filenames -idm"
        ),
    );
    let mut top: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, ["boot.json", "rootfs", "sealed.json"]);
    assert_eq!(
        fs::read(dir.path().join("boot.json")).unwrap(),
        fs::read(hello.repository.stage("boot.json")).unwrap()
    );
    // All that the Containerfile puts together, and nothing of EnclaveOS.
    let files = shell(dir.path(), "find rootfs ! -type d | LC_ALL=C sort");
    assert_eq!(files, "rootfs/app/hello\nrootfs/etc/group\nrootfs/etc/passwd\n");
}

#[test]
fn describe_says_what_the_build_said_and_how_to_unpack_the_app() {
    let hello = &*HELLO;
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let eif = text(&hello.eif);
    let json = machine.caution(dir.path(), &["apps", "describe", eif, "--json"]).expect(0).json();
    for key in ["pcr0", "pcr1", "pcr2", "pcr8", "size", "sha256"] {
        assert_eq!(json[key], hello.built[key], "{key}");
    }
    assert_eq!(json["enclaveos"]["id"], hello.built["enclaveos"]["id"]);
    let said = machine.caution(dir.path(), &["apps", "describe", eif]).expect(0).stdout;
    let command = said.lines().skip_while(|line| !line.contains("unpack ramdisk 1")).nth(1).unwrap();
    shell(dir.path(), command);
    assert_eq!(
        fs::read(dir.path().join("boot.json")).unwrap(),
        fs::read(hello.repository.stage("boot.json")).unwrap()
    );
}

#[test]
fn the_image_is_extracted_listed_and_shown_file_by_file() {
    let hello = &*HELLO;
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let eif = text(&hello.eif);
    let extracted = machine.caution(dir.path(), &["apps", "extract", eif, "out", "--json"]).expect(0).json();
    let layers: Vec<_> = extracted["layers"].as_array().unwrap().iter().map(|layer| &layer["name"]).collect();
    assert_eq!(layers, ["EnclaveOS", "application"]);
    let plan = fs::read(hello.repository.stage("boot.json")).unwrap();
    assert_eq!(fs::read(dir.path().join("out/app/boot.json")).unwrap(), plan);
    let shown = machine.caution(dir.path(), &["apps", "extract", eif, "--cat", "boot.json"]).expect(0).stdout;
    assert_eq!(shown.as_bytes(), plan);

    let list = ["apps", "extract", eif, "--list", "--layer", "app"];
    let files = machine.caution(dir.path(), &list).expect(0).stdout;
    let named = |path: &str| files.lines().any(|line| line.starts_with('-') && line.ends_with(path));
    assert!(named(" /app/hello") && named(" /etc/passwd") && named(" boot.json"), "{files}");
    let digest = shell(dir.path(), "sha256sum out/app/rootfs/app/hello");
    let listed = machine.caution(dir.path(), &[&list[..], &["--json"]].concat()).expect(0).json();
    let entries = listed["layers"][0]["entries"].as_array().unwrap();
    let program = entries.iter().find(|entry| entry["path"] == "/app/hello").unwrap();
    assert!(digest.starts_with(program["sha256"].as_str().unwrap()), "{digest}");

    let again = machine.caution(dir.path(), &["apps", "extract", eif, "out"]).expect(1);
    assert!(again.stderr.contains("is there already, and no empty folder"), "{}", again.stderr);
}

#[test]
fn the_same_commit_gives_the_same_bytes_elsewhere() {
    let hello = &*HELLO;
    let first = fs::read(&hello.eif).unwrap();
    let clone = hello.repository.clone_of();
    let machine = Machine::new();
    let script = format!(
        "umask 077; TZ=Pacific/Kiritimati LANG=C exec {} apps build --json",
        text(&caution_system_tests::command::caution_bin())
    );
    let status = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&clone.root)
        .envs(machine.command(&clone.root, [""; 0]).get_envs().filter_map(|(k, v)| Some((k, v?))))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert!(first == fs::read(clone.stage("output/enclave.eif")).unwrap(), "the images differ");
}

#[test]
fn a_dirty_work_tree_is_named_with_the_way_out() {
    let clone = HELLO.repository.clone_of();
    fs::write(clone.root.join("left-over.txt"), "x").unwrap();
    let ran = Machine::new().caution(&clone.root, &["apps", "build"]).expect(1);
    assert!(ran.stderr.contains("left-over.txt") && ran.stderr.contains("--commit HEAD"), "{}", ran.stderr);
    let built =
        Machine::new().caution(&clone.root, &["apps", "build", "--json", "--commit", "HEAD"]).expect(0);
    assert_eq!(built.json()["pcr2"], HELLO.built["pcr2"]);
}

#[test]
fn a_repository_without_commits_is_told_to_commit() {
    let clone = HELLO.repository.clone_of();
    clone.git(&["checkout", "-q", "--orphan", "new"]);
    let ran = Machine::new().caution(&clone.root, &["apps", "build"]).expect(1);
    assert!(ran.stderr.contains("has no commits yet") && !ran.stderr.contains("--commit"), "{}", ran.stderr);
}

#[test]
fn broken_images_are_refused_before_anything_boots() {
    let eif = fs::read(&HELLO.eif).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut flipped = eif.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (name, bytes) in
        [("empty", &[][..]), ("short", &eif[..600]), ("cut", &eif[..eif.len() - 1]), ("flipped", &flipped)]
    {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let ran = Machine::new().caution(dir.path(), &["apps", "run", "--eif", text(&path)]).expect(1);
        assert!(ran.stderr.starts_with("error: "), "{name}: {}", ran.stderr);
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let broken = HELLO.repository.clone_of();
    fs::write(broken.root.join("Procfile"), "app_source: x\nprots: 1\nports: 49501\nhttp_port: 9000\n")
        .unwrap();
    broken.commit("break the Procfile");
    let ran = Machine::new().caution(&broken.root, &["apps", "build"]).expect(1);
    for position in ["Procfile:2:", "Procfile:3:"] {
        assert!(ran.stderr.contains(position), "{position}: {}", ran.stderr);
    }
}

#[test]
fn a_migrated_procfile_builds_the_same_image() {
    let migrated: Repository = HELLO.repository.clone_of();
    let machine = Machine::new();
    machine.caution(&migrated.root, &["apps", "migrate-procfile"]).expect(0);
    migrated.git(&["rm", "-q", "Procfile"]);
    migrated.commit("migrate");
    assert_eq!(build(&migrated)["sha256"], HELLO.built["sha256"]);
}

/// `caution apps pin`, commit, build: what was pinned is used, and what moved on without it is refused.
#[test]
fn pinned_base_images_are_the_ones_that_are_built_on() {
    let (hello, machine) = (&*HELLO, Machine::new());
    let pinned = hello.repository.clone_of();
    let told = machine.caution(&pinned.root, &["apps", "pin", "--json"]).expect(0).json();
    assert_eq!(told["changed"], true);
    assert_eq!(told["enclaveos"]["before"], serde_json::Value::Null);
    assert_eq!(told["enclaveos"]["after"]["id"], hello.built["enclaveos"]["id"]);
    let images = told["images"].as_array().unwrap();
    let names: Vec<_> = images.iter().map(|i| i["image"].as_str().unwrap()).collect();
    let expected =
        ["core-filesystem", "enclaveos", "pallet-rust"].map(|name| format!("localhost/caution/{name}"));
    assert_eq!(names, expected);
    let digest = images[0]["after"].as_str().unwrap();
    assert!(images[0]["before"].is_null() && digest.starts_with("sha256:"), "{told:#}");

    pinned.commit("pin");
    let built = machine.caution(&pinned.root, &["apps", "build", "--strict", "--json"]).expect(0);
    assert_eq!(built.json()["sha256"], hello.built["sha256"]);
    assert!(!built.stderr.contains("warning"), "{}", built.stderr);

    assert_eq!(alone("buildah", &pinned.clone_of()), hello.built["sha256"]);

    let refused = |part: &str| {
        let ran = machine.caution(&pinned.root, &["apps", "build"]).expect(1);
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        ran.stderr
    };
    // The tag still means an image that is here; the digest does not.
    let elsewhere = format!("sha256:{}", "0".repeat(64));
    pinned.edit("Containerfile.eif", digest, &elsewhere);
    refused(&elsewhere);
    pinned.edit("Containerfile.eif", &elsewhere, digest);
    pinned.edit("Containerfile", "EXPOSE 8080", "EXPOSE 8081");
    let told = refused("`EXPOSE 8080` does not follow from Containerfile of the same commit");
    assert!(told.contains("fix: caution apps pin"), "{told}");
}
