//! The other end of the agent's socket, and starting an agent when there is none.

use super::api::{AppSpec, AppStatus, Done, ErrorKind, MAX_REPLY, PROTOCOL, Reply, Request};
use super::{Reached, SOCKET, Start};
use crate::config::{Dirs, Program};
use crate::error::HostError;
use crate::event::HostEvent;
use crate::files::record::Record;
use caution_measure::{Measurements, Sha256Digest};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long an agent may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an agent that sends an image may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// This user's agent.
#[derive(Debug, Clone)]
pub struct AgentClient {
    dirs: Dirs,
    exe: Program,
}

impl AgentClient {
    /// The agent of these folders. Where none runs, this very binary is started as one.
    pub fn new(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone(), exe: Program::this_binary() }
    }

    /// The same, but another binary is started, which must answer `internal` with [`crate::internal`].
    #[must_use]
    pub fn starting(self, exe: &Program) -> Self {
        Self { exe: exe.clone(), ..self }
    }

    /// Boots an app, which the agent then keeps running; returns when it is ready.
    pub fn run(&self, app: AppSpec, on_event: &mut dyn FnMut(HostEvent)) -> Result<Record, HostError> {
        Self::booted(self.ask(&Request::Run { app })?, on_event)
    }

    /// Puts a new image in the place of the one that the app of this name runs; returns when that is done. `expected` is
    /// what the new image must measure, and its enclave attest.
    pub fn replace(
        &self,
        app: AppSpec,
        expected: Measurements,
        on_event: &mut dyn FnMut(HostEvent),
    ) -> Result<Record, HostError> {
        Self::booted(self.ask(&Request::Replace { app, expected, drain_s: None })?, on_event)
    }

    /// Has an app's enclave attest to a fresh nonce that it is what was expected, as [`AgentClient::replace`] does before
    /// anybody reaches the new one.
    ///
    /// # Errors
    /// - [`HostError::NotAsExpected`] when it attests something else
    pub fn check_attestation(&self, record: &Record, expected: Measurements) -> Result<(), HostError> {
        super::attest::check(record, expected, &self.dirs)
    }

    fn booted(mut lines: Replies, on_event: &mut dyn FnMut(HostEvent)) -> Result<Record, HostError> {
        loop {
            match lines.next()? {
                Reply::Event(event) => on_event(event),
                Reply::Done(Done::Running(record)) => return Ok(*record),
                _ => return Err(lines.unexpected()),
            }
        }
    }

    /// Ends an app by its name or its enclave's id; returns its name and the enclave that ran.
    pub fn stop(&self, app: &str) -> Result<(String, Option<String>), HostError> {
        let mut lines = self.ask(&Request::Stop { app: app.to_owned() })?;
        match lines.next()? {
            Reply::Done(Done::Stopped { name, id }) => Ok((name, id)),
            _ => Err(lines.unexpected()),
        }
    }

    /// The image of an app's enclave: its size, what it measured to, and its bytes from `from` on to read, which fails
    /// when nothing comes for 30 s. They are compared by whoever relies on them.
    pub fn fetch(&self, app: &str, from: u64) -> Result<(u64, Sha256Digest, impl Read + use<>), HostError> {
        let mut lines = self.ask(&Request::Fetch { app: app.to_owned(), from })?;
        let limited = lines.reader.get_ref().set_read_timeout(Some(SILENCE));
        limited.map_err(|cause| self.unreachable(cause))?;
        match lines.next()? {
            Reply::Image { size, sha256 } => Ok((size, sha256, lines.reader)),
            _ => Err(lines.unexpected()),
        }
    }

    /// Ends every enclave and then the agent; returns how many enclaves ran. Starts no agent for that.
    pub fn drain(&self) -> Result<usize, HostError> {
        let stream = self.connect().map_err(|cause| self.unreachable(cause))?;
        let mut lines = self.say(stream, &Request::Drain {})?;
        match lines.next()? {
            Reply::Done(Done::Drained { enclaves }) => Ok(enclaves),
            _ => Err(lines.unexpected()),
        }
    }

    /// How apps are reached by HTTPS.
    pub fn ingress(&self) -> Result<Reached, HostError> {
        let mut lines = self.ask(&Request::Ingress {})?;
        match lines.next()? {
            Reply::Done(Done::Ingress(reached)) => Ok(*reached),
            _ => Err(lines.unexpected()),
        }
    }

    /// Every app that is known. Starts no agent to answer: one that does not run knows what is on the disk.
    pub fn list(&self) -> Result<Vec<AppStatus>, HostError> {
        let mut lines = match self.connect() {
            Ok(stream) => self.say(stream, &Request::List {})?,
            Err(_) => return super::at_rest(&self.dirs),
        };
        let mut apps = Vec::new();
        loop {
            match lines.next()? {
                Reply::App(app) => apps.push(app),
                Reply::Done(Done::End) => return Ok(apps),
                _ => return Err(lines.unexpected()),
            }
        }
    }

    /// Sends a request and returns what is answered, line by line.
    pub fn ask(&self, request: &Request) -> Result<Replies, HostError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let tried = match self.connect() {
                Ok(stream) => self.say(stream, request),
                Err(cause) => Err(self.unreachable(cause)),
            };
            match tried {
                // None runs, or one that was just about to end and holds its lock for a moment yet.
                Err(HostError::AgentUnreachable { .. }) if Instant::now() < until => {
                    self.start()?;
                    crate::process::pause(Duration::from_millis(20));
                }
                outcome => return outcome,
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.dirs.runtime.join(SOCKET)
    }

    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.socket())
    }

    fn unreachable(&self, cause: io::Error) -> HostError {
        HostError::AgentUnreachable { socket: self.socket(), cause }
    }

    fn say(&self, mut stream: UnixStream, request: &Request) -> Result<Replies, HostError> {
        let unreachable = |cause| self.unreachable(cause);
        let reader = stream.try_clone().map_err(unreachable)?;
        let mut lines = Replies { socket: self.socket(), reader: BufReader::new(reader) };
        let hello = lines.next().map_err(|error| match error {
            HostError::AgentVanished { socket } => {
                HostError::AgentUnreachable { socket, cause: io::ErrorKind::UnexpectedEof.into() }
            }
            other => other,
        })?;
        match hello {
            Reply::Hello(hello) if hello.protocol == PROTOCOL => {}
            Reply::Hello(hello) => {
                let (version, theirs) = (hello.version, hello.protocol);
                return Err(HostError::AgentProtocol { version, theirs, ours: PROTOCOL });
            }
            _ => return Err(lines.unexpected()),
        }
        let mut line = serde_json::to_vec(request).map_err(|e| unreachable(e.into()))?;
        line.push(b'\n');
        stream.write_all(&line).map_err(unreachable)?;
        Ok(lines)
    }

    /// Starts an agent that ends when there is nothing to look after, and waits until it listens.
    fn start(&self) -> Result<(), HostError> {
        let failed = |cause| HostError::System { doing: "Starting the host agent", cause };
        let mut child = Command::new(self.exe.exe())
            .args(["internal", "agent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map_err(failed)?;
        let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        let mut line =
            serde_json::to_vec(&Start { dirs: self.dirs.clone() }).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        to.write_all(&line).map_err(failed)?;
        let mut answer = Vec::new();
        from.take(64 * 1024).read_to_end(&mut answer).map_err(failed)?;
        // Empty: it listens, or another one does by now.
        match serde_json::from_slice(&answer) {
            Ok(Reply::Error { message, fix, .. }) => Err(HostError::Told { message, fix }),
            _ => Ok(()),
        }
    }
}

/// The lines that the agent answers.
#[derive(Debug)]
pub struct Replies {
    socket: PathBuf,
    reader: BufReader<UnixStream>,
}

impl Replies {
    /// The next one; an error that the agent tells is one here, too.
    #[expect(
        clippy::should_implement_trait,
        reason = "the end of the connection is an error here, not an end"
    )]
    pub fn next(&mut self) -> Result<Reply, HostError> {
        let vanished = || HostError::AgentVanished { socket: self.socket.clone() };
        let mut line = Vec::new();
        let limit = MAX_REPLY as u64;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.is_err() || !line.ends_with(b"\n") {
            return Err(vanished());
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Error { message, kind: ErrorKind::NotAsExpected, .. }) => {
                Err(HostError::NotAsExpected(message))
            }
            Ok(Reply::Error { message, fix, .. }) => Err(HostError::Told { message, fix }),
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.unexpected()),
        }
    }

    /// What to say of an answer that does not belong to the question.
    pub(super) fn unexpected(&self) -> HostError {
        HostError::AgentUnreachable {
            socket: self.socket.clone(),
            cause: io::Error::new(
                io::ErrorKind::InvalidData,
                "it answered with something else than was asked",
            ),
        }
    }
}
