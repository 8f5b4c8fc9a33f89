//! Both ends' WebSockets: pieces and messages in, frames out.

use crate::body::{Pipe, Sink, next_frame};
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, write_frame};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

type Io = TokioIo<hyper::upgrade::Upgraded>;

/// What is read of a WebSocket, piece by piece. Waiting for one may be given up and begun again.
pub(crate) struct Pieces {
    from: ReadHalf<Io>,
    reader: FrameReader,
    buffer: Box<[u8]>,
}

/// The connection is gone, or says what no WebSocket says.
#[derive(Debug)]
pub(crate) struct Lost;

impl Pieces {
    pub(crate) fn new(from: ReadHalf<Io>, sender: Sender) -> Self {
        Self { from, reader: FrameReader::new(sender), buffer: vec![0; BUFFER].into() }
    }

    pub(crate) async fn next(&mut self) -> Result<Piece, Lost> {
        loop {
            if let Some(piece) = self.reader.next_piece().map_err(|_| Lost)? {
                return Ok(piece);
            }
            match self.from.read(&mut self.buffer).await {
                Ok(read @ 1..) => self.reader.feed(&self.buffer[..read]),
                _ => return Err(Lost),
            }
        }
    }
}

/// The client's messages: records, so binary ones of a bounded length.
pub(crate) struct Messages {
    pieces: Pieces,
    message: Vec<u8>,
    /// Takes answers to pings.
    answers: Sink,
}

impl Messages {
    pub(crate) fn new(from: ReadHalf<Io>, answers: Sink) -> Self {
        Self { pieces: Pieces::new(from, Sender::Client), message: Vec::new(), answers }
    }

    /// The next message. A close of the outer WebSocket says nothing: anybody can send one.
    pub(crate) async fn next(&mut self) -> Result<Vec<u8>, Lost> {
        loop {
            match self.pieces.next().await? {
                Piece::Data { text: false, content, end } => {
                    self.message.extend_from_slice(&content);
                    if self.message.len() > MAX_MESSAGE {
                        return Err(Lost);
                    }
                    if end {
                        return Ok(std::mem::take(&mut self.message));
                    }
                }
                Piece::Ping(content) => {
                    let mut pong = Vec::new();
                    write_frame(Opcode::Pong, true, &content, None, &mut pong);
                    self.answers.data(pong.into()).await;
                }
                Piece::Pong(_) => {}
                Piece::Data { text: true, .. } | Piece::Close(_) => return Err(Lost),
            }
        }
    }
}

/// Writes what comes through a pipe; where that has an end, the connection has one.
pub(crate) async fn pump(mut pipe: Pipe, mut to: WriteHalf<Io>) {
    while let Some(frame) = next_frame(&mut pipe).await {
        let Ok(frame) = frame else { return };
        let Ok(data) = frame.into_data() else { continue };
        if to.write_all(&data).await.is_err() {
            return;
        }
    }
    // Who is gone needs no end.
    let _ = to.shutdown().await;
}

/// What is written to the app, as its client.
pub(crate) struct AppWriter {
    to: WriteHalf<Io>,
    enclave: Arc<dyn crate::Enclave>,
}

impl AppWriter {
    pub(crate) fn new(to: WriteHalf<Io>, enclave: Arc<dyn crate::Enclave>) -> Self {
        Self { to, enclave }
    }

    /// False when the app reads no more.
    pub(crate) async fn frame(&mut self, opcode: Opcode, fin: bool, content: &[u8]) -> bool {
        let (mut mask, mut frame) = ([0; 4], Vec::new());
        self.enclave.random(&mut mask);
        write_frame(opcode, fin, content, Some(mask), &mut frame);
        self.to.write_all(&frame).await.is_ok()
    }
}

/// Bytes that are read at once: with them a record, of as many at least as the longest may have.
const BUFFER: usize = 16 * 1024;
/// The first has a header, too.
const MAX_MESSAGE: usize = caution_steve::EXCHANGE_HEADER + caution_steve::MAX_STREAM_CHUNK;
