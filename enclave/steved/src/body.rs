//! Bodies: pieces through a channel whose closing is no end, and work that lives as long as who reads.

use crate::alarm::Alarm;
use crate::channel::{Receiver, Sender, channel};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Whose sender went away before its end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body was cut")]
pub(crate) struct Cut;

/// A part of a body.
struct Piece {
    frame: Option<Frame<Bytes>>,
    /// The end comes with it.
    last: bool,
}

/// Writes a body.
pub(crate) struct Sink(Sender<Piece>);

impl Sink {
    /// Another one to the same body, which has its end when one of them says so.
    pub(crate) fn another(&self) -> Self {
        Self(self.0.clone())
    }

    /// False when nobody reads any more.
    pub(crate) async fn data(&self, bytes: Bytes) -> bool {
        bytes.is_empty() || self.frame(Frame::data(bytes)).await
    }

    /// False when nobody reads any more.
    pub(crate) async fn frame(&self, frame: Frame<Bytes>) -> bool {
        self.0.send(Piece { frame: Some(frame), last: false }).await
    }

    /// The end, with what is said last: so it takes no write of its own.
    pub(crate) async fn last(self, bytes: Bytes) {
        let frame = (!bytes.is_empty()).then(|| Frame::data(bytes));
        self.0.send(Piece { frame, last: true }).await;
    }

    /// The end, with trailers where there are any. Without it the body is cut.
    pub(crate) async fn end(self, trailers: HeaderMap) {
        self.0.send(Piece::end(trailers)).await;
    }
}

impl Piece {
    fn end(trailers: HeaderMap) -> Self {
        Self { frame: (!trailers.is_empty()).then(|| Frame::trailers(trailers)), last: true }
    }
}

/// A body that somebody writes, a few pieces ahead.
pub(crate) struct Pipe {
    /// None when the last came.
    pieces: Option<Receiver<Piece>>,
    /// Came, and is not read yet.
    next: Option<Frame<Bytes>>,
}

impl Pipe {
    /// Both ends of one.
    pub(crate) fn new() -> (Sink, Self) {
        let (sender, pieces) = channel(PIECES);
        (Sink(sender), Self { pieces: Some(pieces), next: None })
    }

    /// One whose content is there.
    pub(crate) fn whole(bytes: Bytes, trailers: HeaderMap) -> Self {
        let next = (!bytes.is_empty()).then(|| Frame::data(bytes));
        if trailers.is_empty() {
            return Self { pieces: None, next };
        }
        let (Sink(sender), pipe) = Self::new();
        // There is room for it.
        sender.try_send(Piece::end(trailers));
        Self { next, ..pipe }
    }

    /// One without content.
    pub(crate) fn empty() -> Self {
        Self { pieces: None, next: None }
    }

    /// Ready where there is something to read, or never will be.
    fn poll_there(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if let (None, Some(pieces)) = (&self.next, &mut self.pieces) {
            let piece = ready!(pieces.poll_recv(context)).ok_or(Cut)?;
            self.next = piece.frame;
            if piece.last {
                self.pieces = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Body for Pipe {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match ready!(self.poll_there(context)) {
            Ok(()) => Poll::Ready(self.next.take().map(Ok)),
            Err(cut) => Poll::Ready(Some(Err(cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.next {
            None if self.pieces.is_none() => SizeHint::with_exact(0),
            // The last piece: its message says how long it is, and is not in chunks.
            Some(frame) if self.pieces.is_none() => frame
                .data_ref()
                .map_or_else(SizeHint::default, |data| SizeHint::with_exact(data.len() as u64)),
            _ => SizeHint::default(),
        }
    }
}

/// Something to do until it is done; then there is nothing to do, however often it is asked.
pub(crate) struct Work(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Work {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else { return Poll::Ready(()) };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

/// The body of an outer response.
pub(crate) enum Reply {
    /// Bytes that are there.
    Whole(Option<Bytes>),
    /// What work writes. It is dropped with the body, and so ends when the client goes away.
    Driven {
        /// What is to be done.
        work: Work,
        /// What it writes.
        pipe: Pipe,
    },
}

impl Reply {
    /// What `work` writes to the sink it is given.
    pub(crate) fn driven<F>(work: impl FnOnce(Sink) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sink, pipe) = Pipe::new();
        Self::Driven { work: Work::new(work(sink)), pipe }
    }

    /// This, where something of it is soon there to read: then the head of its response needs no write of its own.
    pub(crate) async fn begun(mut self, alarm: &Alarm) -> Self {
        if let Self::Driven { work, pipe } = &mut self {
            let there = poll_fn(|context| {
                let _ = Pin::new(&mut *work).poll(context);
                // Where it is cut, who reads it learns that.
                pipe.poll_there(context).map(drop)
            });
            let _ = alarm.limit(SOON, there).await;
        }
        self
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Driven { work, pipe } => {
                // Whether it is done, the pipe says.
                let _ = Pin::new(work).poll(context);
                Pin::new(pipe).poll_frame(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Driven { pipe, .. } => pipe.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Driven { pipe, .. } => pipe.size_hint(),
        }
    }
}

/// The next frame of a body, none at its end.
pub(crate) async fn next_frame<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
) -> Option<Result<Frame<Bytes>, B::Error>> {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

/// All of a body of at most `most` bytes; nothing where it is longer or breaks.
pub(crate) async fn collect<B>(body: &mut B, most: usize) -> Result<Vec<u8>, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(frame) = next_frame(body).await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Unread::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has more bytes than may be.
    TooLong,
    /// It ended before its end.
    Broken,
}

/// What `main` gives; `beside` goes on meanwhile, and is over with it.
pub(crate) async fn beside<T>(side: impl Future<Output = ()>, main: impl Future<Output = T>) -> T {
    let mut side = std::pin::pin!(side);
    let mut main = std::pin::pin!(main);
    let mut over = false;
    poll_fn(|context| {
        over = over || side.as_mut().poll(context).is_ready();
        main.as_mut().poll(context)
    })
    .await
}

/// Pieces that wait in a pipe: a chunk each at most.
const PIECES: usize = 4;
/// How long the head of a response waits for what follows it: no time that anybody else gives it up in.
const SOON: Duration = Duration::from_millis(100);
