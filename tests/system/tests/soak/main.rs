//! Mixed traffic from other machines while Caddy, passt, supervisors, QEMU and the agent are killed at random:
//! nothing is lost that was acknowledged, nothing hangs, nothing leaks, everything comes back by itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

mod kills;
mod place;
mod store;
mod traffic;
mod vitals;
mod web;

use kills::{Random, Victim, await_within, pause};
use place::Place;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use traffic::{Clients, Ledger, Traffic};
use vitals::Watched;

#[test]
fn nothing_that_was_acknowledged_is_lost_when_each_process_is_killed() {
    // Each once, then two at a time.
    let mut rounds: Vec<Vec<Victim>> = Victim::ALL.map(|victim| vec![victim]).to_vec();
    rounds.push(vec![Victim::Qemu, Victim::Agent]);
    rounds.push(vec![Victim::Passt, Victim::Caddy]);
    let mut rounds = rounds.into_iter();
    soak(Duration::from_secs(4), || rounds.next());
}

/// `CAUTION_SOAK_SECONDS` (an hour) and `CAUTION_SOAK_SEED` (a new one) say how long, and which kills.
#[test]
#[ignore = "an hour: make test-long"]
fn nothing_that_was_acknowledged_is_lost_in_an_hour_of_kills_at_random() {
    let long = Duration::from_secs(number("CAUTION_SOAK_SECONDS").unwrap_or(3600));
    let seed = number("CAUTION_SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0x5eed);
    println!("CAUTION_SOAK_SEED={seed} CAUTION_SOAK_SECONDS={}", long.as_secs());
    let (mut random, until) = (Random(seed.max(1)), Instant::now() + long);
    soak(Duration::from_secs(8), || (Instant::now() < until).then(|| random.victims()));
}

/// A new version of an app comes while it is used.
#[test]
fn not_one_request_fails_while_an_app_is_replaced() {
    on_a_machine(|place| {
        let place: &Place = place;
        let clients = served(place);
        let mut traffic = Traffic::start(place, &clients);
        let switched = Arc::new(AtomicBool::new(false));
        traffic.add_long(place, &switched);
        let before = place.shown()["apps"][0]["id"].clone();
        std::thread::scope(|scope| {
            let replacing = scope.spawn(|| place.replace_app().expect(0));
            await_within(Duration::from_mins(2), "the new one serves", || {
                replacing.is_finished() || place.shown()["apps"][0]["id"] != before
            });
            pause(Duration::from_secs(2));
            switched.store(true, Ordering::Release);
            replacing.join().unwrap();
        });
        pause(Duration::from_secs(2));
        let ledger = traffic.stop();
        settle(place, &ledger);
        let (said, _) = place.said_since(0);
        assert!(ledger.failed.is_empty(), "{:?}\n{said}", ledger.failed);
        assert!(!said.contains("did not finish"), "{said}");
        for kind in ["kept connection", "new connection", "HTTP/2", "long download", "long upload"] {
            assert!(ledger.done.get(kind).is_some_and(|count| *count > 0), "{kind}: {:?}", ledger.done);
        }
    });
}

/// Rounds of kills, with a time for clients before each.
fn soak(quiet: Duration, mut next: impl FnMut() -> Option<Vec<Victim>> + Send) {
    on_a_machine(|place| {
        let clients = served(place);
        let traffic = Traffic::start(place, &clients);
        let (mut watched, mut took) = (Watched::default(), BTreeMap::<Victim, (u64, Duration)>::new());
        let (began, mut number) = (Instant::now(), 0);
        loop {
            pause(quiet);
            watched.look("agent", place.agent_pid());
            watched.look("Caddy", place.process("caddy"));
            watched.look("supervisor", place.supervisor());
            let Some(victims) = next() else { break };
            number += 1;
            let back = kills::round(place, &clients, number, &victims);
            let (at, took_s) = (began.elapsed().as_secs(), back.as_secs_f64());
            println!("{at:5} s, round {number}: {victims:?}, {took_s:.1} s");
            for victim in victims {
                let (count, longest) = took.entry(victim).or_default();
                (*count, *longest) = (*count + 1, (*longest).max(back));
            }
        }
        let ledger = traffic.stop();
        for (victim, (count, longest)) in took {
            println!("{victim}: {count} kills, back after at most {:.1} s", longest.as_secs_f64());
        }
        print!("{}", watched.report());
        settle(place, &ledger);
        watched.assert_flat();
    });
}

/// Does it on a machine of its own, on which nothing is left.
fn on_a_machine(work: impl FnOnce(&mut Place) + Send) {
    // From the namespace of the machine nobody comes back.
    let on_it = || {
        let mut place = Place::enter();
        place.run_app();
        work(&mut place);
        leave(&mut place);
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(on_it).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Clients, once the first one was served.
fn served(place: &Place) -> Clients {
    await_within(Duration::from_secs(20), "the authority has its root", || place.root().exists());
    let clients = Clients::new(place);
    await_within(Duration::from_secs(20), "clients are served", || clients.probe("probe-first"));
    clients
}

/// What clients saw against what the store has.
fn settle(place: &Place, ledger: &Ledger) {
    let (kept, Ledger { asked, acknowledged, done, failed, wrong }) = (place.store.all(), ledger);
    println!("{} acknowledged of {} asked, {} kept", acknowledged.len(), asked.len(), kept.len());
    println!("answered whole: {done:?}\nfailed: {failed:?}");
    assert!(wrong.is_empty(), "{} times: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    let lost: Vec<_> = acknowledged.iter().filter(|id| !kept.contains_key(*id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let strange: Vec<_> = kept.keys().filter(|id| !asked.contains(*id)).collect();
    assert!(strange.is_empty(), "kept and never asked for: {strange:?}");
    let twice: Vec<_> = kept.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "carried out twice: {twice:?}");
}

/// Nothing is left of the app once it is stopped, nor of the agent.
fn leave(place: &mut Place) {
    let (said, _) = place.said_since(0);
    assert!(!said.contains("panicked"), "{said}");
    place.machine.stop_all();
    let left = || (place.left(), place.processes());
    let mut now = left();
    for _ in 0..100 {
        if now == (Vec::new(), Vec::new()) {
            break;
        }
        pause(Duration::from_millis(200));
        now = left();
    }
    assert_eq!(now, (Vec::new(), Vec::new()), "nothing is left");
    place.kill_agent();
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
