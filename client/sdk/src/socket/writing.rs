//! What leaves through a WebSocket.

use super::broken;
use crate::error::{Error, RequestError, ResponseError};
use crate::transport::Upgraded;
use caution_steve::websocket::{Opcode, write_frame};
use caution_steve::{Kind, Sealer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncWrite as _, AsyncWriteExt as _, WriteHalf};

/// What both halves write through.
pub(super) struct Shared {
    writing: tokio::sync::Mutex<Writing>,
    pongs: Mutex<Pongs>,
    /// Bytes of records that were given to the connection.
    pub(super) sent: AtomicU64,
}

/// Answers to pings; of many the newest is enough (RFC 6455, section 5.5.3).
#[derive(Default)]
struct Pongs {
    /// To the application's.
    inner: Option<Vec<u8>>,
    /// To those of whoever stands in front.
    outer: Option<Vec<u8>>,
}

struct Writing {
    to: WriteHalf<Upgraded>,
    sealer: Sealer,
    /// What is sealed and not written, so that whoever gives up waiting leaves no half of a record.
    ready: Vec<u8>,
    /// A message has begun, and not ended.
    unfinished: bool,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(to: WriteHalf<Upgraded>, sealer: Sealer) -> Self {
        let writing = Writing { to, sealer, ready: Vec::new(), unfinished: false, closed: false };
        Self { writing: tokio::sync::Mutex::new(writing), pongs: Mutex::default(), sent: AtomicU64::new(0) }
    }

    /// The first message: an exchange's header, and the record that opens the WebSocket.
    pub(super) async fn open(&self, mut header: Vec<u8>, request: &[u8]) -> Result<(), Error> {
        let mut writing = self.writing.lock().await;
        writing.sealer.pad_to(HEAD_BUCKET);
        writing.sealer.seal(Kind::WsOpen, request, false, &mut header);
        writing.sealer.pad_to(1);
        self.frame(&mut writing, &header)?;
        writing.flush().await
    }

    /// A message, in as many parts as it needs.
    pub(super) async fn message(&self, text: bool, content: &[u8]) -> Result<(), Error> {
        let mut writing = self.writing.lock().await;
        writing.check()?;
        // What somebody left who gave up waiting.
        writing.flush().await?;
        writing.unfinished = true;
        let most = writing.sealer.max_content();
        let mut rest = content;
        loop {
            let (part, others) = rest.split_at(rest.len().min(most));
            let more = !others.is_empty();
            let kind = if text { Kind::WsText { more } } else { Kind::WsBinary { more } };
            self.record(&mut writing, kind, part, false)?;
            if !more {
                // All of it is sealed: what is not written yet, others write.
                writing.unfinished = false;
            }
            writing.flush().await?;
            rest = others;
            if !more {
                break;
            }
        }
        drop(writing);
        self.settle();
        Ok(())
    }

    /// A close and the last record, where they were not sent yet.
    pub(super) async fn close(&self, content: &[u8]) -> Result<(), Error> {
        let mut writing = self.writing.lock().await;
        writing.check()?;
        writing.closed = true;
        self.record(&mut writing, Kind::WsClose, content, false)?;
        self.record(&mut writing, Kind::Pad, b"", true)?;
        writing.flush().await
    }

    /// Answers a ping of the application's, as soon as nobody else writes.
    pub(super) fn pong(&self, content: Vec<u8>) {
        self.pongs().inner = Some(content);
        self.settle();
    }

    /// Answers a ping of the outer WebSocket's.
    pub(super) fn outer_pong(&self, content: Vec<u8>) {
        self.pongs().outer = Some(content);
        self.settle();
    }

    /// Writes what waits to be written, without waiting: whoever receives must not wait for who does not read.
    pub(super) fn settle(&self) {
        // Who holds it writes, and does this when done.
        while let Ok(mut writing) = self.writing.try_lock() {
            let Pongs { inner, outer } = std::mem::take(&mut *self.pongs());
            if let Some(content) = outer {
                let mask = random().unwrap_or_default();
                write_frame(Opcode::Pong, true, &content, Some(mask), &mut writing.ready);
            }
            if let Some(content) = inner.filter(|_| writing.check().is_ok()) {
                // Without random bytes nothing can be sent: the next message says so.
                let _ = self.record(&mut writing, Kind::Pong, &content, false);
            }
            writing.flush_now();
            drop(writing);
            let pongs = self.pongs();
            if pongs.inner.is_none() && pongs.outer.is_none() {
                return;
            }
        }
    }

    fn record(&self, writing: &mut Writing, kind: Kind, content: &[u8], last: bool) -> Result<(), Error> {
        let mut sealed = Vec::new();
        writing.sealer.seal(kind, content, last, &mut sealed);
        self.frame(writing, &sealed)
    }

    fn frame(&self, writing: &mut Writing, message: &[u8]) -> Result<(), Error> {
        let mask = random()?;
        write_frame(Opcode::Binary, true, message, Some(mask), &mut writing.ready);
        self.sent.fetch_add(message.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn pongs(&self) -> MutexGuard<'_, Pongs> {
        self.pongs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn check(&self) -> Result<(), Error> {
        if self.closed {
            return Err(Error::Request(RequestError::Closed));
        }
        if self.unfinished { Err(broken(ResponseError::Unfinished)) } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        while !self.ready.is_empty() {
            let written =
                self.to.write(&self.ready).await.map_err(|e| broken(ResponseError::Connection(e.into())))?;
            if written == 0 {
                return Err(broken(caution_steve::RecordError::Truncated));
            }
            self.ready.drain(..written);
        }
        self.to.flush().await.map_err(|e| broken(ResponseError::Connection(e.into())))
    }

    /// As far as it goes at once. What fails here fails for the next who writes.
    fn flush_now(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while !self.ready.is_empty() {
            match std::pin::Pin::new(&mut self.to).poll_write(&mut context, &self.ready) {
                Poll::Ready(Ok(written @ 1..)) => drop(self.ready.drain(..written)),
                _ => return,
            }
        }
        // Where it is not done at once, the next does it.
        let _ = std::pin::Pin::new(&mut self.to).poll_flush(&mut context);
    }
}

fn random() -> Result<[u8; 4], Error> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask).map(|()| mask).map_err(Error::Random)
}

/// A first record has a multiple of so many bytes.
const HEAD_BUCKET: usize = 512;
