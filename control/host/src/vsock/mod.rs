//! The virtio-vsock device of an enclave, as a vhost-user backend inside the agent.
//!
//! ```text
//! QEMU ──vhost-user──▶ Backend (virtqueues) ──▶ Device (packets) ──▶ Connection (bytes) ──▶ TCP or Unix stream
//! ```
//! Why not the `vhost-device-vsock` daemon: it sends `SHUTDOWN` of both directions when only one
//! ended, ignores the guest's half-close, answers a connection to a port without listener with
//! silence instead of a reset, and drops bytes that a slow reader has not taken when the guest
//! closes (vhost-device-vsock 0.3.0, `vsock_conn.rs` and `thread_backend.rs`). Published ports
//! promise the opposite of each.

mod backend;
mod connection;
mod device;
mod memory;
mod packet;
mod patience;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use device::{MAX_WAITING, Services};
pub(crate) use stream::HostStream;

use crate::error::HostError;
use backend::{Backend, Connect, STREAMS_EVENT};
use nix::sys::eventfd::EventFd;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

/// The device of one enclave; dropping it resets every connection.
pub(crate) struct Vsock {
    socket: PathBuf,
    connector: Connector,
    server: Option<JoinHandle<()>>,
}

/// Opens connections to the guest; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    commands: Sender<Connect>,
    wake: Arc<EventFd>,
}

impl Vsock {
    /// Listens on `socket` for one QEMU.
    pub(crate) fn start(socket: &Path, services: Services) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Starting the vsock device", cause };
        let (commands, receiver) = channel();
        let backend = Backend::new(services, receiver).map_err(failed)?;
        let (wake, streams) = (backend.wake(), backend.streams_fd());
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let backend = Arc::new(Mutex::new(backend));
        let mut daemon = VhostUserDaemon::new("vsock".to_owned(), backend, memory)
            .map_err(|e| failed(io::Error::other(e.to_string())))?;
        for handler in daemon.get_epoll_handlers() {
            handler.register_listener(streams, EventSet::IN, STREAMS_EVENT).map_err(failed)?;
        }
        let mut listener =
            Listener::new(socket, false).map_err(|e| failed(io::Error::other(e.to_string())))?;
        let server = std::thread::Builder::new()
            .name("vsock-server".to_owned())
            .spawn(move || {
                // An end of either kind means that QEMU is gone, which its own exit tells better.
                if daemon.start(&mut listener).is_ok() {
                    let _ = daemon.wait();
                }
            })
            .map_err(failed)?;
        let connector = Connector { commands, wake };
        Ok(Self { socket: socket.to_owned(), connector, server: Some(server) })
    }

    /// Opens connections to the guest.
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

impl Drop for Vsock {
    fn drop(&mut self) {
        // QEMU is gone by now. If it never came, the server still waits for it.
        drop(UnixStream::connect(&self.socket));
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

impl Connector {
    /// Connects a stream to a port of the guest. Refusal resets the stream.
    pub(crate) fn connect(&self, port: u32, stream: HostStream) {
        // Fails only when the device is gone; the stream is dropped with the command.
        if self.commands.send(Connect { port, stream }).is_ok() {
            let _ = self.wake.write(1);
        }
    }

    /// Opens a stream to a port of the guest; it ends at once where nobody listens.
    pub(crate) fn open(&self, port: u32) -> io::Result<UnixStream> {
        let (ours, theirs) = HostStream::pair()?;
        self.connect(port, ours);
        Ok(theirs)
    }
}
