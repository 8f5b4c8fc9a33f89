//! The control connection: reads what the enclave says about itself.

use crate::driver::Connector;
use crate::error::HostError;
use crate::run::Message;
use caution_abi::control::{Event, MAX_LINE};
use caution_abi::ports::CONTROL;
use std::io::{self, BufRead, BufReader, Read as _};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Pause between attempts while the enclave's listener is not there yet.
const RETRY: Duration = Duration::from_millis(20);
/// Attempts; the boot limit of the run ends earlier.
const ATTEMPTS: u32 = 3000;

/// Connects to the control port and reports every event.
pub(crate) fn start(connector: Connector, messages: SyncSender<Message>) -> Result<(), HostError> {
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            let outcome = listen(&connector, &messages);
            // The run may be over already.
            let _ = messages.send(match outcome {
                Ok(()) => Message::ControlEnded,
                Err(detail) => Message::ControlBroken(detail),
            });
        })
        .map(drop)
        .map_err(|cause| HostError::System { doing: "Starting a thread", cause })
}

fn listen(connector: &Connector, messages: &SyncSender<Message>) -> Result<(), String> {
    for _ in 0..ATTEMPTS {
        let Ok(stream) = connector.open(u32::from(CONTROL)) else { return Ok(()) };
        let events =
            read_events(BufReader::new(stream), &mut |event| messages.send(Message::Enclave(event)).is_ok())?;
        if events > 0 {
            return Ok(());
        }
        // Refused: the heartbeat may come before the listener.
        crate::process::pause(RETRY);
    }
    Ok(())
}

/// Reads lines until the end, the last event, or until `report` wants no more. Returns how many came.
fn read_events(mut lines: impl BufRead, report: &mut dyn FnMut(Event) -> bool) -> Result<u64, String> {
    let mut count = 0;
    loop {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        match lines.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(count),
            Ok(_) => {}
            // A reset is an end too: the enclave went down without a word.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Ok(count),
        }
        if line.len() > MAX_LINE {
            return Err(format!("a line is longer than {MAX_LINE} bytes"));
        }
        if line.pop() != Some(b'\n') {
            return Ok(count);
        }
        let event: Event = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
        if count == 0 && !matches!(event, Event::Hello { .. }) {
            return Err("the first event is not `hello`".to_owned());
        }
        count += 1;
        let last = matches!(event, Event::Stopping { .. });
        if !report(event) || last {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::control::Phase;

    const HELLO: &str = "{\"event\":\"hello\",\"enclaveos\":\"0.1.0\",\"debug\":false}\n";

    fn read(text: &str) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        read_events(text.as_bytes(), &mut |event| {
            events.push(event);
            true
        })?;
        Ok(events)
    }

    #[test]
    fn events_are_read_until_the_last_one() {
        let text = format!(
            "{HELLO}{{\"event\":\"phase\",\"phase\":\"ready\",\"uptime_ms\":812}}\n\
             {{\"event\":\"stopping\",\"reason\":\"The app ended.\"}}\nafter the end\n"
        );
        let events = read(&text).unwrap();
        assert_eq!(events[1], Event::Phase { phase: Phase::Ready, uptime_ms: 812 });
        assert_eq!(events[2], Event::Stopping { reason: "The app ended.".to_owned() });
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn a_line_without_end_is_not_an_event() {
        assert_eq!(read(HELLO.trim_end()).unwrap(), []);
    }

    #[test]
    fn bad_lines_are_refused() {
        let long = format!("{HELLO}{}\n", "x".repeat(MAX_LINE));
        assert!(read(&long).unwrap_err().contains("longer than"));
        assert!(read("{\"event\":\"stopping\",\"reason\":\"x\"}\n").unwrap_err().contains("hello"));
        assert!(read(&format!("{HELLO}{{\"event\":\"dance\"}}\n")).is_err());
        assert!(read("\n").is_err());
    }
}
