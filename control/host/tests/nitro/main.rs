//! Enclaves on Nitro, as far as a machine without the hardware can show: everything of this program, a FAKE nitro-cli, and
//! Unix sockets in the place of AF_VSOCK.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod lives;
mod support;

use caution_abi::control::{Event, Phase};
use caution_host::{Accelerator, Ending, HostError, HostEvent, NitroError, RunConfig};
use std::time::Duration;
use support::{Place, Running};

#[test]
fn an_enclave_boots_is_reached_and_is_ended_by_nitro_cli() {
    let place = Place::new();
    let running = Running::ready(&place, place.config("app"));
    assert_eq!(running.ask(b"hello").unwrap(), b"hello");
    assert_eq!(place.manifests(), ["{\"of\":\"app\"}"]);
    let (outcome, seen) = running.stop();
    assert_eq!(outcome.unwrap(), Ending::Stopped);
    let at = |wanted: &HostEvent| seen.iter().position(|event| event == wanted).unwrap();
    let ready = Event::Phase { phase: Phase::Ready, uptime_ms: 2 };
    let order = [
        at(&HostEvent::Accelerator(Accelerator::Nitro)),
        at(&HostEvent::Booting),
        at(&HostEvent::Heartbeat),
        at(&HostEvent::Enclave(ready)),
    ];
    assert!(order.is_sorted(), "{seen:?}");
    assert_eq!(place.terminated(), 1);
    place.assert_clean();
}

#[test]
fn an_enclave_that_dies_is_noticed() {
    let place = Place::new();
    let running = Running::ready(&place, place.config("app"));
    assert!(running.ask(b"die").unwrap_or_default().is_empty());
    let (outcome, _) = running.outcome();
    assert!(matches!(outcome, Err(HostError::GuestReset { .. })), "{outcome:?}");
    assert_eq!(place.terminated(), 0, "there was nothing left to end");
    place.assert_clean();
}

#[test]
fn the_last_word_of_an_enclave_is_its_end() {
    let place = Place::new();
    let running = Running::ready(&place, place.config("app"));
    let _ = running.ask(b"power off");
    let (outcome, _) = running.outcome();
    let reason = "The app asked for it.".to_owned();
    assert_eq!(outcome.unwrap(), Ending::PoweredOff { reason, last_exit: None });
    place.assert_clean();
}

#[test]
fn what_nitro_cli_refuses_is_told_with_the_way_out_and_leaves_nothing() {
    let allocator = "/etc/nitro_enclaves/allocator.yaml";
    for (mode, words, fix) in [
        ("e22", "E22, Insufficient CPUs available in the pool", allocator),
        ("e27", "E27, Insufficient memory available", "`memory_mib` in /etc/nitro_enclaves"),
        ("e29", "E29, Ioctl failure", "dmesg"),
        ("e36", "E36, Enclave boot failure", "--attach-console"),
        ("noise", "`nitro-cli run-enclave` answered something that is not understood: expected value", ""),
        (
            "silent",
            "`nitro-cli run-enclave` answered something that is not understood: it printed nothing",
            "",
        ),
        ("flood", "it printed more than 262144 bytes", ""),
        ("describe", "`nitro-cli describe-enclaves` answered something that is not understood", ""),
        ("other-cid", "whose CID is 17, and 16 was asked for", ""),
        ("other-flags", "whose flags is DEBUG_MODE, and NONE was asked for", ""),
        ("other-image", "whose PCR2 is ffff", ""),
        ("stranger", "whose process is 1, and one that nitro-cli left behind was asked for", ""),
    ] {
        let place = Place::new();
        place.mode(mode);
        let (outcome, _) = Running::start(&place, place.config("app")).outcome();
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(words), "{mode}: {error}");
        assert!(error.fix().unwrap_or_default().contains(fix), "{mode}: {:?}", error.fix());
        place.assert_clean();
    }
}

#[test]
fn a_nitro_cli_that_hangs_is_killed_in_time_and_a_stop_does_not_wait_for_it() {
    let place = Place::new();
    place.mode("hang");
    let (outcome, _) = Running::start_with(&place, place.config("app"), Duration::from_secs(2)).outcome();
    // nitro-cli's limit is the shorter one; on a busy machine they come together.
    let error = outcome.unwrap_err();
    let hung = matches!(error, HostError::Nitro(NitroError::Hung { command: "run-enclave", .. }));
    assert!(hung || matches!(error, HostError::BootTimeout { .. }), "{error}");
    place.assert_clean();
    // With its answer given and the enclave running, too.
    for mode in ["hang", "hang-after"] {
        place.mode(mode);
        let mut running = Running::start(&place, place.config("app"));
        running.wait_for(|event| matches!(event, HostEvent::Booting));
        assert_eq!(running.stop().0.unwrap(), Ending::Stopped);
        place.assert_clean();
    }
}

#[test]
fn an_enclave_that_nitro_cli_cannot_end_is_ended_by_its_process() {
    let place = Place::new();
    let running = Running::ready(&place, place.config("app"));
    place.mode("immortal");
    assert_eq!(running.stop().0.unwrap(), Ending::Stopped);
    assert_eq!(place.terminated(), 1);
    place.assert_clean();
}

#[test]
fn the_answer_of_another_enclave_ends_none() {
    let place = Place::new();
    let first = Running::ready(&place, place.config("first"));
    for (mode, words) in [
        ("another", "whose state is unknown to describe-enclaves"),
        ("another-process", "and one that nitro-cli left behind was asked for"),
    ] {
        place.mode(mode);
        let error = Running::start(&place, place.config("second")).outcome().0.unwrap_err();
        assert!(error.to_string().contains(words), "{mode}: {error}");
        assert_eq!(place.terminated(), 0);
        assert_eq!(first.ask(b"1").unwrap(), b"1");
    }
    assert_eq!(first.stop().0.unwrap(), Ending::Stopped);
    place.assert_clean();
}

#[test]
fn an_answer_in_pieces_is_read_and_an_enclave_that_ends_at_once_is_told_as_such() {
    let place = Place::new();
    place.mode("pieces");
    assert_eq!(Running::ready(&place, place.config("app")).stop().0.unwrap(), Ending::Stopped);
    place.mode("short");
    let (outcome, _) = Running::start(&place, place.config("app")).outcome();
    assert!(matches!(outcome, Err(HostError::GuestReset { .. })), "{outcome:?}");
    place.assert_clean();
}

#[test]
fn what_the_machine_has_not_is_refused_before_the_image_is_read() {
    let place = Place::new();
    let refused = |config: RunConfig| {
        let (outcome, seen) = Running::start(&place, config).outcome();
        assert!(!seen.iter().any(|event| matches!(event, HostEvent::Measured(_))), "{seen:?}");
        outcome.unwrap_err()
    };
    place.pool(64, "1-8");
    let error = refused(place.config("app"));
    assert!(error.to_string().contains("needs 128 MiB of memory"), "{error}");
    place.pool(1024, "1");
    let error = refused(place.config("app"));
    assert!(
        error.to_string().contains("needs 2 CPUs") && error.fix().unwrap().contains("cpu_count"),
        "{error}"
    );
    std::fs::remove_file(place.at("device")).unwrap();
    let error = refused(place.config("app"));
    assert!(matches!(error, HostError::Nitro(NitroError::NoDevice(_))), "{error}");
    place.assert_clean();
}

#[test]
fn a_nitro_cli_that_is_not_installed_is_named() {
    let place = Place::new();
    std::fs::remove_file(place.at("fake/nitro-cli")).unwrap();
    let (outcome, _) = Running::start(&place, place.config("app")).outcome();
    let error = outcome.unwrap_err();
    assert!(matches!(error, HostError::Nitro(NitroError::CliMissing(_))), "{error}");
    assert_eq!(error.fix().unwrap(), "dnf install aws-nitro-enclaves-cli");
}

#[test]
fn debug_mode_is_asked_for_and_brings_the_console() {
    let place = Place::new();
    let running = Running::ready(&place, RunConfig { debug: true, ..place.config("app") });
    let (outcome, seen) = running.stop();
    assert_eq!(outcome.unwrap(), Ending::Stopped);
    let said = HostEvent::Console("last words".to_owned());
    assert!(seen.contains(&said), "{seen:?}");
    place.assert_clean();
}

#[test]
fn enclaves_of_one_parent_each_find_their_own_manifest_whoever_listens() {
    let place = Place::new();
    let first = Running::ready(&place, place.config("first"));
    let second = Running::ready(&place, place.config("second"));
    assert_eq!(place.manifests(), ["{\"of\":\"first\"}", "{\"of\":\"second\"}"]);
    assert_eq!(second.ask(b"2").unwrap(), b"2");
    // The one that listened for both goes, and the other takes its turn.
    assert_eq!(first.stop().0.unwrap(), Ending::Stopped);
    let third = Running::ready(&place, place.config("third"));
    assert_eq!(place.manifests().len(), 3);
    assert_eq!(place.manifests()[2], "{\"of\":\"third\"}");
    assert_eq!(second.ask(b"2").unwrap(), b"2");
    for running in [second, third] {
        assert_eq!(running.stop().0.unwrap(), Ending::Stopped);
    }
    place.assert_clean();
}
