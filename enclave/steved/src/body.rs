//! Bodies: pieces through a channel whose closing is no end, and work that lives as long as who reads.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Whose sender went away before its end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body was cut")]
pub(crate) struct Cut;

/// A part of a body.
enum Piece {
    Frame(Frame<Bytes>),
    End,
}

/// Writes a body.
pub(crate) struct Sink(mpsc::Sender<Piece>);

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
        self.0.send(Piece::Frame(frame)).await.is_ok()
    }

    /// The end, with trailers where there are any. Without it the body is cut.
    pub(crate) async fn end(self, trailers: HeaderMap) {
        if !trailers.is_empty() && !self.frame(Frame::trailers(trailers)).await {
            return;
        }
        let _ = self.0.send(Piece::End).await;
    }
}

/// A body that somebody writes, a few pieces ahead.
pub(crate) struct Pipe {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl Pipe {
    /// Both ends of one.
    pub(crate) fn new() -> (Sink, Self) {
        let (sender, pieces) = mpsc::channel(PIECES);
        (Sink(sender), Self { pieces, ended: false })
    }

    /// One whose content is there.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let (Sink(sender), pipe) = Self::new();
        let content = (!bytes.is_empty()).then(|| Piece::Frame(Frame::data(bytes)));
        for piece in content.into_iter().chain([Piece::End]) {
            // There is room for more than two.
            let _ = sender.try_send(piece);
        }
        pipe
    }

    /// One without content.
    pub(crate) fn empty() -> Self {
        Self { ended: true, ..Self::new().1 }
    }
}

impl Body for Pipe {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(Piece::Frame(frame)) => Some(Ok(frame)),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            None => Some(Err(Cut)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended { SizeHint::with_exact(0) } else { SizeHint::default() }
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
pub(crate) async fn collect(body: &mut Incoming, most: usize) -> Result<Vec<u8>, Unread> {
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
