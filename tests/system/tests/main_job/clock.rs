//! The enclave's clock, when its machine was stopped for a while.

use super::{HELLO, text};
use caution_abi::health::{self, Health};
use caution_system_tests::command::{Machine, finish, free_port};
use caution_system_tests::http;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A folder whose `qemu-system-x86_64` is the real one with a monitor on the socket `qmp` beside it.
fn monitored_qemu() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 \"$@\" -qmp unix:{}/qmp,server=on,wait=off\n",
        folder.path().display()
    );
    let path = folder.path().join("qemu-system-x86_64");
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Stops the machine, and lets it go on three seconds later.
fn stop_for_a_while(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for command in ["qmp_capabilities", "stop", "cont"] {
        if command == "cont" {
            pause();
        }
        writeln!(stream, "{{\"execute\": \"{command}\"}}").unwrap();
        assert!(lines.any(|line| line.unwrap().starts_with("{\"return\": {}")), "{command}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the machine stands still for this time")]
fn pause() {
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn a_clock_that_stood_still_is_set_forwards_and_that_is_told() {
    let (hello, machine, qemu) = (&*HELLO, Machine::new(), monitored_qemu());
    let (publish, port) = (format!("{}:8080", free_port()), free_port());
    let (root, attestation) = (&hello.repository.root, port.to_string());
    let args = ["apps", "run", "--detach", "--eif", text(&hello.eif), "--publish", &publish];
    let mut run = machine.command(root, args);
    run.args(["--attestation-port", &attestation]);
    run.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", qemu.path().display()));
    finish(&run.output().unwrap()).expect(0);

    let mut follow = machine
        .command(root, ["apps", "logs", "hello", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        let stepped = lines.map_while(Result::ok).find(|line| line.contains("\"stepped\""));
        // Nobody waits any more where the enclave has ended too late.
        let _ = told.send(stepped);
    });
    stop_for_a_while(&qemu.path().join("qmp"));
    let stepped = heard.recv_timeout(Duration::from_mins(2)).unwrap().expect("the clock is set");
    let entry: serde_json::Value = serde_json::from_str(&stepped).unwrap();
    assert_eq!(entry["value"]["event"], "clock");
    let behind = entry["value"]["offset_ms"].as_i64().unwrap();
    assert!((2000..60_000).contains(&behind), "{entry}");
    let (status, body) = http::request(port, "GET", health::PATH, b"").unwrap();
    let health: Health = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200);
    assert!(health.clock.is_some_and(|clock| clock.offset_ms.abs() < 1000), "{health:?}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}
