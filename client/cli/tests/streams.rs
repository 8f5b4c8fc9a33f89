//! The command's streams: JSON wherever it was asked for, and nobody listening is no failure.

#![expect(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

use std::io::pipe;
use std::process::{Command, Output};

/// Runs the command in a folder of its own that is no repository.
fn caution(args: &[&str], prepare: impl FnOnce(&mut Command)) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_caution"));
    command.args(args).env("HOME", home.path()).current_dir(home.path());
    for name in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "CAUTION_WORKDIR"] {
        command.env_remove(name);
    }
    prepare(&mut command);
    command.output().unwrap()
}

fn error_of(output: &Output) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    value["error"].clone()
}

#[test]
fn errors_before_any_command_are_json_too() {
    let output = caution(&["--json", "apps", "build", "--nope"], |_| {});
    let error = error_of(&output);
    assert_eq!(
        (output.status.code(), &error["kind"], &error["exit_code"]),
        (Some(2), &"usage".into(), &2.into())
    );
    assert_eq!(error["message"], "unexpected argument '--nope' found");

    let output = caution(&["apps", "ps", "--json"], |command| {
        command.env_remove("HOME");
    });
    let error = error_of(&output);
    assert_eq!((output.status.code(), &error["kind"]), (Some(1), &"other".into()));
}

#[test]
fn help_stays_text() {
    let output = caution(&["--json", "--help"], |_| {});
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"Build, run and verify"));
}

/// Otherwise `caution verify --watch | head` would go on for ever.
#[test]
fn a_watch_that_nobody_reads_ends() {
    for form in [&["--json"][..], &[]] {
        let args = ["verify", "--attestation-url", "http://127.0.0.1:1", "--watch", "1"];
        let output = caution(&[&args, form].concat(), |command| {
            let (_, out) = pipe().unwrap();
            command.stdout(out);
        });
        assert_eq!(output.status.code(), Some(15));
    }
}

#[test]
fn nobody_listening_changes_no_exit_code() {
    for args in [&["verify"][..], &["apps", "stop", "none"], &["apps", "build", "--nope"], &["apps", "ps"]] {
        let heard = caution(args, |_| {});
        let unheard = caution(args, |command| {
            let ((_, out), (_, err)) = (pipe().unwrap(), pipe().unwrap());
            command.stdout(out).stderr(err);
        });
        assert_eq!(unheard.status.code(), heard.status.code(), "{args:?}");
    }
}
