//! Enclaves that outlive who started them, and what is killed under way.

use crate::support::{PORT, Place, eventually};
use caution_abi::boot_plan::{Restart, RestartPolicy};
use caution_host::agent::{AgentClient, AppSpec, AppState};
use caution_host::{Accelerator, find, list, run_detached, stop};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const HOST: &str = env!("CARGO_BIN_EXE_caution-host");

fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

/// What a user's agent, and detached runs, are told.
fn settings(place: &Place) {
    let text = format!("[ingress]\nenabled = false\n{}", place.driver_table());
    fs::write(place.dirs.state.join("host.toml"), text).unwrap();
}

#[test]
fn a_detached_enclave_is_listed_with_its_driver_and_goes_with_its_supervisor() {
    let place = Place::new();
    settings(&place);
    let detach = || run_detached(&place.dirs, &place.config("app"), Path::new(HOST), &mut |_| {}).unwrap();
    let record = detach();
    assert_eq!(list(&place.dirs).unwrap()[0].accelerator, Accelerator::Nitro);
    stop(&place.dirs, &record.id).unwrap();
    assert_eq!(place.terminated(), 1);
    place.assert_clean();
    // Nobody is left that could ask nitro-cli: the process that holds the enclave is found by its mark.
    kill(detach().pid);
    place.assert_clean();
    assert_eq!(place.terminated(), 1);
}

/// An agent that is started and killed as a service manager would.
struct Daemon(Child);

impl Daemon {
    fn start(place: &Place) -> Self {
        let file = place.at("agent.toml");
        let folders = format!(
            "state = {}\nruntime = {}\ncache = {}\n[ingress]\nenabled = false\n",
            place.quoted("state"),
            place.quoted("run"),
            place.quoted("cache")
        );
        fs::write(&file, folders + &place.driver_table()).unwrap();
        let mut command = Command::new(HOST);
        let child = command.args(["serve", "--config"]).arg(file).stderr(Stdio::null()).spawn().unwrap();
        eventually("the agent listens", || place.dirs.runtime.join(".agent").exists());
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn app(place: &Place, name: &str) -> AppSpec {
    let policy = RestartPolicy::OnFailure;
    let restart = Restart { policy, max_restarts: 5, backoff_ms: 1, backoff_max_ms: 1 };
    AppSpec { config: place.config(name), restart }
}

#[test]
fn an_agent_finds_its_enclave_again_after_kill_9_and_starts_it_again_when_it_dies() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let client = AgentClient::new(&place.dirs);
    let record = client.run(app(&place, "app"), &mut |_| {}).unwrap();
    daemon.kill();
    let _ = fs::remove_file(place.dirs.runtime.join(".agent"));
    let daemon = Daemon::start(&place);
    eventually("it is found again", || {
        let apps = client.list().unwrap();
        apps[0].state == AppState::Running && apps[0].id.as_deref() == Some(record.id.as_str())
    });
    let port = record.ports.iter().find(|(enclave, _)| *enclave == PORT).unwrap().1;
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"die").unwrap();
    eventually("another one runs", || {
        let apps = client.list().unwrap();
        apps[0].state == AppState::Running && apps[0].id.as_deref() != Some(record.id.as_str())
    });
    assert_eq!(find(&place.dirs, "app").unwrap().accelerator, Accelerator::Nitro);
    client.stop("app").unwrap();
    place.assert_clean();
    daemon.kill();
}

#[test]
fn an_enclave_that_aws_does_not_vouch_for_replaces_nothing() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let client = AgentClient::new(&place.dirs);
    let record = client.run(app(&place, "app"), &mut |_| {}).unwrap();
    let refused = client.replace(app(&place, "app"), record.measurements, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("does not prove what it runs"), "{refused}");
    assert_eq!(find(&place.dirs, "app").unwrap().id, record.id);
    client.stop("app").unwrap();
    place.assert_clean();
    daemon.kill();
}

#[test]
fn what_the_pool_has_not_is_refused_with_the_sum() {
    let place = Place::new();
    place.pool(200, "1-8");
    let daemon = Daemon::start(&place);
    let client = AgentClient::new(&place.dirs);
    client.run(app(&place, "a"), &mut |_| {}).unwrap();
    let refused = client.run(app(&place, "b"), &mut |_| {}).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "The pool of Nitro enclaves has 200 MiB, 128 are given to 1 enclave (a 128); 128 asked, 72 free."
    );
    client.stop("a").unwrap();
    place.assert_clean();
    daemon.kill();
}
