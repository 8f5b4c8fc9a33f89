//! One enclave in the place of another, while clients go on.

use crate::agent::{Daemon, app, client, replaced, run, signal, status};
use crate::support::{Place, config, eventually, image, image_of, plan, release};
use caution_abi::boot_plan::{BootPlan, Readiness, RestartPolicy};
use caution_abi::ports::{ATTESTATION, AppPort};
use caution_host::agent::AppState;
use caution_host::{HostError, Record, find, list};
use caution_measure::Measurements;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn measurements(eif: &Path) -> Measurements {
    let file = std::fs::File::open(eif).unwrap();
    caution_eif::read(file, &caution_eif::Limits::default()).unwrap().measurements
}

/// Another image of the same application.
fn other(name: &str) -> std::path::PathBuf {
    let mut plan = plan();
    plan.app.env.insert("RELEASE".to_owned(), name.to_owned());
    image_of(&format!("{name}.eif"), &release(), &plan)
}

fn replace(place: &Place, eif: &Path, expected: Measurements) -> Result<Record, HostError> {
    client(place).replace(app(config(eif), RestartPolicy::OnFailure), expected, &mut |_| {})
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// A request on a raw port.
fn raw(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"request")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == b"requestEND" { Ok(()) } else { Err(io::Error::other(format!("{answer:?}"))) }
}

/// A request in HTTP.
fn http(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /.well-known/caution/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}') {
        Ok(())
    } else {
        Err(io::Error::other(answer))
    }
}

fn host_port(record: &Record, wanted: u16) -> u16 {
    record.ports.iter().find(|(enclave, _)| *enclave == wanted).unwrap().1
}

fn attestation_port(record: &Record) -> u16 {
    let url = record.attestation_url.strip_prefix("http://127.0.0.1:").unwrap();
    url.strip_suffix("/attestation").unwrap().parse().unwrap()
}

#[test]
fn clients_lose_nothing_while_one_enclave_takes_the_place_of_another() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    let old = run(&place, RestartPolicy::OnFailure);
    let (echo, attestation) = (host_port(&old, 8001), attestation_port(&old));
    let new_image = other("second");
    // Connected before, and not done before the old enclave is to end.
    let mut lasting = connect(echo);
    lasting.write_all(b"before").unwrap();
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let hammer = |request: fn(u16) -> io::Result<()>, port| {
        while !done.load(Ordering::Acquire) {
            request(port).unwrap();
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let new = std::thread::scope(|scope| {
        scope.spawn(|| hammer(raw, echo));
        scope.spawn(|| hammer(http, attestation));
        let switching = scope.spawn(|| replace(&place, &new_image, measurements(&new_image)));
        eventually("the new one serves", || find(&place.dirs, "test").is_err());
        let before = answered.load(Ordering::Relaxed);
        eventually("clients are answered after the switch", || {
            answered.load(Ordering::Relaxed) > before + 20
        });
        lasting.write_all(b"after").unwrap();
        lasting.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        lasting.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"beforeafterEND");
        let new = switching.join().unwrap().unwrap();
        done.store(true, Ordering::Release);
        new
    });
    assert_eq!((new.generation, &new.ports), (Some(2), &old.ports));
    assert_eq!((attestation_port(&new), new.measurements), (attestation, measurements(&new_image)));
    assert_eq!(list(&place.dirs).unwrap(), std::slice::from_ref(&new), "the old one is gone");
    assert_eq!((status(&place).generation, status(&place).state), (2, AppState::Running));
    // It is the app now, with these ports, whatever happens.
    let killed = std::process::Command::new("kill").args(["-9", &new.pid.to_string()]).status();
    assert!(killed.unwrap().success());
    eventually("it runs again", || list(&place.dirs).unwrap().iter().any(|record| record.id != new.id));
    eventually("on the same port", || raw(echo).is_ok());
    client(&place).stop("test").unwrap();
    assert_eq!(place.processes(), []);
}

/// What must not serve leaves the enclave that does alone.
#[test]
fn an_enclave_that_is_not_what_was_expected_or_never_ready_replaces_nothing() {
    let place = Place::new();
    let _agent = Daemon::start(&place.dirs);
    let absent = replace(&place, image(&release()), measurements(image(&release()))).unwrap_err();
    assert!(absent.to_string().contains("No app named `test` runs"), "{absent}");
    let old = run(&place, RestartPolicy::OnFailure);

    let new_image = other("unexpected");
    let refused = replace(&place, &new_image, measurements(image(&release()))).unwrap_err();
    assert!(matches!(refused, HostError::NotAsExpected(_)), "{refused}");

    let nobody = AppPort::try_from(8099).unwrap();
    let base = plan();
    let mut ports = [base.ports.clone(), vec![nobody]].concat();
    ports.sort();
    let never = BootPlan { ports, readiness: Readiness::Tcp { port: nobody, timeout_s: 1 }, ..base };
    let never = image_of("never-ready.eif", &release(), &never);
    let refused = replace(&place, &never, measurements(&never)).unwrap_err();
    assert!(refused.to_string().contains("not ready after 1 s"), "{refused}");

    // One whose app has done its work before it was ever ready.
    let base = plan();
    let argv = vec!["/app".to_owned(), "done".to_owned()];
    let done = BootPlan { app: caution_abi::boot_plan::App { argv, ..base.app.clone() }, ..base };
    let done = image_of("done.eif", &release(), &done);
    let refused = replace(&place, &done, measurements(&done)).unwrap_err();
    assert!(refused.to_string().contains("status 0"), "{refused}");

    assert_eq!(list(&place.dirs).unwrap(), std::slice::from_ref(&old));
    raw(host_port(&old, 8001)).unwrap();
    assert_eq!(status(&place).generation, 1);
    let kept: Vec<_> = std::fs::read_dir(place.dirs.state.join("apps/test")).unwrap().flatten().collect();
    assert!(kept.iter().all(|file| !file.file_name().to_str().unwrap().starts_with('2')), "{kept:?}");
    // What became of them says nothing about the one that serves: it was killed, not finished.
    signal(old.pid, "KILL");
    replaced(&place, &old);
    assert!(status(&place).exits[0].reason.contains("supervisor was killed"), "{:?}", status(&place).exits);
    client(&place).stop("test").unwrap();
}

#[test]
fn an_agent_that_is_killed_while_it_replaces_an_enclave_is_finished_by_the_next() {
    let place = Place::new();
    let agent = Daemon::start(&place.dirs);
    let old = run(&place, RestartPolicy::OnFailure);
    let new_image = other("third");
    let mut lasting = connect(host_port(&old, 8001));
    lasting.write_all(b"x").unwrap();
    lasting.read_exact(&mut [0]).unwrap();
    std::thread::scope(|scope| {
        let switching = scope.spawn(|| replace(&place, &new_image, measurements(&new_image)));
        eventually("the new one serves", || list(&place.dirs).unwrap().len() == 2);
        agent.kill();
        assert!(switching.join().unwrap().is_err());
    });
    let _agent = Daemon::start(&place.dirs);
    let new = || list(&place.dirs).unwrap().into_iter().find(|record| record.id != old.id).unwrap();
    assert_eq!(status(&place).id, Some(new().id));
    raw(host_port(&new(), 8001)).unwrap();
    // The client of the old one finishes; then nothing keeps that.
    lasting.shutdown(Shutdown::Write).unwrap();
    lasting.read_to_end(&mut Vec::new()).unwrap();
    eventually("the old one ends", || list(&place.dirs).unwrap() == [new()]);
    assert_ne!(attestation_port(&new()), ATTESTATION);
    client(&place).stop("test").unwrap();
}
