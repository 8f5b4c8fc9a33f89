//! What an enclave says about itself.

use crate::Running;
use crate::endings::{qemu, signal};
use crate::support::{
    Place, compile, config, eventually, image, image_of, plan, ramdisk, release, write_image,
};
use caution_abi::boot_plan::{BootPlan, Restart, RestartPolicy};
use caution_abi::control::{ClockAction, ClockSource, Event, Exit, LogStream, Phase};
use caution_abi::health::{self, Health};
use caution_abi::ports::ATTESTATION;
use caution_host::{Ending, HostEvent};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;

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
    switch_on(running);
    running.wait_for(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::Ready, .. })));
}

fn switch_on(running: &Running) {
    let port = running.host_port(8006);
    eventually("the app listens", || {
        let mut word = String::new();
        // Until it listens, the forwarder resets connections.
        let read = TcpStream::connect(("127.0.0.1", port)).and_then(|mut s| s.read_to_string(&mut word));
        read.is_ok() && word == "on"
    });
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

/// What the app wrote, as far as it was told.
fn told(running: &Running) -> Vec<&str> {
    let lines = running.seen.iter().filter_map(|event| match event {
        HostEvent::Enclave(Event::Log { line, .. }) => Some(line.as_str()),
        _ => None,
    });
    lines.collect()
}

#[test]
fn what_the_app_writes_leaves_only_where_the_boot_plan_says_so() {
    let (release, place) = (release(), Place::new());
    for (name, logs) in [("quiet.eif", false), ("logs.eif", true)] {
        let eif = image_of(name, &release, &BootPlan { logs, ..plan() });
        let mut running = Running::ready(&place.dirs, &config(&eif));
        let before = now_ms();
        exit(&running, 7);
        assert!(matches!(running.outcome(), Ok(Ending::PoweredOff { .. })));
        assert!(!running.seen.iter().any(|event| matches!(event, HostEvent::Console(_))));
        let expected = ["the app says this on its standard output", "and this at its end"];
        assert_eq!(told(&running), if logs { &expected[..] } else { &[] });
        let entries = caution_host::logs(&place.dirs, "test", false).unwrap();
        let written = entries.filter(|e| matches!(e.event, HostEvent::Enclave(Event::Log { .. }))).count();
        assert_eq!(written, told(&running).len());
        let last = running.seen.iter().rev().find_map(|event| match event {
            HostEvent::Enclave(Event::Log { stream, unix_ms, .. }) => Some((*stream, *unix_ms)),
            _ => None,
        });
        if let Some((stream, unix_ms)) = last {
            assert_eq!(stream, LogStream::Stderr);
            assert!(unix_ms.abs_diff(before) < 600_000, "{unix_ms}, {before}");
        }
    }
    place.assert_clean();
}

#[test]
fn an_app_is_not_held_up_by_a_host_that_does_not_read() {
    let (release, place) = (release(), Place::new());
    let mut chatty = plan();
    chatty.logs = true;
    chatty.app.argv.extend(["chatty".to_owned(), "late".to_owned()]);
    let eif = image_of("chatty.eif", &release, &chatty);
    // With the first line, once ports are open, this host stops to read until it is told to go on.
    let (go, wait) = channel::<()>();
    let mut published = false;
    let mut running = Running::start_watched(&place.dirs, &config(&eif), move |event| match event {
        HostEvent::Published { enclave: ATTESTATION, .. } => published = true,
        HostEvent::Enclave(Event::Log { .. }) if published => drop(wait.recv()),
        _ => {}
    });
    running.wait_for(|event| matches!(event, HostEvent::Published { enclave: ATTESTATION, .. }));
    switch_on(&running);
    drop(go);
    running.wait_for(|event| matches!(event, HostEvent::Ready { .. }));
    let dropped = running.seen.iter().map(|event| match event {
        HostEvent::Enclave(Event::LogDropped { lines }) => *lines,
        _ => 0,
    });
    let dropped: u64 = dropped.sum();
    assert!(dropped > 0);
    assert_eq!(told(&running).len() as u64 + dropped, 1 + 4096, "every line is told or counted");
    running.stop().unwrap();
    place.assert_clean();
}

#[test]
fn the_clock_is_right_after_boot_and_after_the_machine_stood_still() {
    let (release, place) = (release(), Place::new());
    let mut running = Running::ready(&place.dirs, &config(image(&release)));
    let clock = health(&running).1.clock.unwrap();
    // Software emulation offers no clock of the hypervisor.
    assert_eq!(clock.source, ClockSource::SecurityModule);
    assert!(clock.offset_ms.abs() <= LATE_MS, "{clock:?}");
    wait_until_right(&mut running);
    signal(qemu(&place), "STOP");
    pause();
    signal(qemu(&place), "CONT");
    wait_until_right(&mut running);
    running.stop().unwrap();
    place.assert_clean();
}

/// At once where the kernel reads the processor's counter. One that counts ticks, as under software
/// emulation, misses those for which its machine had no time, and is set forwards at the next look.
fn wait_until_right(running: &mut Running) {
    for _ in 0..5 {
        if off_by(running) <= LATE_MS.unsigned_abs() {
            return;
        }
        running.wait_for(|event| {
            matches!(event, HostEvent::Enclave(Event::Clock { action: ClockAction::Stepped, .. }))
        });
    }
    panic!("off by {} ms", off_by(running));
}

/// By how many milliseconds the app's clock is off, at least.
fn off_by(running: &Running) -> u64 {
    let (mut said, before) = (String::new(), now_ms());
    running.connect(8008).read_to_string(&mut said).unwrap();
    let (said, after): (u64, u64) = (said.parse().unwrap(), now_ms());
    before.saturating_sub(said).max(said.saturating_sub(after))
}

#[expect(clippy::disallowed_methods, reason = "the machine stands still for this time")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_secs(3));
}

/// How far a clock may be off that was set on a busy machine: half of the longest question, and more.
const LATE_MS: i64 = 700;

/// Sends the app its status and the wish to exit.
fn exit(running: &Running, status: u8) {
    let mut stream = running.connect(8005);
    writeln!(stream, "{status}").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the clock that the enclave's is compared with")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

#[test]
fn an_app_that_is_root_cannot_fell_pid_1() {
    let (release, place) = (release(), Place::new());
    let mut assault = plan();
    (assault.app.uid, assault.app.gid) = (0, 0);
    let image = write_image("assault.eif", &release, &ramdisk(&assault, &compile("assault.c")));
    let mut running = Running::start(&place.dirs, &config(&image));
    running.wait_for(|event| matches!(event, HostEvent::Ready { .. }));
    assert!(health(&running).0.starts_with("HTTP/1.1 200 "));
    running.stop().unwrap();
    place.assert_clean();
}
