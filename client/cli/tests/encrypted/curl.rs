//! `caution curl`.

use crate::enclave::{Running, image};
use caution_steve::Suite;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn curl(running: &Running, path: &str, more: &[&str]) -> Command {
    let mut command = running.caution("curl");
    command.arg(format!("{}{path}", running.url)).args(more);
    command
}

/// With the registers of the image that runs.
fn trusted(running: &Running, path: &str, more: &[&str]) -> Output {
    curl(running, path, more).args(["--pcrs", "good.pcrs"]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stdout)))
}

#[test]
fn a_request_goes_in_and_its_response_comes_out() {
    let running = Running::start(Suite::XWing);
    let sent = trusted(&running, "/a?b=c", &["-d", "secret", "-H", "X-Mine: yes", "--json"]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stdout));
    let said = json(&sent);
    assert_eq!((&said["status"], &said["body"]), (&200.into(), &"secret".into()));
    let fields: Vec<(String, String)> = serde_json::from_value(said["headers"].clone()).unwrap();
    for (name, value) in [
        ("x-method", "POST"),
        ("x-path", "/a?b=c"),
        ("x-host", running.url.strip_prefix("http://").unwrap()),
        ("x-e2e", "v=3; suite=xwing"),
        ("x-mine-was", "yes"),
    ] {
        assert!(fields.contains(&(name.to_owned(), value.to_owned())), "{name} {fields:?}");
    }
    assert_eq!((&said["receipt"]["trust"], &said["receipt"]["root"]), (&"pinned".into(), &"other".into()));
    assert_eq!(said["receipt"]["exchange"]["complete"], true);

    let plain = trusted(&running, "/", &["-X", "PUT", "-d", "body"]);
    assert_eq!(text(&plain.stdout), "body", "{}", text(&plain.stderr));
    let advice = text(&plain.stderr);
    assert!(advice.contains("its image is a trusted one") && advice.contains("HTTP 200"), "{advice}");
}

#[test]
fn files_and_pipes_are_sent_as_they_are() {
    let running = Running::start(Suite::XWing);
    let long: Vec<u8> = (0..500_000_u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
    std::fs::write(running.path("long"), &long).unwrap();
    let sent = trusted(&running, "/", &["-d", "@long", "-o", "back"]);
    assert_eq!((sent.status.code(), sent.stdout.len()), (Some(0), 0), "{}", text(&sent.stderr));
    assert_eq!(std::fs::read(running.path("back")).unwrap(), long);

    let mut child = curl(&running, "/", &["-N", "-d", "@-", "--pcrs", "good.pcrs"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    let sent = child.wait_with_output().unwrap();
    assert_eq!(text(&sent.stdout), "from a pipe", "{}", text(&sent.stderr));
}

#[test]
fn nobody_is_trusted_unasked_and_each_refusal_has_its_code() {
    let running = Running::start(Suite::XWing);
    let code = |output: &Output| output.status.code();
    let unasked = curl(&running, "/", &["-d", "secret"]).output().unwrap();
    assert_eq!(code(&unasked), Some(2));
    assert!(
        text(&unasked.stderr).contains("Nothing says which enclave is trusted."),
        "{}",
        text(&unasked.stderr)
    );

    for (more, expected, says) in [
        (&["--pcrs", "other.pcrs"][..], 12, "PCR0 is"),
        (&["--pcrs", "good.pcrs", "--key-exchange", "x25519"], 10, "--key-exchange xwing"),
        (&["--pcrs", "good.pcrs", "--pcr", "4=44"], 2, "invalid value"),
    ] {
        let refused = curl(&running, "/", &["-d", "secret"]).args(more).output().unwrap();
        assert_eq!(code(&refused), Some(expected), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(says), "{says}: {}", text(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
    let mut by_aws = Command::new(env!("CARGO_BIN_EXE_caution"));
    by_aws.args(["curl", &running.url, "--pcrs", "good.pcrs"]).current_dir(running.folder.path());
    assert_eq!(code(&by_aws.env("HOME", running.folder.path()).output().unwrap()), Some(10));
    assert_eq!(running.asked(), 0, "the app saw nothing");

    let gone = running.caution("curl").args(["http://127.0.0.1:1/", "--pcrs", "good.pcrs"]).output().unwrap();
    assert_eq!(code(&gone), Some(15), "{}", text(&gone.stderr));
}

#[test]
fn what_was_verified_last_is_trusted_and_so_is_a_first_sight_that_was_kept() {
    let running = Running::start(Suite::X25519);
    let pcrs = image(1).measurements;
    let hashes = serde_json::json!({ "pcr0": pcrs.pcr0, "pcr1": pcrs.pcr1, "pcr2": pcrs.pcr2, "verified_at": "2026-11-20T09:12:44Z" });
    std::fs::create_dir(running.path(".caution")).unwrap();
    std::fs::write(running.path(".caution/trusted_hashes.json"), hashes.to_string()).unwrap();
    let sent = curl(&running, "/", &["-d", "a", "--key-exchange", "x25519"]).output().unwrap();
    assert_eq!(text(&sent.stdout), "a", "{}", text(&sent.stderr));

    for says in ["seen for the first time", "the one that was seen first"] {
        let more = ["--key-exchange", "x25519", "--tofu-store", "seen", "--fresh"];
        let sent = curl(&running, "/", &more).output().unwrap();
        assert_eq!(sent.status.code(), Some(0));
        assert!(text(&sent.stderr).contains(says), "{}", text(&sent.stderr));
    }
    let kept = std::fs::read_dir(running.path("seen")).unwrap().next().unwrap().unwrap().path();
    let changed = std::fs::read_to_string(&kept).unwrap().replace(&"01".repeat(48), &"09".repeat(48));
    std::fs::write(&kept, changed).unwrap();
    let asked = running.asked();
    let more = ["--key-exchange", "x25519", "--tofu-store", "seen"];
    let refused = curl(&running, "/", &more).output().unwrap();
    assert_eq!(refused.status.code(), Some(12), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains(&"09".repeat(48)) && text(&refused.stderr).contains(&"01".repeat(48))
    );
    assert_eq!(running.asked(), asked);
}

#[test]
fn a_dry_run_sends_nothing() {
    let running = Running::start(Suite::XWing);
    let said = json(&trusted(&running, "/", &["-d", "secret", "--dry-run", "--json"]));
    assert_eq!((&said["protocol"], &said["suite"]), (&"steve3".into(), &"xwing".into()));
    assert!(said.get("exchange").is_none());
    assert_eq!(running.asked(), 0);
}

#[test]
fn a_response_that_was_cut_is_a_failure_and_no_file() {
    let running = Running::start(Suite::XWing);
    let cut = trusted(&running, "/cut", &["-d", "begins", "-o", "back"]);
    assert_eq!(cut.status.code(), Some(17), "{}", text(&cut.stderr));
    assert!(!running.path("back").exists());
    assert_eq!(
        std::fs::read_dir(running.folder.path())
            .unwrap()
            .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"))
            .count(),
        0
    );
    let error = json(&trusted(&running, "/cut", &["-d", "begins", "--json"]));
    assert_eq!(error["error"]["kind"], "may_have_run");
    assert_eq!(running.asked(), 2, "each was sent once");

    assert_eq!(trusted(&running, "/lost", &[]).status.code(), Some(0));
    assert_eq!(trusted(&running, "/lost", &["--fail"]).status.code(), Some(1));
}
