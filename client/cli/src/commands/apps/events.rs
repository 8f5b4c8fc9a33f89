//! What happens to an enclave, in words: while it runs, and from its log.

use crate::terminal::Terminal;
use caution_abi::control::{ClockAction, Event, Phase};
use caution_host::{Accelerator, HostEvent};
use std::time::Duration;

/// One event on the terminal, or as a JSON line.
pub(crate) fn show(terminal: Terminal, event: &HostEvent) {
    if terminal.json {
        if let Ok(value) = serde_json::to_value(event) {
            terminal.json_line(&value);
        }
        return;
    }
    match event {
        HostEvent::Accelerator(Accelerator::Tcg { why }) => {
            terminal.note(&format!("  emulating the CPU in software: {why}"));
        }
        HostEvent::Published { enclave, host } => {
            terminal.note(&format!("  port {enclave:<6} 127.0.0.1:{host}"));
        }
        HostEvent::Enclave(event) => show_enclave(terminal, event),
        HostEvent::Egress(line) => terminal.warning(&printable_line(line), None),
        HostEvent::Refused { so_far } => terminal.warning(
            &format!("Too many connections to the app are open; so far {so_far} more were refused."),
            None,
        ),
        HostEvent::Console(line) => terminal.note(&format!("  console | {}", printable_line(line))),
        HostEvent::Ready { uptime_ms, wall_ms } => {
            terminal.step(
                "boot",
                &format!("ready ({:.1} s since its kernel started); Ctrl-C stops it", seconds(*uptime_ms)),
                Duration::from_millis(*wall_ms),
            );
        }
        HostEvent::Ended(ending) => terminal.note(&format!("  {ending}")),
        _ => {}
    }
}

fn show_enclave(terminal: Terminal, event: &Event) {
    match event {
        Event::Hello { debug: true, .. } => {
            terminal.warning("debug mode: console and logs are open, and nothing can verify", None);
        }
        Event::AppExit { exit, restarts } => {
            terminal.note(&format!("  the app {exit} (restarts so far: {restarts})"));
        }
        Event::Log { line, .. } => terminal.note(&format!("  app | {}", printable_line(line))),
        // A step of less is what software emulation needs now and then.
        Event::Clock { offset_ms, action, .. }
            if offset_ms.unsigned_abs() >= 2000 && *action != ClockAction::Set =>
        {
            terminal.note(&clock_note(*offset_ms));
        }
        Event::LogDropped { lines } => terminal.note(&format!("  app | ({lines} lines dropped)")),
        Event::Phase { phase: Phase::BackingOff, .. } => terminal.note("  restarting the app after a pause"),
        Event::Stopping { reason } => terminal.note(&format!("  {}", printable_line(reason))),
        _ => {}
    }
}

fn clock_note(offset_ms: i64) -> String {
    let by = seconds(offset_ms.unsigned_abs());
    if offset_ms > 0 {
        format!("  the enclave's clock was {by:.1} s behind and has been set")
    } else {
        format!("  the enclave's clock is {by:.1} s ahead; it is not set back, it runs slower")
    }
}

/// A line from inside the enclave, which must not steer the terminal.
pub(crate) fn printable_line(line: &str) -> String {
    caution_appspec::printable(&line.replace('\t', "    "))
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_wrong_is_told_with_what_was_done() {
        assert_eq!(clock_note(3140), "  the enclave's clock was 3.1 s behind and has been set");
        assert!(clock_note(-3140).ends_with("is 3.1 s ahead; it is not set back, it runs slower"));
    }
}
