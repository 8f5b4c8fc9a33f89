//! Starting, stopping and dying: nothing is left behind, and reasons reach the user.

use super::{HELLO, Running, text};
use caution_system_tests::command::{Machine, finish, free_port};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Command lines of live processes that mention this machine's folders.
fn processes_of(machine: &Machine) -> Vec<String> {
    let needle = machine.runtime().display().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|raw| String::from_utf8_lossy(&raw).replace('\0', " "))
        .filter(|line| line.contains(&needle))
        .collect()
}

/// Waits until neither a process nor a file of a running enclave is left.
fn assert_nothing_left(machine: &Machine) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let processes = processes_of(machine);
        let files: Vec<_> = fs::read_dir(machine.runtime())
            .map(|dir| {
                dir.flatten()
                    .map(|e| e.file_name())
                    .filter(|n| !n.to_string_lossy().starts_with('.'))
                    .collect()
            })
            .unwrap_or_default();
        if processes.is_empty() && files.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {processes:?} {files:?}");
        pause();
    }
}

/// Between two looks at the process table: nothing announces that the last process is gone.
#[expect(clippy::disallowed_methods, reason = "polling; there is no event to await")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// The process ids whose command line mentions `program` and this machine's folders.
pub(super) fn pids_of(machine: &Machine, program: &str) -> Vec<String> {
    let needle = machine.runtime().display().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|raw| {
                let line = String::from_utf8_lossy(&raw);
                line.split('\0').next().is_some_and(|first| first.ends_with(program))
                    && line.contains(&needle)
            })
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

pub(super) fn kill(signal: &str, pids: &[String]) {
    assert!(!pids.is_empty(), "a process to kill");
    assert!(Command::new("kill").arg(signal).args(pids).status().unwrap().success());
}

#[test]
fn stop_leaves_nothing() {
    let running = Running::honest();
    assert!(!processes_of(&running.machine).is_empty());
    let list = running.machine.caution(Path::new("/"), &["apps", "ps", "--json"]).expect(0).json();
    assert_eq!(list["enclaves"][0]["phase"], "ready");
    running.machine.caution(&HELLO.repository.root, &["apps", "stop"]).expect(0);
    assert_nothing_left(&running.machine);
}

/// The only app of this machine, as `apps ps --all` shows it.
fn app_of(machine: &Machine) -> serde_json::Value {
    machine.caution(Path::new("/"), &["apps", "ps", "--all", "--json"]).expect(0).json()
}

/// An enclave in a terminal, as it is ready; its supervisor is the command itself.
fn in_a_terminal() -> (Machine, Child) {
    let (machine, hello) = (Machine::new(), &*HELLO);
    let (publish, attestation) = (format!("{}:8080", free_port()), free_port().to_string());
    let args = ["apps", "run", "--json", "--eif", text(&hello.eif), "--publish", &publish];
    let mut child = machine
        .command(&hello.repository.root, args)
        .args(["--attestation-port", &attestation])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("\"ready\"")), "it becomes ready");
    (machine, child)
}

#[test]
fn kill_9_of_qemu_or_of_its_supervisor_leaves_nothing() {
    let (of_qemu, mut supervisor) = in_a_terminal();
    kill("-9", &pids_of(&of_qemu, "qemu-system-x86_64"));
    assert!(!supervisor.wait().unwrap().success());
    let (killed, mut supervisor) = in_a_terminal();
    kill("-9", &[supervisor.id().to_string()]);
    supervisor.wait().unwrap();
    for machine in [&of_qemu, &killed] {
        assert_nothing_left(machine);
    }
}

#[test]
fn what_is_killed_comes_back_until_it_is_stopped() {
    let running = Running::honest();
    let (machine, before) = (&running.machine, app_of(&running.machine));
    kill("-9", &pids_of(machine, "qemu-system-x86_64"));
    let deadline = Instant::now() + Duration::from_mins(1);
    let after = loop {
        let now = app_of(machine);
        if now["apps"][0]["phase"] == "ready" && now["apps"][0]["id"] != before["apps"][0]["id"] {
            break now;
        }
        assert!(Instant::now() < deadline, "{now:#}");
        pause();
    };
    let exit = &after["apps"][0]["exits"][0];
    assert!(exit["reason"].as_str().unwrap().contains("SIGKILL"), "{exit}");
    assert!(exit["then"].as_str().unwrap().contains("started again"), "{exit}");
    // The same ports: whoever uses the app does not mind.
    assert!(running.greeting().contains("Hello"), "{}", running.greeting());
    machine.caution(&HELLO.repository.root, &["apps", "stop"]).expect(0);
    assert_nothing_left(machine);
    let shown = machine.caution(Path::new("/"), &["apps", "ps", "--all"]).expect(0);
    assert!(shown.stdout.contains("ended") && shown.stdout.contains("Somebody asked"), "{}", shown.stdout);
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let running = Running::honest();
    let next = HELLO.repository.clone_of();
    next.edit("src/main.rs", "Hello from hello", "Hallo von hello");
    super::build(&next);
    let (eif, manifest) = (next.stage("output/enclave.eif"), next.stage("manifest.json"));
    let name = running.machine.caution(Path::new("/"), &["apps", "ps", "--json"]).expect(0).json();
    let name = name["enclaves"][0]["name"].as_str().unwrap().to_owned();
    let args = ["apps", "run", "--replace", "--json", "--name", &name];
    let args = [&args[..], &["--eif", text(&eif), "--manifest", text(&manifest)]].concat();
    let replaced = running.machine.caution(&next.root, &args).expect(0).json();
    // The same addresses, and another app behind them.
    assert_eq!(replaced["attestation_url"], running.attestation_url());
    assert!(running.greeting().contains("Hallo"), "{}", running.greeting());
    let nothing = ["apps", "run", "--replace", "--name", "nothing", "--eif", text(&eif)];
    let refused = running.machine.caution(&next.root, &nothing).expect(1);
    assert!(refused.stderr.contains("No app named `nothing` runs"), "{}", refused.stderr);
}

#[test]
fn ctrl_c_leaves_nothing() {
    let (machine, mut child) = in_a_terminal();
    kill("-INT", &[child.id().to_string()]);
    assert!(child.wait().unwrap().success());
    assert_nothing_left(&machine);
}

#[test]
fn a_taken_port_is_named_before_anything_boots() {
    let hello = &*HELLO;
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let machine = Machine::new();
    let publish = format!("{port}:8080");
    let args = ["apps", "run", "--detach", "--eif", text(&hello.eif), "--publish", &publish];
    let ran = machine.caution(&hello.repository.root, &args).expect(1);
    assert!(ran.stderr.contains(&port.to_string()) && ran.stderr.contains("--publish"), "{}", ran.stderr);
    assert_nothing_left(&machine);
}

#[test]
fn too_little_memory_is_refused_with_the_arithmetic() {
    let machine = Machine::new();
    let args = ["apps", "run", "--detach", "--eif", text(&HELLO.eif), "--memory", "16"];
    let ran = machine.caution(&HELLO.repository.root, &args).expect(1);
    assert!(ran.stderr.contains("16 MiB"), "{}", ran.stderr);
    assert_nothing_left(&machine);
}

#[test]
fn an_app_that_dies_says_why() {
    let dying = HELLO.repository.clone_of();
    dying.edit("Procfile", "run: /app/hello", "run: /does/not/exist");
    super::build(&dying);
    let machine = Machine::new();
    let (publish, attestation) = (format!("{}:8080", free_port()), free_port().to_string());
    let eif = dying.stage("output/enclave.eif");
    let args =
        ["apps", "run", "--eif", text(&eif), "--publish", &publish, "--attestation-port", &attestation];
    let ran = finish(&machine.command(&dying.root, args).output().unwrap()).expect(1);
    assert!(ran.stderr.contains("/does/not/exist"), "{}", ran.stderr);
    assert_nothing_left(&machine);
    let logs = machine.caution(&dying.root, &["apps", "logs"]).expect(0);
    assert!(logs.stderr.contains("/does/not/exist"), "{}", logs.stderr);
}
