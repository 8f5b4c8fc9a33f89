//! What an enclave says about itself.

use crate::Running;
use crate::support::{Place, config, eventually, image_of, plan, release};
use caution_abi::boot_plan::{Restart, RestartPolicy};
use caution_abi::control::{Event, Exit, Phase};
use caution_abi::health::{self, Health};
use caution_abi::ports::ATTESTATION;
use caution_host::HostEvent;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// The head of the answer, and what it says.
fn health(running: &Running) -> (String, Health) {
    let (head, body) = ask(running, "GET");
    (head, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
}

fn ask(running: &Running, method: &str) -> (String, String) {
    let mut stream = running.connect(ATTESTATION);
    write!(stream, "{method} {} HTTP/1.1\r\nHost: localhost\r\n\r\n", health::PATH).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Lets an app that was started with `late` become ready.
fn let_it_begin(running: &mut Running) {
    let port = running.host_port(8006);
    eventually("the app listens", || {
        let mut word = String::new();
        // Until it listens, the forwarder resets connections.
        let read = TcpStream::connect(("127.0.0.1", port)).and_then(|mut s| s.read_to_string(&mut word));
        read.is_ok() && word == "on"
    });
    running.wait_for(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::Ready, .. })));
}

#[test]
fn health_comes_from_inside_and_follows_the_app() {
    let (release, place) = (release(), Place::new());
    let mut late = plan();
    late.app.argv.push("late".to_owned());
    late.restart =
        Restart { policy: RestartPolicy::OnFailure, max_restarts: 5, backoff_ms: 1, backoff_max_ms: 1 };
    let eif = image_of("late.eif", &release, &late);
    let mut running = Running::start(&place.dirs, &config(&eif));
    running.wait_for(|event| matches!(event, HostEvent::Published { enclave: ATTESTATION, .. }));

    let (head, first) = health(&running);
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 1"), "{head}");
    assert_eq!((first.phase, first.ready, first.restarts), (Phase::Starting, false, 0));
    assert_eq!(first.last_exit, None);

    let_it_begin(&mut running);
    let (head, ready) = health(&running);
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("Retry-After"), "{head}");
    assert!(ready.ready && ready.uptime_ms >= first.uptime_ms, "{ready:?}");
    let memory = ready.memory.unwrap();
    assert!(memory.total_kib < 256 * 1024 && memory.available_kib < memory.total_kib, "{memory:?}");
    let (head, body) = ask(&running, "HEAD");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head} {body}");

    let mut stream = running.connect(8005);
    stream.write_all(b"7\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    running
        .wait_for(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::BackingOff, .. })));
    running
        .wait_for(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::Starting, .. })));
    let (head, again) = health(&running);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!((again.restarts, again.last_exit), (1, Some(Exit::Status { code: 7 })));
    let_it_begin(&mut running);
    assert!(health(&running).1.ready);
    running.stop().unwrap();
    place.assert_clean();
}
