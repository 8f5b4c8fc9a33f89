//! What the app writes: told to the host where the boot plan says `logs`, or in debug mode; else
//! thrown away.

use crate::control::{Control, MAX_TEXT};
use crate::serve::spawn;
use caution_abi::control::LogStream;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::fchown;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Where the app's standard output and error go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Nowhere.
    Null(File),
    /// Into two pipes.
    Pipes(PipeWriter, PipeWriter),
}

/// Threads that relay the app's output until its last process has ended.
#[derive(Debug, Default)]
pub(crate) struct Relays(Vec<JoinHandle<()>>);

impl Sink {
    /// Throws everything away: the host is not to read what the app writes.
    pub(crate) fn null() -> io::Result<Self> {
        File::options().read(true).write(true).open("/dev/null").map(Self::Null)
    }

    /// Relays lines to the control port and the console, which a production enclave has none of. The pipes belong to the app's user, who may
    /// open them anew as `/dev/stdout`.
    pub(crate) fn relayed(control: &Arc<Control>, uid: u32, gid: u32) -> io::Result<(Self, Relays)> {
        let mut relays = Relays::default();
        let mut pipe = |stream| -> io::Result<PipeWriter> {
            let (reader, writer) = io::pipe()?;
            fchown(&writer, Some(uid), Some(gid))?;
            let control = Arc::clone(control);
            relays.0.push(spawn("log", move || relay(reader, stream, &control, &mut io::stdout()))?);
            Ok(writer)
        };
        let sink = Self::Pipes(pipe(LogStream::Stdout)?, pipe(LogStream::Stderr)?);
        Ok((sink, relays))
    }

    /// Standard output and error.
    pub(crate) fn streams(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        match self {
            Self::Null(file) => (file.as_fd(), file.as_fd()),
            Self::Pipes(stdout, stderr) => (stdout.as_fd(), stderr.as_fd()),
        }
    }
}

impl Relays {
    /// Waits until everything written has been relayed. Every writer must be gone.
    pub(crate) fn finish(self) {
        for relay in self.0 {
            // A relay that panicked has aborted the enclave.
            let _ = relay.join();
        }
    }
}

fn relay(mut reader: PipeReader, stream: LogStream, control: &Control, console: &mut impl io::Write) {
    let mut lines = Lines::default();
    let mut emit = |line: &[u8]| {
        let line = String::from_utf8_lossy(line).into_owned();
        // One write a line; a console that cannot take it is no reason to stop.
        let _ = console.write_all(format!("{line}\n").as_bytes());
        control.log(stream, line);
    };
    let mut chunk = [0; 4096];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => lines.push(&chunk[..n], &mut emit),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.finish(emit);
}

/// Splits bytes into lines; longer ones than [`MAX_TEXT`] bytes are cut there.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        for &byte in bytes {
            if byte == b'\n' {
                emit(self.0.strip_suffix(b"\r").unwrap_or(&self.0));
                self.0.clear();
                continue;
            }
            if self.0.len() == MAX_TEXT {
                let cut = character_boundary(&self.0);
                emit(&self.0[..cut]);
                self.0.drain(..cut);
            }
            self.0.push(byte);
        }
    }

    fn finish(self, mut emit: impl FnMut(&[u8])) {
        if !self.0.is_empty() {
            emit(&self.0);
        }
    }
}

/// Where to cut so that no UTF-8 character is torn: before the last one if it is incomplete.
fn character_boundary(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() && e.valid_up_to() > 0 => e.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io::Write as _;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let lines = RefCell::new(Vec::new());
        let emit = |line: &[u8]| lines.borrow_mut().push(String::from_utf8_lossy(line).into_owned());
        let mut splitter = Lines::default();
        for chunk in chunks {
            splitter.push(chunk, emit);
        }
        splitter.finish(emit);
        lines.into_inner()
    }

    #[test]
    fn bytes_become_lines() {
        assert_eq!(split(&[b"one\ntw", b"o\r\n\n", b"rest"]), ["one", "two", "", "rest"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = format!("x{}", "é".repeat(MAX_TEXT));
        let lines = split(&[text.as_bytes()]);
        assert_eq!(lines.concat(), text);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_TEXT - 1, MAX_TEXT, 2]);
        // Bytes that are no text at all are cut at the limit.
        assert_eq!(split(&[&[0xff; MAX_TEXT + 1]]).len(), 2);
    }

    #[test]
    fn what_is_written_is_relayed_before_finish_returns() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (told, console) = std::sync::mpsc::channel();
        let thread = spawn("log", move || {
            let mut console = Vec::new();
            relay(reader, LogStream::Stdout, &Control::new(), &mut console);
            told.send(console).unwrap();
        });
        writer.write_all(b"line\nrest").unwrap();
        drop(writer);
        Relays(vec![thread.unwrap()]).finish();
        assert_eq!(console.try_recv().unwrap(), b"line\nrest\n");
    }
}
