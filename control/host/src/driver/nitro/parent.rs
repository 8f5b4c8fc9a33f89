//! The ports that enclaves know their parent by, shared by all supervisors of one machine.
//!
//! ```text
//! enclave 16 ──▶ port 49521 of the parent ──accepted by whoever holds <runtime>/.nitro/ports──┐
//!                                                                                             ▼
//! its supervisor ◀── the socket itself (SCM_RIGHTS) ◀── <runtime>/.nitro/16 ◀── by the context id it is from
//! ```
//! A parent has each port once, and enclaves are built to find the manifest and the network at fixed ones. So the
//! supervisors of a machine take turns: one holds a lock and accepts for all, and remembers nothing. When it ends in any
//! way, the kernel gives the lock to the next. Until that one listens, a connection is refused.

use super::bridge::Arrivals;
use super::cli::is_readable;
use super::error::NitroError;
use super::net::Network;
use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::files::reception::Reception;
use crate::run::Message;
use caution_abi::ports::{PARENT_EGRESS, PARENT_MANIFEST};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vmm_sys_util::sock_ctrl_msg::ScmSocket as _;

/// The folder below the runtime folder that all supervisors of Nitro enclaves share.
const FOLDER: &str = ".nitro";
/// Ports of the parent that this program serves. The heartbeat's is nitro-cli's own, while it boots an enclave.
const PORTS: [u32; 2] = [PARENT_MANIFEST, PARENT_EGRESS];
/// Context ids of ours: 0 to 3 are well known, and below 16 is left to others.
const CIDS: std::ops::Range<u32> = 16..1024;
/// How long whoever had the turn before may take to close its ports.
const CLOSING: Duration = Duration::from_secs(1);
/// How long a supervisor may take to hand over a socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// A context id that no other enclave has while this lives.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) cid: u32,
    folder: PathBuf,
    _lock: File,
}

impl Claim {
    /// Takes the lowest free one that is not among those `in_use`.
    pub(super) fn take(runtime: &Path, in_use: &[u64]) -> Result<Self, HostError> {
        let folder = runtime.join(FOLDER);
        private_dir(&folder)?;
        for cid in CIDS.filter(|cid| !in_use.contains(&u64::from(*cid))) {
            let lock = open_lock(&folder.join(format!("{cid}.lock")))?;
            if lock.try_lock().is_ok() {
                return Ok(Self { cid, folder, _lock: lock });
            }
        }
        Err(NitroError::NoCid(CIDS.end - CIDS.start).into())
    }

    /// Nothing where another enclave is being booted: nitro-cli listens for each one's heartbeat on the same port,
    /// so that of two at a time one fails (aws-nitro-enclaves-cli, issue 516).
    pub(super) fn boot_alone(&self) -> Result<Option<File>, HostError> {
        let lock = open_lock(&self.folder.join("boot"))?;
        Ok(lock.try_lock().is_ok().then_some(lock))
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(self.cid.to_string())
    }
}

/// Takes what one enclave connects to, and accepts for all where it is this supervisor's turn.
#[derive(Debug)]
pub(super) struct Parent {
    quit: Option<UnixStream>,
    ended: Arc<UnixStream>,
    socket: PathBuf,
    serving: Option<JoinHandle<()>>,
    _received: Reception,
}

impl Parent {
    /// Begins before the enclave boots, so that it finds what it looks for.
    pub(super) fn open(
        claim: &Claim,
        network: &Network,
        arrivals: Arrivals,
        messages: SyncSender<Message>,
    ) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Listening for the enclave", cause };
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        let socket = claim.socket();
        // Whoever has the context id may remove what one before left.
        let _ = fs::remove_file(&socket);
        let received = Reception::open("arrivals", &socket, move |from| {
            // Whoever connects here is a supervisor of this user: the folder is closed to others.
            if let Ok((port, stream)) = take(&from) {
                arrivals.arrived(port, stream);
            }
        });
        let received = received.map_err(failed)?;
        let ended = Arc::new(ended);
        let mut parent = Self { quit: Some(quit), ended, socket, serving: None, _received: received };

        let turn =
            Turn { folder: claim.folder.clone(), network: network.clone(), ended: Arc::clone(&parent.ended) };
        let lock = open_lock(&claim.folder.join("ports"))?;
        if lock.try_lock().is_ok() {
            let doors = turn.bind(lock)?;
            let serving = std::thread::Builder::new().name("parent".to_owned());
            parent.serving = Some(serving.spawn(move || turn.serve(&doors)).map_err(failed)?);
        } else {
            // It waits for its turn, and whoever ends this run does not wait for it: a lock's wait has no other end.
            let waiting = std::thread::Builder::new().name("parent".to_owned());
            waiting.spawn(move || turn.wait(lock, &messages)).map_err(failed)?;
        }
        Ok(parent)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.serving.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// The ports of the parent, and the turn to accept there. Closed in this order, so that the next finds them free.
struct Doors {
    listening: Vec<(u32, OwnedFd)>,
    _turn: File,
}

/// A supervisor's turn to accept for all.
struct Turn {
    folder: PathBuf,
    network: Network,
    /// Readable when the run is over.
    ended: Arc<UnixStream>,
}

impl Turn {
    fn wait(self, lock: File, messages: &SyncSender<Message>) {
        if lock.lock().is_err() || is_readable(self.ended.as_fd()) {
            return;
        }
        match self.bind(lock) {
            Ok(doors) => self.serve(&doors),
            Err(error) => {
                let _ = messages.send(Message::Egress(error.with_causes()));
            }
        }
    }

    fn bind(&self, turn: File) -> Result<Doors, HostError> {
        let until = Instant::now() + CLOSING;
        let listen = |port: u32| self.listen(port, until).map(|door| (port, door));
        let listening = PORTS.into_iter().map(listen).collect::<Result<_, _>>()?;
        Ok(Doors { listening, _turn: turn })
    }

    /// The kernel takes the lock and the ports from a supervisor that was killed one after the other, and of the
    /// ports tells nobody.
    fn listen(&self, port: u32, until: Instant) -> Result<OwnedFd, NitroError> {
        loop {
            match self.network.listen(port) {
                Ok(door) => return Ok(door),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                    crate::process::pause(Duration::from_millis(20));
                }
                Err(cause) => return Err(NitroError::ParentPort { port, cause }),
            }
        }
    }

    /// Accepts until the run is over.
    fn serve(&self, doors: &Doors) {
        let doors = &doors.listening;
        loop {
            let mut fds = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
            fds.extend(doors.iter().map(|(_, door)| PollFd::new(door.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
            if fds[0].any() == Some(true) {
                return;
            }
            for (port, door) in doors {
                match self.network.accept(door.as_fd()) {
                    // An enclave that nobody looks after is told by the end of its connection.
                    Ok((stream, cid)) => drop(self.hand_over(*port, &stream, cid)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    // Out of descriptors, or a client that has gone: the next look shows which.
                    Err(_) => crate::process::pause(Duration::from_millis(20)),
                }
            }
        }
    }

    /// To the supervisor of this context id, which is asked without waiting for it.
    fn hand_over(&self, port: u32, stream: &OwnedFd, cid: u32) -> io::Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let to = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(to.as_raw_fd(), &UnixAddr::new(&self.folder.join(cid.to_string()))?)?;
        UnixStream::from(to).send_with_fd(&port.to_be_bytes()[..], stream.as_raw_fd())?;
        Ok(())
    }
}

fn take(from: &UnixStream) -> io::Result<(u32, OwnedFd)> {
    from.set_nonblocking(false)?;
    from.set_read_timeout(Some(PATIENCE))?;
    let mut port = [0; 4];
    let (length, file) = from.recv_with_fd(&mut port)?;
    let file = file.filter(|_| length == port.len()).ok_or(io::ErrorKind::InvalidData)?;
    // Received descriptors are inherited by children unless that is said.
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok((u32::from_be_bytes(port), file.into()))
}

fn open_lock(path: &Path) -> Result<File, HostError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    opened.map_err(|cause| HostError::File { doing: "Creating", path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_waits_for_ports_that_are_being_closed_and_names_those_that_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::Folder(folder.path().to_owned());
        let turn = || {
            let (_, ended) = UnixStream::pair().unwrap();
            Turn { folder: folder.path().to_owned(), network: network.clone(), ended: Arc::new(ended) }
        };
        let lock = || open_lock(&folder.path().join("ports")).unwrap();
        let before = network.listen(PARENT_EGRESS).unwrap();
        let refused = turn().bind(lock()).map(drop).unwrap_err().to_string();
        assert!(refused.contains("Port 49530 of this parent"), "{refused}");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::process::pause(CLOSING / 4);
                drop(before);
            });
            assert_eq!(turn().bind(lock()).unwrap().listening.len(), PORTS.len());
        });
    }
}
