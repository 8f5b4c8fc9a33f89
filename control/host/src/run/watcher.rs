//! Requests to stop: signals, and connections to the supervisor's socket.

use crate::error::HostError;
use crate::event::Ending;
use crate::run::StopHandle;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Clients that wait for the ending at a time.
const MAX_CLIENTS: usize = 16;

/// Turns signals into stop requests while it lives.
///
/// Create it before any other thread: a thread that does not block a signal would receive it, and
/// the signal's default is to end the process.
#[derive(Debug)]
pub(crate) struct Signals {
    before: SigSet,
    descriptor: Option<SignalFd>,
}

impl Signals {
    /// Blocks SIGINT, SIGTERM and SIGHUP in this thread and those it starts.
    pub(crate) fn block() -> Result<Self, HostError> {
        let failed = |errno: nix::Error| HostError::System { doing: "Blocking signals", cause: errno.into() };
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(failed)?;
        let descriptor =
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        Ok(Self { before, descriptor: Some(descriptor) })
    }

    /// What becomes readable with a signal, once.
    pub(crate) fn take(&mut self) -> Option<SignalFd> {
        self.descriptor.take()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Only fails for invalid arguments.
        let _ = self.before.thread_set_mask();
    }
}

/// The thread that waits for requests; ends when dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    clients: Arc<Mutex<Vec<UnixStream>>>,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Listens on `socket` and to signals.
    pub(crate) fn start(socket: &Path, signals: &mut Signals, stop: StopHandle) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Listening for stop requests", cause };
        let listener = UnixListener::bind(socket).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        let clients = Arc::new(Mutex::new(Vec::new()));
        let signals = signals.take();
        let waiting = Arc::clone(&clients);
        let thread = std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || watch(&listener, signals.as_ref(), &ended, &waiting, &stop))
            .map_err(failed)?;
        Ok(Self { clients, quit: Some(quit), thread: Some(thread) })
    }

    /// Tells everyone who asked how it ended.
    pub(crate) fn answer(&self, ending: &Ending) {
        let text = serde_json::to_vec(ending).unwrap_or_default();
        for mut client in self.clients.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A client that left does not want to know.
            let _ = client.write_all(&text);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(
    listener: &UnixListener,
    signals: Option<&SignalFd>,
    ended: &UnixStream,
    clients: &Mutex<Vec<UnixStream>>,
    stop: &StopHandle,
) {
    loop {
        let mut fds = vec![
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        if fds[0].any() == Some(true) {
            return;
        }
        if let Some(Ok(Some(_))) = signals.map(SignalFd::read_signal) {
            stop.stop();
        }
        match listener.accept() {
            Ok((client, _)) => {
                let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
                if clients.len() < MAX_CLIENTS {
                    clients.push(client);
                }
                stop.stop();
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => crate::process::pause(std::time::Duration::from_millis(50)),
        }
    }
}
