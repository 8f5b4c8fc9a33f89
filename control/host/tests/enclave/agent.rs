//! The host agent as a process: apps that are kept running, whatever is killed.

use crate::program;
use crate::support::{Place, config, eventually, image, marked, release};
use caution_abi::boot_plan::{Restart, RestartPolicy};
use caution_host::agent::{AgentClient, AppSpec, AppState, AppStatus, Done, Reply, Request};
use caution_host::{Dirs, Ending, HostError, HostEvent, Record, RunConfig, find, list, logs};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Its ports are one machine's, and tests run beside each other.
pub(crate) const WITHOUT_HTTPS: &str = "[ingress]\nenabled = false\n";

/// An agent that is started and killed as a service manager would.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    pub(crate) fn start(dirs: &Dirs) -> Self {
        Self::start_with(dirs, WITHOUT_HTTPS)
    }

    /// With these settings.
    pub(crate) fn start_with(dirs: &Dirs, settings: &str) -> Self {
        let file = dirs.state.with_extension("toml");
        std::fs::write(&file, settings).unwrap();
        let folders = [("STATE_DIRECTORY", &dirs.state), ("RUNTIME_DIRECTORY", &dirs.runtime)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_caution-host"));
        command
            .args(["serve", "--config", file.to_str().unwrap()])
            .envs(folders)
            .env("CACHE_DIRECTORY", &dirs.cache)
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says so once it listens.
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("looks after its apps")), "it listens");
        std::thread::spawn(move || log.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Self { child }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client(place: &Place) -> AgentClient {
    AgentClient::new(&place.dirs).starting(&program())
}

pub(crate) fn app(config: RunConfig, policy: RestartPolicy) -> AppSpec {
    let restart = Restart { policy, max_restarts: 3, backoff_ms: 10, backoff_max_ms: 50 };
    AppSpec { config, restart }
}

pub(crate) fn run(place: &Place, policy: RestartPolicy) -> Record {
    let app = app(config(image(&release())), policy);
    client(place).run(app, &mut |_| {}).unwrap()
}

pub(crate) fn status(place: &Place) -> AppStatus {
    client(place).list().unwrap().pop().unwrap()
}

pub(crate) fn signal(pid: i32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

pub(crate) fn qemu(place: &Place) -> i32 {
    place.processes().into_iter().find(|(_, name)| name.starts_with("qemu-system")).unwrap().0
}

/// Waits until another enclave of the app runs than `before`.
pub(crate) fn replaced(place: &Place, before: &Record) -> Record {
    eventually("it runs again", || {
        list(&place.dirs).unwrap().iter().any(|record| record.id != before.id)
            && status(place).state == AppState::Running
    });
    find(&place.dirs, "test").unwrap()
}

#[test]
fn an_enclave_that_is_killed_is_started_again_and_the_reason_is_kept() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    let first = run(&place, RestartPolicy::OnFailure);
    assert_eq!(first.generation, Some(1));
    let follower = {
        let dirs = place.dirs.clone();
        std::thread::spawn(move || logs(&dirs, "test", true).unwrap().map(|entry| entry.event).collect())
    };
    let twice = client(&place).run(app(config(image(&release())), RestartPolicy::Never), &mut |_| {});
    assert!(twice.unwrap_err().to_string().contains("`test` runs already"));

    signal(qemu(&place), "KILL");
    let second = replaced(&place, &first);
    assert!(status(&place).exits[0].reason.contains("SIGKILL"), "{:?}", status(&place));
    // Its supervisor, which no word of is left.
    signal(second.pid, "KILL");
    let third = replaced(&place, &second);
    let exits = status(&place).exits;
    assert!(exits[1].reason.contains("supervisor was killed"), "{exits:?}");
    assert!(exits[1].then.contains("started again"), "{exits:?}");

    let (name, id) = client(&place).stop(&third.id).unwrap();
    assert_eq!((name.as_str(), id), ("test", Some(third.id)));
    assert_eq!((status(&place).state, status(&place).exits.len()), (AppState::Ended, 3));
    assert!(matches!(client(&place).stop("test"), Err(HostError::Told { .. })));
    let told: Vec<HostEvent> = follower.join().unwrap();
    let ready = told.iter().filter(|event| matches!(event, HostEvent::Ready { .. })).count();
    assert_eq!(ready, 3, "who follows the log goes on with the next run: {told:?}");
    assert_eq!(told.last(), Some(&HostEvent::Ended(Ending::Stopped)));
    assert_eq!(place.left_in_runtime(), [".agent"]);
    assert_eq!(place.processes(), []);
}

#[test]
fn an_agent_that_is_killed_loses_nothing_and_notices_what_died_meanwhile() {
    let place = Place::new();
    let agent = Daemon::start(&place.dirs);
    let first = run(&place, RestartPolicy::Always);
    agent.kill();
    assert_eq!(find(&place.dirs, "test").unwrap(), first, "the enclave goes on");
    assert_eq!(client(&place).list().unwrap()[0].state, AppState::Running, "nobody is needed to know");

    let agent = Daemon::start(&place.dirs);
    let adopted = status(&place);
    assert_eq!((adopted.state, adopted.id.as_deref()), (AppState::Running, Some(first.id.as_str())));
    agent.kill();
    signal(first.pid, "KILL");
    eventually("it is gone", || list(&place.dirs).unwrap().is_empty());
    assert_eq!(status(&place).state, AppState::Lost);

    let _agent = Daemon::start(&place.dirs);
    let second = replaced(&place, &first);
    assert!(status(&place).exits[0].reason.contains("supervisor was killed"));
    client(&place).stop("test").unwrap();
    assert!(matches!(find(&place.dirs, &second.id), Err(HostError::NotRunning(_))));
}

#[test]
fn the_end_of_an_app_that_is_never_started_again_is_its_end() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    run(&place, RestartPolicy::Never);
    signal(qemu(&place), "KILL");
    eventually("it ended", || status(&place).state == AppState::Ended);
    assert!(status(&place).exits[0].then.contains("by the boot plan's restart policy"));
    // Its name is free, and what is known of it goes on.
    let again = run(&place, RestartPolicy::Never);
    assert_eq!((again.generation, status(&place).exits.len()), (Some(2), 1));
    client(&place).stop("test").unwrap();
}

#[test]
fn a_client_that_goes_away_takes_its_boot_along() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    let app = app(config(image(&release())), RestartPolicy::Always);
    let mut lines = client(&place).ask(&Request::Run { app: app.clone() }).unwrap();
    loop {
        if let Reply::Event(HostEvent::Booting) = lines.next().unwrap() {
            break;
        }
    }
    let twice = client(&place).run(app, &mut |_| {}).unwrap_err();
    assert!(twice.to_string().contains("`test` boots already"), "{twice}");
    drop(lines);
    eventually("nothing runs", || place.left_in_runtime() == [".agent"] && place.processes().is_empty());
    eventually("nothing is to run", || client(&place).list().unwrap().is_empty());
}

#[test]
fn a_drained_agent_ends_its_enclaves_and_the_next_starts_them_again() {
    let place = Place::new();
    let mut agent = Daemon::start(&place.dirs);
    let first = run(&place, RestartPolicy::Never);
    // A client that stays does not hold it up.
    let _watching = client(&place).ask(&Request::Watch { app: None }).unwrap();
    assert_eq!(client(&place).drain().unwrap(), 1);
    assert!(agent.child.wait().unwrap().success());
    assert!(place.left_in_runtime().is_empty() && place.processes().is_empty());
    assert!(matches!(client(&place).drain(), Err(HostError::AgentUnreachable { .. })));

    let _agent = Daemon::start(&place.dirs);
    let second = replaced(&place, &first);
    assert_eq!((&second.ports, second.generation), (&first.ports, first.generation));
    let status = status(&place);
    assert_eq!((status.exits.len(), status.restarts), (0, 0), "it was no end of the app's own");
    client(&place).stop("test").unwrap();
}

#[test]
fn the_image_of_an_app_is_fetched_whole() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    assert!(client(&place).fetch("test", 0).is_err());
    let record = run(&place, RestartPolicy::Never);
    let whole = std::fs::read(image(&release())).unwrap();
    for from in [0, 4097, whole.len(), whole.len() + 1] {
        let (size, sha256, mut bytes) = client(&place).fetch("test", from as u64).unwrap();
        assert_eq!((size, sha256), (whole.len() as u64, record.eif_sha256));
        let mut fetched = Vec::new();
        bytes.read_to_end(&mut fetched).unwrap();
        assert!(fetched == whole.get(from..).unwrap_or_default(), "from {from}");
    }
    client(&place).stop("test").unwrap();
}

#[test]
fn an_agent_on_demand_comes_and_goes() {
    let place = Place::new();
    assert!(client(&place).list().unwrap().is_empty());
    assert!(place.left_in_runtime().is_empty(), "no agent for a question that files answer");
    run(&place, RestartPolicy::Always);
    let mut lines = client(&place).ask(&Request::Status {}).unwrap();
    let status = lines.next().unwrap();
    assert_eq!(status, Reply::Done(Done::Status { apps: 1, running: 1, ends_when_idle: true }));
    drop(lines);
    client(&place).stop("test").unwrap();
    place.assert_clean();
}

/// The same apps, looked for in two places, would be started twice.
#[test]
fn an_agent_with_another_runtime_folder_is_refused_as_long_as_apps_run_below_the_first() {
    let place = Place::new();
    let agent = Daemon::start(&place.dirs);
    let record = run(&place, RestartPolicy::Always);
    let elsewhere = Dirs { runtime: place.file("elsewhere"), ..place.dirs.clone() };
    let other = AgentClient::new(&elsewhere).starting(&program());
    let refused = || {
        let error = other.ask(&Request::Status {}).unwrap_err();
        let wanted = format!(
            "Apps of {} run below another runtime folder, {}.",
            place.dirs.state.display(),
            place.dirs.runtime.display()
        );
        assert_eq!(error.to_string(), wanted);
        assert!(error.fix().unwrap().contains("XDG_RUNTIME_DIR="), "{error:?}");
    };
    refused();
    agent.kill();
    refused();
    assert_eq!(find(&place.dirs, "test").unwrap(), record, "it goes on");
    client(&place).stop("test").unwrap();
    // Nor does the agent on demand, a moment later.
    eventually("nothing runs below the first any more", || other.ask(&Request::Status {}).is_ok());
}

#[test]
fn what_a_failed_test_leaves_running_ends_with_its_place() {
    let place = Place::new();
    let runtime = place.dirs.runtime.clone();
    let supervisor = run(&place, RestartPolicy::Always).pid;
    assert!(!place.processes().is_empty());
    drop(place);
    eventually("nothing of it runs", || {
        marked(&runtime).is_empty() && !Path::new("/proc").join(supervisor.to_string()).exists()
    });
}

#[test]
fn what_does_not_fit_is_refused_before_it_boots_however_many_ask_at_once() {
    let place = Place::new();
    let settings = format!("{WITHOUT_HTTPS}[limits]\nmemory_mib = 400\n");
    let _agent = Daemon::start_with(&place.dirs, &settings);
    let ask = &|name: &str| {
        let config = RunConfig { name: name.to_owned(), ..config(image(&release())) };
        client(&place).run(app(config, RestartPolicy::Never), &mut |_| {})
    };
    let outcomes = std::thread::scope(|scope| {
        ["a", "b", "c"].map(|name| scope.spawn(move || ask(name))).map(|asked| asked.join().unwrap())
    });
    let refused: Vec<&HostError> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), 2, "{outcomes:?}");
    for refusal in refused {
        let text = refusal.to_string();
        assert!(
            text.starts_with("This machine has ") && text.contains("256 are given to 1 enclave"),
            "{text}"
        );
        assert!(
            text.ends_with("256 asked, 144 free.") && refusal.fix().unwrap().contains("--memory"),
            "{text}"
        );
    }
    let running = list(&place.dirs).unwrap();
    assert_eq!(running.len(), 1);
    client(&place).stop(&running[0].name).unwrap();
}

#[test]
fn lines_that_are_no_requests_are_refused_in_words() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    for (line, why) in [
        ("{}\n".to_owned(), "malformed"),
        ("{\"do\":\"stop\"}\n".to_owned(), "missing field `app`"),
        ("{\"do\":\"list\",\"all\":true}\n".to_owned(), "malformed"),
        ("x".repeat(2 << 20), "more than 1048576 bytes"),
    ] {
        let stream = UnixStream::connect(place.dirs.runtime.join(".agent")).unwrap();
        // It closes before it took all of a line that is too long.
        let _ = (&stream).write_all(line.as_bytes());
        let answer: Vec<String> = BufReader::new(&stream).lines().map_while(Result::ok).collect();
        assert!(answer[0].starts_with("{\"hello\":{\"protocol\":1,"), "{answer:?}");
        if !why.starts_with("more") || answer.len() > 1 {
            assert!(answer[1].starts_with("{\"error\":") && answer[1].contains(why), "{answer:?}");
        }
    }
    assert!(client(&place).list().unwrap().is_empty());
}
