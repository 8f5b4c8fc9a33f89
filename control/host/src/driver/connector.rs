//! The way to the ports of an enclave.

use super::HostStream;
use nix::sys::eventfd::EventFd;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// A stream to connect to a port of the enclave.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) port: u32,
    pub(crate) stream: HostStream,
}

/// Opens connections to an enclave; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    commands: Sender<Connect>,
    wake: Arc<EventFd>,
}

impl Connector {
    /// For whoever takes commands from a channel after its wake event.
    pub(super) fn new(commands: Sender<Connect>, wake: Arc<EventFd>) -> Self {
        Self { commands, wake }
    }

    /// Connects a stream to a port of the enclave. Refusal resets the stream.
    pub(crate) fn connect(&self, port: u32, stream: HostStream) {
        // Fails only when the machine is gone; the stream is dropped with the command.
        if self.commands.send(Connect { port, stream }).is_ok() {
            let _ = self.wake.write(1);
        }
    }

    /// Opens a stream to a port of the enclave; it ends at once where nobody listens.
    pub(crate) fn open(&self, port: u32) -> io::Result<UnixStream> {
        let (ours, theirs) = HostStream::pair()?;
        self.connect(port, ours);
        Ok(theirs)
    }
}
