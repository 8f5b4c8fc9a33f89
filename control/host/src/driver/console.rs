//! The console of an enclave in debug mode, as lines.

use crate::error::HostError;
use crate::run::Message;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

/// Passes lines on until the end, in a thread of its own.
pub(super) fn read_in_thread(
    source: impl Read + Send + 'static,
    messages: SyncSender<Message>,
) -> Result<JoinHandle<()>, HostError> {
    let reader = std::thread::Builder::new().name("console".to_owned());
    let started = reader.spawn(move || read(source, &messages));
    started.map_err(|cause| HostError::System { doing: "Reading the console", cause })
}

/// Passes console lines on; a longer one is cut, the rest of it is the next line.
fn read(source: impl Read, messages: &SyncSender<Message>) {
    let mut lines = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(MAX_CONSOLE_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if messages.send(Message::Console(text)).is_err() {
            return;
        }
    }
}

const MAX_CONSOLE_LINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_console_lines_are_cut() {
        let (messages, received) = std::sync::mpsc::sync_channel(8);
        let text = format!("a\r\n{}\n", "y".repeat(5000));
        read(text.as_bytes(), &messages);
        drop(messages);
        let lengths: Vec<usize> = received
            .iter()
            .map(|message| match message {
                Message::Console(line) => line.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(lengths, [1, 4096, 904]);
    }
}
