//! What comes through a WebSocket: a message of the outer one is a record.

use super::broken;
use super::writing::Shared;
use crate::error::{Error, ResponseError};
use crate::transport::{TransportError, Upgraded};
use caution_steve::websocket::{FrameReader, Piece, Sender};
use caution_steve::{MAX_STREAM_CHUNK, Opener, Record};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::time::timeout;

pub(super) struct Reading {
    from: ReadHalf<Upgraded>,
    frames: FrameReader,
    opener: Opener,
    buffer: Box<[u8]>,
    /// What came of a record.
    message: Vec<u8>,
    idle: Duration,
    /// Bytes of records that came.
    pub(super) received: u64,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Reading {
    pub(super) fn new(from: ReadHalf<Upgraded>, opener: Opener, idle: Duration) -> Self {
        Self {
            from,
            frames: FrameReader::new(Sender::Server),
            opener,
            buffer: vec![0; BUFFER].into(),
            message: Vec::new(),
            idle,
            received: 0,
        }
    }

    /// The next record. Waiting may be given up and begun again.
    pub(super) async fn record(&mut self, shared: &Shared) -> Result<Record, Error> {
        loop {
            match self.frames.next_piece().map_err(broken)? {
                Some(Piece::Data { text: false, content, end }) => {
                    self.received += content.len() as u64;
                    self.message.extend_from_slice(&content);
                    if self.message.len() > MAX_STREAM_CHUNK {
                        return Err(broken(caution_steve::RecordError::Length));
                    }
                    if end {
                        return self.opener.message(&std::mem::take(&mut self.message)).map_err(broken);
                    }
                }
                Some(Piece::Ping(content)) => shared.outer_pong(content),
                Some(Piece::Pong(_)) => {}
                Some(Piece::Data { text: true, .. }) => {
                    return Err(broken(caution_steve::RecordError::Length));
                }
                Some(Piece::Close(content)) => return Err(closed(&content)),
                None => self.more().await?,
            }
        }
    }

    async fn more(&mut self) -> Result<(), Error> {
        let read = timeout(self.idle, self.from.read(&mut self.buffer)).await;
        let lost = |cause| broken(ResponseError::Connection(cause));
        match read.map_err(|_| lost(TransportError::Timeout(self.idle).into()))? {
            Ok(0) => Err(broken(caution_steve::RecordError::Truncated)),
            Ok(read) => {
                self.frames.feed(&self.buffer[..read]);
                Ok(())
            }
            Err(cause) => Err(lost(cause.into())),
        }
    }
}

/// What whoever closed the outer WebSocket says of it, which anybody can have said.
fn closed(content: &[u8]) -> Error {
    let reason = content.get(2..).unwrap_or_default();
    let is_word = reason.len() <= 40 && reason.iter().all(|b| b.is_ascii_lowercase() || *b == b'_');
    let code = std::str::from_utf8(reason).ok().filter(|code| is_word && !code.is_empty());
    broken(ResponseError::Connection(TransportError::Closed(code.map(str::to_owned)).into()))
}

const BUFFER: usize = 16 * 1024;
