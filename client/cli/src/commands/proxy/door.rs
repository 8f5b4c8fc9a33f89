//! Who comes in: as many at a time as there are descriptors for. Others wait where the system keeps them.

use crate::terminal::Terminal;
use nix::sys::resource::{Resource, getrlimit};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A listener that takes nobody whom it could not serve.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    ended: Arc<Notify>,
    terminal: Terminal,
    has_warned: bool,
}

/// The place of a connection, free again when this is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    ended: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl Door {
    pub(super) fn new(listener: TcpListener, terminal: Terminal) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let places = Arc::new(Semaphore::new(places(descriptors)));
        Self { listener, places, ended: Arc::default(), terminal, has_warned: false }
    }

    /// The next connection, when there is a place for it.
    pub(super) async fn next(&mut self) -> (TcpStream, Place) {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        let permit = permit.expect("nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    return (stream, Place { _permit: permit, ended: Arc::clone(&self.ended) });
                }
                Err(error) if is_of_a_connection(&error) => {}
                Err(error) => self.wait(&error).await,
            }
        }
    }

    /// Waits until a connection ends, which gives descriptors back. No event tells when others of this machine do.
    async fn wait(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_warned, true) {
            let text = format!("No more connections can be taken now ({error}); they wait until others end.");
            self.terminal.warning(&text, Some("ulimit -n 1024, and start it again"));
        }
        let _ = timeout(PAUSE, self.ended.notified()).await;
    }
}

/// Whether an accept failed for the connection's own sake: its client is gone again.
fn is_of_a_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// How many connections so many descriptors are enough for.
fn places(descriptors: u64) -> usize {
    let enough = descriptors.saturating_sub(OURS) / EACH;
    usize::try_from(enough).unwrap_or(usize::MAX).clamp(1, MOST)
}

/// The most connections at a time.
const MOST: usize = 256;
/// What the program has open beside connections: its streams, the listener, the event loop, and while names are looked up.
const OURS: u64 = 64;
/// Of a connection: itself, the one to the application, and one that waits there after a WebSocket was refused.
const EACH: u64 = 3;
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_descriptors_for_every_connection() {
        for (descriptors, expected) in [(0, 1), (66, 1), (256, 64), (1024, 256), (u64::MAX, 256)] {
            assert_eq!(places(descriptors), expected, "{descriptors}");
        }
    }
}
