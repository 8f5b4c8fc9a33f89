//! The agent's socket: who may speak, for how long, and what is answered.

use super::api::{Done, ErrorKind, Hello, MAX_REQUEST, PROTOCOL, Reply, Request};
use super::engine::{Engine, thread};
use super::replace::{DRAIN, Replacement};
use crate::error::HostError;
use crate::files::deployed::deployed_image;
use crate::files::eventlog;
use crate::files::record;
use crate::run::detached::Cancel;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients at a time, each with a thread; more are told so and closed.
const MAX_CLIENTS: usize = 64;
/// How long a client may take to send its request, and to take each line.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client that is told nothing is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Serves clients.
pub(super) struct Server {
    pub(super) engine: Arc<Engine>,
    pub(super) ends_when_idle: bool,
    clients: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn new(engine: Arc<Engine>, ends_when_idle: bool) -> Self {
        Self { engine, ends_when_idle, clients: Arc::default() }
    }

    /// Whether nobody is being served.
    pub(super) fn is_idle(&self) -> bool {
        self.clients.load(Ordering::Acquire) == 0
    }

    /// Serves a client, in a thread of its own.
    pub(super) fn serve(&self, stream: UnixStream) {
        let Ok(mut client) = Client::new(stream) else { return };
        if !client.may_speak() {
            return;
        }
        let place = Place::take(&self.clients);
        let Some(place) = place else {
            let message = format!("The host agent serves {MAX_CLIENTS} clients already.");
            let _ = client.say(&Reply::Error {
                message,
                fix: Some("try again".to_owned()),
                kind: ErrorKind::Other,
            });
            return;
        };
        let (engine, ends_when_idle) = (Arc::clone(&self.engine), self.ends_when_idle);
        thread("client", move || {
            // A client that left, or does not read, does not want to know.
            let _ = talk(&engine, ends_when_idle, &mut client);
            drop(client);
            drop(place);
            engine.settle();
        });
    }
}

/// A place among [`MAX_CLIENTS`].
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(clients));
        // Dropped with its count where there was no room.
        (clients.fetch_add(1, Ordering::AcqRel) < MAX_CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection.
struct Client {
    stream: UnixStream,
}

impl Client {
    fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Only this user and root; the socket's mode says the same.
    fn may_speak(&self) -> bool {
        let own = nix::unistd::Uid::effective().as_raw();
        getsockopt(&self.stream, PeerCredentials).is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
    }

    fn say(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }

    /// The bytes of an image; a client that takes none for too long is left.
    fn send(&mut self, mut file: File, from: u64) -> io::Result<()> {
        file.seek(SeekFrom::Start(from))?;
        io::copy(&mut file, &mut self.stream).map(drop)
    }

    /// The request, where it is there in time; `Err` in words for the client.
    fn request(&self, until: Instant) -> io::Result<Result<Request, String>> {
        let (mut line, mut piece) = (Vec::new(), [0; 16 * 1024]);
        loop {
            // One limit for the whole line: bytes that trickle in hold a place no longer than silence does.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let read = match (&self.stream).read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => &piece[..length],
            };
            let end = read.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
            if line.len() >= MAX_REQUEST {
                return Ok(Err(format!("The request has more than {MAX_REQUEST} bytes.")));
            }
            if end.is_some() {
                return Ok(
                    serde_json::from_slice(&line).map_err(|e| format!("The request is malformed: {e}."))
                );
            }
        }
    }

    /// Whether it went away.
    fn has_left(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd as _;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0].revents().is_some_and(|events| !events.is_empty())
    }
}

fn talk(engine: &Arc<Engine>, ends_when_idle: bool, client: &mut Client) -> io::Result<()> {
    client.say(&Reply::Hello(Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    }))?;
    let request = match client.request(Instant::now() + PATIENCE)? {
        Ok(request) => request,
        Err(message) => return client.say(&Reply::Error { message, fix: None, kind: ErrorKind::Other }),
    };
    let outcome = match request {
        Request::Run { app } => boot(client, |cancel, tell| engine.run(app, cancel, tell)),
        Request::Replace { app, expected, drain_s } => {
            let drain = drain_s.map_or(DRAIN, |seconds| Duration::from_secs(seconds.into()));
            boot(client, |cancel, tell| engine.replace(Replacement { app, expected, drain }, cancel, tell))
        }
        Request::Stop { app } => engine.stop(&app).map(|(name, id)| Done::Stopped { name, id }),
        Request::List {} => {
            for app in engine.list() {
                client.say(&Reply::App(app))?;
            }
            Ok(Done::End)
        }
        Request::Watch { app } => return watch(engine, client, app.as_deref()),
        Request::Logs { app, follow } => match eventlog::logs(&engine.dirs, &app, follow) {
            Ok(logs) => {
                send_logs(client, logs)?;
                Ok(Done::End)
            }
            Err(error) => Err(error),
        },
        Request::Fetch { app, from } => match image(engine, &app) {
            Ok((file, image)) => {
                client.say(&image)?;
                return client.send(file, from);
            }
            Err(error) => Err(error),
        },
        Request::Drain {} => Ok(Done::Drained { enclaves: engine.drain() }),
        Request::Status {} => {
            let apps = engine.list();
            let running = apps.iter().filter(|app| app.id.is_some()).count();
            Ok(Done::Status { apps: apps.len(), running, ends_when_idle })
        }
        Request::Ingress {} => {
            engine.ways.follow(engine);
            Ok(Done::Ingress(Box::new(engine.ways.reached())))
        }
    };
    client.say(&match outcome {
        Ok(done) => Reply::Done(done),
        Err(error) => Reply::error(&error),
    })
}

/// The image of an app's enclave, with what is said of it.
fn image(engine: &Engine, app: &str) -> Result<(File, Reply), HostError> {
    let record = record::find(&engine.dirs, app)?;
    let path = deployed_image(&engine.dirs, &record)?;
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, file) = opened.map_err(|cause| HostError::File { doing: "Opening", path, cause })?;
    Ok((file, Reply::Image { size, sha256: record.eif_sha256 }))
}

/// Boots while the client looks on; ends the boot when it goes away.
fn boot(
    client: &mut Client,
    run: impl FnOnce(&Cancel, &mut dyn FnMut(crate::HostEvent)) -> Result<crate::Record, HostError>,
) -> Result<Done, HostError> {
    let failed = |cause| HostError::System { doing: "Serving a client", cause };
    let cancel = Cancel::default();
    let ears = client.stream.try_clone().map_err(failed)?;
    // No limit: it is the boot that takes as long as it takes.
    ears.set_read_timeout(None).map_err(failed)?;
    let lines = Mutex::new(client);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Ends when the client goes away, says more than its request, or was answered.
            let _ = (&ears).read(&mut [0]);
            cancel.cancel();
        });
        let outcome = run(&cancel, &mut |event| {
            let mut client = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if client.say(&Reply::Event(event)).is_err() {
                cancel.cancel();
            }
        });
        let _ = ears.shutdown(Shutdown::Read);
        outcome.map(|record| Done::Running(Box::new(record)))
    })
}

fn watch(engine: &Engine, client: &mut Client, app: Option<&str>) -> io::Result<()> {
    // Before the list: what happens in between is told twice and not never.
    let changes = engine.bell.watch();
    let wanted = |name: &str| app.is_none_or(|app| app == name);
    for app in engine.list().into_iter().filter(|app| wanted(&app.name)) {
        client.say(&Reply::App(app))?;
    }
    loop {
        match changes.recv_timeout(LOOK) {
            Ok(change) if wanted(&change.app.name) => client.say(&Reply::Change(change))?,
            Err(RecvTimeoutError::Timeout) if client.has_left() => return Ok(()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            // It did not read for too long.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn send_logs(client: &mut Client, mut logs: eventlog::Logs) -> io::Result<()> {
    while let Some(step) = logs.step() {
        match step {
            Some(entry) => client.say(&Reply::Log(entry))?,
            None if client.has_left() => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_trickles_in_is_given_up_in_time() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let client = Client::new(ours).unwrap();
        let trickle = std::thread::spawn(move || {
            while theirs.write_all(b" ").is_ok() {
                crate::process::pause(Duration::from_millis(5));
            }
        });
        assert!(client.request(Instant::now() + Duration::from_millis(200)).is_err());
        drop(client);
        trickle.join().unwrap();
    }
}
