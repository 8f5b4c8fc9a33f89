//! A reader as a body.

use bytes::Bytes;
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Everything a reader gives, as it comes.
pub(crate) struct ReaderBody {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    buffer: Vec<u8>,
}

impl ReaderBody {
    pub(crate) fn new(reader: impl AsyncRead + Send + 'static) -> Self {
        Self { reader: Box::pin(reader), buffer: vec![0; PIECE] }
    }
}

impl http_body::Body for ReaderBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let mut buffer = ReadBuf::new(&mut this.buffer);
        ready!(this.reader.as_mut().poll_read(cx, &mut buffer))?;
        let read = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready((!read.is_empty()).then(|| Ok(Frame::data(read))))
    }
}

/// How much is read at once, in bytes: what fits into one record.
const PIECE: usize = 65_000;
