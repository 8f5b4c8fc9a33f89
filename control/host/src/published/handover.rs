//! Handing published ports from one supervisor to the next, so that no connection is refused in between.
//!
//! ```text
//! agent ──give──▶ old      answers its listening sockets, as descriptors (SCM_RIGHTS), and goes on serving
//! agent ──serve─▶ new      takes them: both accept from the same queues now
//! agent ──drain─▶ old      accepts no more; answers when its clients are gone, or the time is over
//! ```
//! Each on a connection of its own to `<run>/handover`: one JSON line, then one byte with each descriptor.

use crate::error::HostError;
use crate::files::reception::Reception;
use crate::run::Message;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use vmm_sys_util::sock_ctrl_msg::ScmSocket as _;

/// The socket in a run's folder.
pub(crate) const SOCKET: &str = "handover";
/// How long either side may take for a line or a descriptor.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line, in bytes: the numbers of all ports there are.
const MAX_LINE: usize = 512 * 1024;

/// What a supervisor is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// To show its listening sockets.
    Give {},
    /// To serve these ports of its enclave; a descriptor for each follows.
    Serve { ports: Vec<u16> },
    /// To accept no more, and to say when nobody is connected, or when this time is over.
    Drain { limit_ms: u64 },
}

/// What it answers.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// Why it does not.
    pub(crate) error: Option<String>,
    /// To `give`: the ports whose descriptors follow.
    #[serde(default)]
    pub(crate) ports: Vec<u16>,
    /// To `drain`: clients that were still connected.
    #[serde(default)]
    pub(crate) left: usize,
}

/// A listening socket with the port of the enclave that it leads to.
pub(crate) type Handed = (u16, TcpListener);

/// Listens in the run's folder, which nobody else can enter: questions become messages of the supervisor's loop.
pub(crate) fn open(run: &Path, messages: SyncSender<Message>) -> Result<Reception, HostError> {
    let received = Reception::open("handover", &run.join(SOCKET), move |stream| {
        // Whoever asks is told by the end of the connection when there is no room.
        if let Ok(asked) = Asked::new(stream) {
            let _ = messages.try_send(Message::Handover(asked));
        }
    });
    received.map_err(|cause| HostError::System { doing: "Listening for a handover", cause })
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked(UnixStream);

impl Asked {
    fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        limit(&stream)?;
        Ok(Self(stream))
    }

    /// Another hand on it, for whoever answers later.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Reads the question, with the sockets that came along.
    pub(crate) fn read(&self) -> io::Result<(Command, Vec<Handed>)> {
        let command = read_line(&self.0)?;
        let ports = match &command {
            Command::Serve { ports } => ports.as_slice(),
            _ => &[],
        };
        let handed = take(&self.0, ports)?;
        Ok((command, handed))
    }

    /// Answers, with sockets.
    pub(crate) fn answer(&self, answer: &Answer, sockets: &[Handed]) -> io::Result<()> {
        write_line(&self.0, answer)?;
        pass(&self.0, sockets)
    }
}

/// Asks an old supervisor for its sockets.
pub(crate) fn give(run: &Path) -> Result<Vec<Handed>, HostError> {
    ask(run, &Command::Give {}, &[], PATIENCE).map(|(_, handed)| handed)
}

/// Has a new supervisor serve them.
pub(crate) fn serve(run: &Path, handed: &[Handed]) -> Result<(), HostError> {
    let ports = handed.iter().map(|(port, _)| *port).collect();
    ask(run, &Command::Serve { ports }, handed, PATIENCE).map(drop)
}

/// Has an old supervisor accept no more; returns how many clients were left when it stopped waiting.
pub(crate) fn drain(run: &Path, limit: Duration) -> Result<usize, HostError> {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    ask(run, &Command::Drain { limit_ms }, &[], limit + PATIENCE).map(|(answer, _)| answer.left)
}

fn ask(
    run: &Path,
    command: &Command,
    sockets: &[Handed],
    patience: Duration,
) -> Result<(Answer, Vec<Handed>), HostError> {
    let socket = run.join(SOCKET);
    let speak = || {
        let stream = UnixStream::connect(&socket)?;
        limit(&stream)?;
        write_line(&stream, command)?;
        pass(&stream, sockets)?;
        stream.set_read_timeout(Some(patience))?;
        let answer: Answer = read_line(&stream)?;
        let handed = take(&stream, &answer.ports)?;
        Ok((answer, handed))
    };
    match speak() {
        Ok((Answer { error: Some(detail), .. }, _)) => Err(HostError::Handover { detail }),
        Ok(answered) => Ok(answered),
        Err(cause) => Err(HostError::File { doing: "Asking the supervisor behind", path: socket, cause }),
    }
}

fn limit(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Reads to the end of the line and not a byte further: descriptors come with the bytes behind it.
fn read_line<T: serde::de::DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return Ok(serde_json::from_slice(&line)?);
        }
        line.push(byte[0]);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"))
}

fn pass(stream: &UnixStream, sockets: &[Handed]) -> io::Result<()> {
    for (_, socket) in sockets {
        stream.send_with_fd(&[0_u8][..], socket.as_raw_fd())?;
    }
    Ok(())
}

fn take(stream: &UnixStream, ports: &[u16]) -> io::Result<Vec<Handed>> {
    let mut handed = Vec::new();
    for port in ports {
        let (_, file) = stream.recv_with_fd(&mut [0])?;
        let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came"))?;
        // Received descriptors are inherited by children unless that is said.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        let socket = TcpListener::from(OwnedFd::from(file));
        // What is no TCP socket has no such address.
        socket.local_addr()?;
        handed.push((*port, socket));
    }
    Ok(handed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn sockets_go_from_hand_to_hand_and_lose_no_connection_that_waits() {
        let run = tempfile::tempdir().unwrap();
        let (messages, received) = sync_channel(8);
        let reception = open(run.path(), messages).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let old = std::thread::spawn(move || {
            let Ok(Message::Handover(asked)) = received.recv() else { panic!("a question") };
            assert_eq!(asked.read().unwrap().0, Command::Give {});
            let answer = Answer { ports: vec![8080], ..Answer::default() };
            asked.answer(&answer, &[(8080, listener)]).unwrap();
            let Ok(Message::Handover(asked)) = received.recv() else { panic!("a question") };
            let (command, handed) = asked.read().unwrap();
            assert_eq!((command, handed.len()), (Command::Serve { ports: vec![8080] }, 1));
            asked.answer(&Answer { error: Some("why".to_owned()), ..Answer::default() }, &[]).unwrap();
        });
        let mut client = TcpStream::connect(address).unwrap();
        let handed = give(run.path()).unwrap();
        let refused = serve(run.path(), &handed).unwrap_err();
        assert!(refused.to_string().contains("why"), "{refused}");
        old.join().unwrap();
        assert_eq!((handed[0].0, handed[0].1.local_addr().unwrap()), (8080, address));
        handed[0].1.accept().unwrap().0.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(reception);
        assert!(matches!(give(run.path()), Err(HostError::File { .. })), "nobody answers");
    }
}
