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
#[cfg(test)]
mod tests;

use crate::driver::{Connector, Services};
use crate::error::HostError;
use crate::run::Message;
use backend::{Backend, STREAMS_EVENT};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, channel};
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

impl Vsock {
    /// Listens on `socket` for one QEMU, and says which connections were refused.
    pub(crate) fn start(
        socket: &Path,
        services: Services,
        messages: SyncSender<Message>,
    ) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Starting the vsock device", cause };
        let (commands, receiver) = channel();
        let backend = Backend::new(services, receiver, messages).map_err(failed)?;
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
        let connector = Connector::new(commands, wake);
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
