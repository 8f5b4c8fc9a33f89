//! Accepting connections: a thread each, and a limit on how many.

use caution_enclave_sys::vsock::Listener;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A number of connections that may be open at once. Who finds none free waits, and the peers with
/// it in the listener's queue.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<(Mutex<usize>, Condvar)>);

/// A taken slot, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Slots);

impl Slots {
    /// `free` slots.
    pub(crate) fn new(free: usize) -> Self {
        Self(Arc::new((Mutex::new(free), Condvar::new())))
    }

    /// Takes a slot as soon as one is free.
    pub(crate) fn take(&self) -> Slot {
        let (free, changed) = &*self.0;
        let free = free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = changed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (free, changed) = &*self.0.0;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_one();
    }
}

/// Serves connections for ever; returns only when the listener itself is broken.
pub(crate) fn serve<H>(listener: &Listener, slots: &Slots, handler: H) -> io::Error
where
    H: Fn(TcpStream) + Clone + Send + 'static,
{
    loop {
        match listener.accept() {
            Ok(stream) => {
                // After accepting, so that a quiet listener holds no slot that another could use.
                let slot = slots.take();
                let handler = handler.clone();
                // Without memory for a thread the connection is closed, which its peer sees.
                let _ = spawn("connection", move || {
                    handler(stream);
                    drop(slot);
                });
            }
            Err(e) => {
                if let Err(e) = outlast(e) {
                    return e;
                }
            }
        }
    }
}

/// Waits a moment after an accept failed, or returns the error where no later one can succeed.
pub(crate) fn outlast(e: io::Error) -> io::Result<()> {
    if !is_transient(&e) {
        return Err(e);
    }
    #[expect(clippy::disallowed_methods, reason = "no event tells when files or memory are free again")]
    thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// Starts a thread with a small stack: nothing here recurses, and buffers live on the heap.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body)
}

/// Whether a later accept can succeed: the connection is gone, or a resource is exhausted
/// (accept(2)).
fn is_transient(e: &io::Error) -> bool {
    const EXHAUSTED: [i32; 4] =
        [12 /* ENOMEM */, 23 /* ENFILE */, 24 /* EMFILE */, 105 /* ENOBUFS */];
    matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
        || e.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

const STACK: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    #[test]
    fn a_slot_comes_back_when_its_connection_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        spawn("accept", move || {
            let _ = serve(&listener.into(), &Slots::new(1), |mut stream| {
                let _ = stream.write_all(b"x");
                let _ = stream.read(&mut [0; 1]);
            });
        })
        .unwrap();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
        }
    }

    #[test]
    fn the_limit_holds() {
        let slots = Slots::new(1);
        let first = slots.take();
        let (sender, receiver) = mpsc::channel();
        let waiting = slots.clone();
        let thread = spawn("waits", move || {
            let _slot = waiting.take();
            sender.send(()).unwrap();
        })
        .unwrap();
        assert!(receiver.try_recv().is_err());
        drop(first);
        receiver.recv().unwrap();
        thread.join().unwrap();
    }
}
