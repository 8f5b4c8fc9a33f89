//! What an app writes: kept inside, or read by the host where its configuration says so.

use super::{HELLO, Running, build};

#[test]
fn an_app_that_declares_logs_is_read_and_another_one_is_not() {
    let open = HELLO.repository.clone_of();
    open.edit("Procfile", "ports: 8080", "ports: 8080\nlogs: true");
    let built = build(&open);
    assert_eq!((&built["logs"], &HELLO.built["logs"]), (&true.into(), &false.into()));
    let with = Running::start(
        &open.root,
        &open.stage("output/enclave.eif"),
        &open.stage("manifest.json"),
        &["--name", "open"],
    );
    let without = Running::honest();
    for (running, root, name, line, words) in [
        (&with, &open.root, "open", Some("hello: listening on"), "leave the enclave, the host reads them"),
        (&without, &HELLO.repository.root, "hello", None, "none leave the enclave"),
    ] {
        let logs = running.machine.caution(root, &["apps", "logs", name]).expect(0);
        assert_eq!(logs.stdout.lines().count(), usize::from(line.is_some()), "{}", logs.stdout);
        assert!(line.is_none_or(|line| logs.stdout.contains(line)), "{}", logs.stdout);
        let url = running.attestation_url();
        let verified = running.machine.caution(root, &["verify", "--attestation-url", &url]).expect(0);
        assert!(verified.stdout.contains(words), "{}", verified.stdout);
    }
}
