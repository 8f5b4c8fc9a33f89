//! Accepting connections: a thread each, and a limit on how many.

use caution_enclave_sys::vsock::Listener;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A number of connections that may be open at once. Where none is free, the oldest that waits for its
/// peer is ended; where none does, who comes waits in the listener's queue.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug)]
struct State {
    free: usize,
    next: u64,
    /// Connections that wait for their peers, oldest first.
    waiting: BTreeMap<u64, TcpStream>,
}

/// A taken slot, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    number: u64,
}

impl Slots {
    /// `free` slots.
    pub(crate) fn new(free: usize) -> Self {
        let state = State { free, next: 0, waiting: BTreeMap::new() };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// Takes a slot for a connection as soon as one is free.
    pub(crate) fn take(&self, stream: &TcpStream) -> Slot {
        let mut state = self.lock();
        while state.free == 0 {
            if let Some((_, stream)) = state.waiting.pop_first() {
                // Its thread reads the end and gives up the slot. One that is gone already does so anyway.
                let _ = stream.shutdown(Shutdown::Both);
            }
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= 1;
        state.next += 1;
        let slot = Slot { slots: self.clone(), number: state.next };
        drop(state);
        slot.give_way(stream);
        slot
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// From now on the connection waits for its peer, as it does at first, and may be ended in favour of
    /// another.
    pub(crate) fn give_way(&self, stream: &TcpStream) {
        // Without a descriptor for it the deadlines of its reads alone end it.
        if let Ok(stream) = stream.try_clone() {
            self.slots.lock().waiting.insert(self.number, stream);
            self.slots.0.1.notify_one();
        }
    }

    /// From now on the connection is being answered, and stays.
    pub(crate) fn hold(&self) {
        self.slots.lock().waiting.remove(&self.number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.hold();
        self.slots.lock().free += 1;
        self.slots.0.1.notify_one();
    }
}

/// Serves connections for ever; returns only when the listener itself is broken.
pub(crate) fn serve<H>(listener: &Listener, slots: &Slots, handler: H) -> io::Error
where
    H: Fn(TcpStream, &Slot) + Clone + Send + 'static,
{
    loop {
        match listener.accept() {
            Ok(stream) => {
                // After accepting, so that a quiet listener holds no slot that another could use.
                let slot = slots.take(&stream);
                let handler = handler.clone();
                // Without memory for a thread the connection is closed, which its peer sees.
                let _ = spawn("connection", move || {
                    handler(stream, &slot);
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
            let _ = serve(&listener.into(), &Slots::new(1), |mut stream, _| {
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
    fn who_keeps_us_waiting_gives_way_oldest_first_and_who_is_answered_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        spawn("accept", move || {
            let _ = serve(&listener.into(), &Slots::new(3), |mut stream, slot| {
                if !matches!(stream.read(&mut [0; 1]), Ok(1)) {
                    return;
                }
                slot.hold();
                let _ = stream.write_all(b"x");
                let _ = stream.read(&mut [0; 1]);
            });
        })
        .unwrap();
        let connect = || TcpStream::connect(address).unwrap();
        let ask = |stream: &mut TcpStream| {
            stream.write_all(b"?").unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
        };
        let mut answered = connect();
        ask(&mut answered);
        // Far more than there are slots, all silent.
        let mut silent: Vec<TcpStream> = (0..50).map(|_| connect()).collect();
        let mut verifier = connect();
        ask(&mut verifier);
        // The first 49 are ended; the last has a slot beside those that were answered.
        for stream in &mut silent[..49] {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
        ask(&mut silent[49]);
        answered.set_nonblocking(true).unwrap();
        assert_eq!(answered.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn the_limit_holds() {
        let slots = Slots::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let first = slots.take(&stream);
        first.hold();
        let (sender, receiver) = mpsc::channel();
        let waiting = slots.clone();
        let thread = spawn("waits", move || {
            let _slot = waiting.take(&stream);
            sender.send(()).unwrap();
        })
        .unwrap();
        assert!(receiver.try_recv().is_err());
        drop(first);
        receiver.recv().unwrap();
        thread.join().unwrap();
    }
}
