//! Where acknowledged writes are: a server outside that outlives everything.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often each id was brought.
#[derive(Clone, Default)]
pub(crate) struct Store(Arc<Mutex<BTreeMap<String, u32>>>);

impl Store {
    /// Listens, from the namespace of the thread that calls.
    pub(crate) fn start() -> Self {
        let store = Self::default();
        let (served, listener) = (store.clone(), TcpListener::bind("203.0.113.5:7000").unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let store = served.clone();
                std::thread::spawn(move || store.take(stream));
            }
        });
        store
    }

    /// One line a connection: an id, which is answered when it is kept.
    fn take(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut line = String::new();
        BufReader::new((&stream).take(256)).read_line(&mut line)?;
        // A half id is none: its connection was cut.
        let Some(id) = line.strip_suffix('\n') else { return Ok(()) };
        *self.0.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        writeln!(stream, "kept {id}")
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().clone()
    }
}
