//! Apps: what a test does with each connection, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// An app that listens, and how many came.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl App {
    /// Does `serve` with each connection.
    pub(crate) async fn new<F, Fut>(serve: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Peer::new(stream)));
            }
        });
        Self { address, connections }
    }

    /// Answers every request with the same bytes; says what it read.
    pub(crate) async fn answering(response: &'static str) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (said, heard) = mpsc::unbounded_channel();
        let app = Self::new(move |mut peer| {
            let said = said.clone();
            async move {
                let _ = said.send(peer.head().await);
                peer.write(response).await;
            }
        })
        .await;
        (app, heard)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A connection, and what was read of it and not yet used.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
    /// What the last head said that its body has.
    length: Option<usize>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, bytes: Vec::new(), length: None }
    }

    /// Everything up to an empty line, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let head = self.until(b"\r\n\r\n").await.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        self.length = length.map(|length| length.parse().unwrap());
        head
    }

    /// Everything up to and with `mark`; panics where the connection ends before it.
    pub(crate) async fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) {
                let rest = self.bytes.split_off(at + mark.len());
                return String::from_utf8(std::mem::replace(&mut self.bytes, rest)).unwrap();
            }
            assert!(self.more().await, "ended after {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// Exactly so many bytes; what there is where the connection ends.
    pub(crate) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.bytes.len() < length && self.more().await {}
        let rest = self.bytes.split_off(length.min(self.bytes.len()));
        std::mem::replace(&mut self.bytes, rest)
    }

    /// The next chunk of a body, all of it where its head says how long it is; none at the connection's end, empty at
    /// the body's.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        if let Some(length) = self.length.replace(0) {
            let body = self.bytes(length).await;
            return (body.len() == length).then_some(body);
        }
        self.length = None;
        while !self.bytes.windows(2).any(|window| window == b"\r\n") {
            if !self.more().await {
                return None;
            }
        }
        let line = self.until(b"\r\n").await;
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        if length == 0 {
            return Some(Vec::new());
        }
        let chunk = self.bytes(length + 2).await;
        (chunk.len() == length + 2).then(|| chunk[..length].to_vec())
    }

    /// Everything to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.bytes)
    }

    pub(crate) async fn write(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// The connection, and what was read of it and not yet used.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.bytes)
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.bytes).await, Ok(read) if read > 0)
    }
}
