//! Applications whose container image is there already: in the commit, or on this machine.

use super::{HELLO, Running, build, check, text};
use caution_system_tests::command::Machine;
use caution_system_tests::repository::Repository;
use std::path::Path;
use std::process::Command;

/// Builds a repository's Containerfile and writes the image to a file, as a user's own pipeline would.
fn save_image(repository: &Repository, archive: &Path) {
    let script = "id=$(buildah build -q --isolation chroot --layers .) \
                  && rm -f \"$1\" && buildah push -q \"$id\" \"docker-archive:$1:image:latest\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", text(archive)]).current_dir(&repository.root);
    let output = shell.output().expect("sh starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_image_in_the_commit_verifies_and_another_one_does_not() {
    let hello = &*HELLO;
    let repository = hello.repository.clone_of();
    let archive = repository.root.join("image.tar");
    repository.edit("Containerfile", "RUN --network=none cargo", "RUN cargo");
    save_image(&repository, &archive);
    repository.edit("Procfile", "ports: 8080", "ports: 8080\noci_tarball: image.tar\nbinary: /app/hello");
    let built = build(&repository);
    let (eif, manifest) = (repository.stage("output/enclave.eif"), repository.stage("manifest.json"));
    let running = Running::start(&repository.root, &eif, &manifest, &[]);
    assert!(running.greeting().contains("Hello"), "{}", running.greeting());
    let verdict = running.machine.caution(&repository.root, &["verify", "--json"]).expect(0).json();
    assert_eq!(verdict["attested"]["pcr2"], built["pcr2"]);
    let source = check(&verdict, "source")["detail"].as_str().unwrap();
    assert!(source.contains("`image.tar`, what that was built from is not checked"), "{source}");

    // The same words about another image: what runs is not what the reviewed commit holds.
    let reviewed = repository.clone_of();
    reviewed.edit("src/main.rs", "Hello", "Hallo");
    save_image(&reviewed, &reviewed.root.join("image.tar"));
    reviewed.commit("another image");
    let claim = super::verify::with_manifest(&manifest, |m| {
        m.app_source.as_mut().unwrap().commit = reviewed.head();
    });
    drop(running);
    let running = Running::start(&reviewed.root, &eif, claim.path(), &[]);
    let verdict = running.machine.caution(&reviewed.root, &["verify", "--json"]).expect(12).json();
    assert_eq!(check(&verdict, "build")["status"], "failed");
}

#[test]
fn an_image_of_no_commit_boots_and_claims_no_source() {
    let hello = &*HELLO;
    let repository = hello.repository.clone_of();
    repository.edit("Containerfile", "RUN --network=none cargo", "RUN cargo");
    // Untracked beside the source: nothing but the configuration has to be committed.
    let archive = repository.root.join("image.tar");
    save_image(&repository, &archive);
    let args = ["apps", "build", "--json", "--image", "image.tar"];
    let ran = Machine::new().caution(&repository.root, &args).expect(0);
    assert_eq!(ran.json()["pcr2"], hello.built["pcr2"]);
    assert!(ran.stderr.contains("of no commit"), "{}", ran.stderr);

    let (eif, manifest) = (repository.stage("output/enclave.eif"), repository.stage("manifest.json"));
    let running = Running::start(&repository.root, &eif, &manifest, &[]);
    let ran = running.machine.caution(&repository.root, &["verify", "--json"]).expect(13);
    let verdict = ran.json();
    assert_eq!(
        (&verdict["commit"], &verdict["failure"]),
        (&serde_json::Value::Null, &"source_mismatch".into())
    );
    let source = check(&verdict, "source");
    assert!(source["detail"].as_str().unwrap().contains("made of no commit"), "{source}");
    let pcrs = repository.stage("output/enclave.pcrs");
    running.machine.caution(&repository.root, &["verify", "--pcrs", text(&pcrs)]).expect(0);
}
