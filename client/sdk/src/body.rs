//! What a request carries, and how it becomes a sealed stream.

use crate::error::BoxError;
use bytes::{Buf as _, Bytes};
use caution_steve::http::{Encoder, Fields, MessageError};
use caution_steve::{Kind, Sealer};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// What goes to whoever stands in front.
pub(crate) type OuterBody = UnsyncBoxBody<Bytes, BoxError>;

/// The content of a request.
#[derive(Debug, Default)]
pub struct Body(Content);

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Content that comes as it is made, with trailers if it has some. Where it ends with an error, the request is cut, and
    /// the application's is broken off.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Content::Stream(body.map_err(Into::into).boxed_unsync()))
    }

    /// Content that is read as it is sent: a file, standard input, a socket.
    pub fn reader(reader: impl tokio::io::AsyncRead + Send + 'static) -> Self {
        Self::stream(crate::reader::ReaderBody::new(reader))
    }

    /// How many bytes it has, where that is known before.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.0 {
            Content::Empty => Some(0),
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Stream(body) => body.size_hint().exact(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self(if bytes.is_empty() { Content::Empty } else { Content::Whole(bytes) })
    }
}

/// A request as it leaves: header, head, content as it comes, end.
pub(crate) struct SealedRequest {
    sealer: Sealer,
    encoder: Encoder,
    /// What is sealed and not sent.
    ready: Vec<u8>,
    /// What came from the caller and is not sealed.
    rest: Bytes,
    content: Content,
    is_ended: bool,
    silence: Pin<Box<Sleep>>,
    sent: Arc<AtomicU64>,
}

impl SealedRequest {
    /// `header` is the exchange's, `head` the encoded head of the message.
    pub(crate) fn new(
        header: Vec<u8>,
        sealer: Sealer,
        encoder: Encoder,
        head: &[u8],
        body: Body,
    ) -> Result<Self, MessageError> {
        let silence = Box::pin(sleep_until(Instant::now() + KEEPALIVE));
        let mut this = Self {
            sealer,
            encoder,
            ready: header,
            rest: Bytes::new(),
            content: body.0,
            is_ended: false,
            silence,
            sent: Arc::default(),
        };
        this.sealer.pad_to(HEAD_BUCKET);
        this.begin(head)?;
        this.sealer.pad_to(1);
        Ok(this)
    }

    /// How many bytes were given to the connection.
    pub(crate) fn sent(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// The head; with a short content as one record, which is the whole request.
    fn begin(&mut self, head: &[u8]) -> Result<(), MessageError> {
        let whole = match std::mem::take(&mut self.content) {
            Content::Whole(bytes) if head.len() + bytes.len() + 16 <= self.sealer.max_content() => bytes,
            Content::Empty => Bytes::new(),
            Content::Whole(bytes) => {
                self.rest = bytes;
                self.seal_all(head);
                return Ok(());
            }
            stream @ Content::Stream(_) => {
                self.content = stream;
                self.seal_all(head);
                return Ok(());
            }
        };
        let mut message = head.to_vec();
        if !whole.is_empty() {
            self.encoder.content(&whole, &mut message);
        }
        self.encoder.end(&Fields::new(), &mut message)?;
        if message.len() > self.sealer.max_content() {
            self.seal_all(head);
            return self.end(&Fields::new());
        }
        self.sealer.seal(Kind::Data, &message, true, &mut self.ready);
        self.is_ended = true;
        Ok(())
    }

    fn seal_all(&mut self, message: &[u8]) {
        for piece in message.chunks(self.sealer.max_content()) {
            self.sealer.seal(Kind::Data, piece, false, &mut self.ready);
        }
    }

    /// One record of content that came.
    fn seal_some(&mut self) {
        // A length in front of it has four bytes at most.
        let most = self.sealer.max_content() - 4;
        let piece = self.rest.split_to(self.rest.len().min(most));
        let mut message = Vec::with_capacity(piece.len() + 4);
        self.encoder.content(&piece, &mut message);
        self.sealer.seal(Kind::Data, &message, false, &mut self.ready);
    }

    fn end(&mut self, trailers: &Fields) -> Result<(), MessageError> {
        let mut message = Vec::new();
        self.encoder.end(trailers, &mut message)?;
        let most = self.sealer.max_content();
        let (before, last) = message.split_at(message.len().saturating_sub(1) / most * most);
        self.seal_all(before);
        self.sealer.seal(Kind::Data, last, true, &mut self.ready);
        self.is_ended = true;
        Ok(())
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !self.rest.is_empty() {
            self.seal_some();
            return Poll::Ready(Ok(()));
        }
        let frame = match &mut self.content {
            Content::Stream(body) => Pin::new(body).poll_frame(cx),
            Content::Empty | Content::Whole(_) => Poll::Ready(None),
        };
        match frame {
            Poll::Pending => {
                if self.silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.sealer.seal(Kind::Pad, b"", false, &mut self.ready);
            }
            Poll::Ready(None) => self.end(&Fields::new())?,
            Poll::Ready(Some(frame)) => match frame?.into_data() {
                Ok(data) => {
                    self.rest = data;
                    if self.rest.has_remaining() {
                        self.seal_some();
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.end(&crate::request::fields(&trailers))?;
                    }
                }
            },
        }
        self.silence.as_mut().reset(Instant::now() + KEEPALIVE);
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for SealedRequest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if !self.ready.is_empty() {
                let bytes = std::mem::take(&mut self.ready);
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            match self.poll_content(cx) {
                Poll::Ready(Ok(())) => {}
                // Without its last chunk the request is cut, and says so to the enclave.
                Poll::Ready(Err(cause)) => return Poll::Ready(Some(Err(cause))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_ended { SizeHint::with_exact(self.ready.len() as u64) } else { SizeHint::default() }
    }
}

/// A first record has a multiple of so many bytes, so that heads of most requests look alike.
const HEAD_BUCKET: usize = 512;
/// After so long a silence an empty record keeps what is in between from closing the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);
