//! `caution apps check`: which file it reads, and what its exit code says.

#![expect(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caution"));
    command.args(["--json", "apps", "check"]).args(arguments).env("HOME", folder).current_dir(folder);
    let Output { status, stdout, .. } = command.output().unwrap();
    (status.code(), serde_json::from_slice(&stdout).unwrap())
}

fn rules(answer: &serde_json::Value) -> Vec<&str> {
    answer["advice"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect()
}

#[test]
fn the_work_tree_is_read_as_a_build_would_read_it() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(scratch.path().join(name), text).unwrap();
    assert!(Command::new("git").args(["init", "-q"]).arg(scratch.path()).status().unwrap().success());

    let (code, answer) = check(scratch.path(), &[]);
    assert_eq!((code, &answer["error"]["exit_code"]), (Some(2), &2.into()), "{answer}");

    write("Dockerfile", "FROM debian:12\nRUN --network=none date\n");
    let (code, answer) = check(scratch.path(), &[]);
    assert_eq!((code, rules(&answer)), (Some(1), vec!["unpinned-image", "build-time"]), "{answer}");
    assert_eq!(answer["advice"][1]["line"], 2);

    write("Procfile", "run: /app\ncontainerfile: Other\n");
    write("Other", "FROM scratch\nCOPY app /app\n");
    let (code, answer) = check(scratch.path(), &[]);
    assert_eq!((code, rules(&answer)), (Some(0), vec![]), "{answer}");

    write("Other", "FROM debian:12\nCOPY app /app\n");
    write("Containerfile.eif", "pins the base images");
    assert_eq!(check(scratch.path(), &[]).0, Some(0));
    assert_eq!(check(scratch.path(), &["Other"]).0, Some(1), "a file by itself is pinned by nothing");

    assert_eq!(check(scratch.path(), &["--limit", "entries=3"]).0, Some(2), "nothing is built");

    write("Procfile", "run: /app\noci_tarball: app.tar\n");
    let (code, answer) = check(scratch.path(), &[]);
    assert_eq!(code, Some(2), "{answer}");
}
