//! The sockets between a parent and its enclaves: AF_VSOCK, whose addresses are context ids.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, VsockAddr, bind, connect, getpeername, listen,
    socket,
};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
#[cfg(any(test, feature = "fake-vsock"))]
use std::path::PathBuf;

/// Where enclaves are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Network {
    /// By the hypervisor.
    Vsock,
    /// By Unix sockets of a folder, in tests: `<cid>_<port>` of an enclave, `from_<cid>_…` as the name of an
    /// enclave that connects to its parent, and `parent_<port>`, which is abstract (unix(7)): as with vsock it can be
    /// had once, and goes with its listener.
    #[cfg(any(test, feature = "fake-vsock"))]
    Folder(PathBuf),
}

impl Network {
    /// Begins to connect to a port of an enclave; the socket is writable when that is done.
    pub(super) fn connect(&self, cid: u32, port: u32) -> io::Result<OwnedFd> {
        match self {
            Self::Vsock => begin(AddressFamily::Vsock, &VsockAddr::new(cid, port)),
            #[cfg(any(test, feature = "fake-vsock"))]
            Self::Folder(folder) => begin(
                AddressFamily::Unix,
                &nix::sys::socket::UnixAddr::new(&folder.join(format!("{cid}_{port}")))?,
            ),
        }
    }

    /// Listens on a port that enclaves know their parent by.
    pub(super) fn listen(&self, port: u32) -> io::Result<OwnedFd> {
        match self {
            Self::Vsock => open(AddressFamily::Vsock, &VsockAddr::new(ANY, port)),
            #[cfg(any(test, feature = "fake-vsock"))]
            Self::Folder(folder) => {
                use std::os::unix::ffi::OsStrExt as _;
                let name = folder.join(format!("parent_{port}"));
                let address = nix::sys::socket::UnixAddr::new_abstract(name.as_os_str().as_bytes())?;
                open(AddressFamily::Unix, &address)
            }
        }
    }

    /// Takes a connection, and says which enclave it is from.
    pub(super) fn accept(&self, listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, u32)> {
        use rustix::net::{SocketFlags, accept_with};
        let stream = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let cid = match self {
            Self::Vsock => getpeername::<VsockAddr>(stream.as_raw_fd())?.cid(),
            #[cfg(any(test, feature = "fake-vsock"))]
            Self::Folder(_) => {
                let peer = getpeername::<nix::sys::socket::UnixAddr>(stream.as_raw_fd())?;
                let name =
                    peer.path().and_then(|path| path.file_name()?.to_str()?.split('_').nth(1)?.parse().ok());
                name.ok_or(io::ErrorKind::InvalidData)?
            }
        };
        Ok((stream, cid))
    }
}

fn begin(family: AddressFamily, address: &dyn SockaddrLike) -> io::Result<OwnedFd> {
    let stream = stream_of(family)?;
    match connect(stream.as_raw_fd(), address) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(stream),
        Err(e) => Err(e.into()),
    }
}

fn open(family: AddressFamily, address: &dyn SockaddrLike) -> io::Result<OwnedFd> {
    let listener = stream_of(family)?;
    bind(listener.as_raw_fd(), address)?;
    listen(&listener, Backlog::MAXCONN)?;
    Ok(listener)
}

fn stream_of(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

/// `VMADDR_CID_ANY` of include/uapi/linux/vm_sockets.h.
const ANY: u32 = u32::MAX;
