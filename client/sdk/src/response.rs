//! Responses: nothing of them is given out before it authenticates.

use crate::error::{Error, ResponseError};
use crate::receipt::{ExchangeReceipt, Receipt};
use crate::session::Established;
use crate::transport::TransportError;
use bytes::Bytes;
use caution_steve::http::{Decoder, Fields, Part, ResponseHead};
use caution_steve::{Kind, Opener, Record, SealedError};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// A response whose head has authenticated.
#[derive(Debug)]
pub struct Response {
    inner: http::Response<ResponseBody>,
}

impl Response {
    pub(crate) fn new(inner: http::Response<ResponseBody>) -> Self {
        Self { inner }
    }

    /// Its status.
    pub fn status(&self) -> http::StatusCode {
        self.inner.status()
    }

    /// Its fields.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The next piece of content, as soon as it has come and authenticated; none at the authentic end.
    ///
    /// # Errors
    /// A response that was cut is an error here, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.inner.body_mut().chunk().await
    }

    /// The whole content.
    ///
    /// # Errors
    /// As of [`Response::chunk`], and [`Error::TooLong`] where it has more than `limit` bytes.
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, Error> {
        let mut all = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if piece.len() > limit - all.len() {
                return Err(Error::TooLong { limit });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    /// The whole content as text; what is no UTF-8 in it is replaced.
    ///
    /// # Errors
    /// As of [`Response::bytes`].
    pub async fn text(&mut self, limit: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes(limit).await?).into_owned())
    }

    /// The trailers, once the content has ended.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.inner.body().trailers.as_ref()
    }

    /// What was verified. It is complete when the content has ended.
    pub fn receipt(&self) -> Receipt {
        self.inner.body().receipt()
    }

    /// The same in everybody's types.
    pub fn into_http(self) -> http::Response<ResponseBody> {
        self.inner
    }
}

/// The content of a response, as it comes.
pub struct ResponseBody {
    incoming: Incoming,
    opener: Opener,
    decoder: Decoder,
    /// The connection has ended; what came is not all read.
    no_more: bool,
    state: State,
    trailers: Option<HeaderMap>,
    asked: Asked,
    received: u64,
    /// How long nothing may come.
    idle: Duration,
    silence: Pin<Box<Sleep>>,
}

/// What a response answers.
pub(crate) struct Asked {
    pub(crate) established: Arc<Established>,
    /// The exchange's.
    pub(crate) number: u64,
    /// How many bytes of it were given to the connection.
    pub(crate) sent: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// To its authentic end.
    Complete,
    Broken,
}

impl ResponseBody {
    pub(crate) fn new(incoming: Incoming, opener: Opener, asked: Asked, idle: Duration) -> Self {
        Self {
            incoming,
            opener,
            decoder: Decoder::response(),
            no_more: false,
            state: State::Open,
            trailers: None,
            asked,
            received: 0,
            idle,
            silence: Box::pin(sleep(idle)),
        }
    }

    /// The head, with this for its content. Informational responses before it are passed over.
    pub(crate) async fn head(mut self) -> Result<http::Response<Self>, Error> {
        loop {
            match poll_fn(|cx| self.poll_part(cx)).await? {
                Some(Part::Response(head)) if head.is_informational() => {}
                Some(Part::Response(head)) => return response(&head, self),
                _ => return Err(Error::Broken(ResponseError::Part)),
            }
        }
    }

    /// The next piece of content; none at the authentic end.
    ///
    /// # Errors
    /// A response that was cut is an error here, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// What was verified. It is complete when the content has ended.
    pub fn receipt(&self) -> Receipt {
        let exchange = ExchangeReceipt {
            number: self.asked.number,
            sent: self.asked.sent.load(Ordering::Relaxed),
            received: self.received,
            complete: self.state == State::Complete,
        };
        Receipt::new(&self.asked.established, Some(exchange))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(self.poll_part(cx)) {
                Ok(Some(Part::Content(content))) => return Poll::Ready(Ok(Some(content.into()))),
                // The end counts when nothing can follow it any more.
                Ok(Some(Part::End(fields))) => self.trailers = Some(headers(&fields)?),
                Ok(None) => return Poll::Ready(Ok(None)),
                Ok(Some(_)) => return Poll::Ready(Err(Error::Broken(ResponseError::Part))),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The next part of the message; none at its authentic end.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        match self.state {
            State::Open => {}
            State::Complete => return Poll::Ready(Ok(None)),
            State::Broken => return Poll::Ready(Err(Error::Broken(ResponseError::Reset))),
        }
        let part = ready!(self.poll_open(cx));
        match &part {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Complete,
            Err(_) => self.state = State::Broken,
        }
        Poll::Ready(part)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        loop {
            if let Some(part) = self.decoder.next_part().map_err(broken)? {
                return Poll::Ready(Ok(Some(part)));
            }
            if let Some(record) = self.opener.next_record().map_err(broken)? {
                self.take(&record)?;
                continue;
            }
            if self.no_more {
                if let Some(record) = self.opener.end().map_err(broken)? {
                    self.take(&record)?;
                    continue;
                }
                self.decoder.finish().map_err(broken)?;
                return Poll::Ready(Ok(None));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.silence.as_mut().poll(cx));
                let cause = TransportError::Timeout(self.idle);
                return Poll::Ready(Err(Error::Broken(ResponseError::Connection(cause.into()))));
            };
            match frame {
                None => self.no_more = true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.received += data.len() as u64;
                        self.silence.as_mut().reset(Instant::now() + self.idle);
                        self.opener.feed(&data).map_err(broken)?;
                    }
                }
                Some(Err(cause)) => {
                    return Poll::Ready(Err(Error::Broken(ResponseError::Connection(cause.into()))));
                }
            }
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), Error> {
        match record.kind {
            Kind::Data => self.decoder.feed(&record.content),
            Kind::Pad => {}
            Kind::Error => {
                return Err(Error::Sealed(SealedError::from_bytes(&record.content).map_err(broken)?));
            }
            Kind::Reset => return Err(Error::Broken(ResponseError::Reset)),
            other => return Err(Error::Broken(ResponseError::Kind(other.byte()))),
        }
        Ok(())
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.state == State::Complete {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.poll_chunk(cx)) {
            Ok(Some(content)) => Some(Ok(Frame::data(content))),
            Ok(None) => self.trailers.clone().filter(|t| !t.is_empty()).map(|t| Ok(Frame::trailers(t))),
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Complete
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody")
            .field("number", &self.asked.number)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn response(head: &ResponseHead, body: ResponseBody) -> Result<http::Response<ResponseBody>, Error> {
    let headers = headers(&head.fields)?;
    let response = http::Response::builder().status(head.status).body(body);
    let mut response = response.map_err(|e| Error::Broken(ResponseError::Http(e)))?;
    *response.headers_mut() = headers;
    Ok(response)
}

pub(crate) fn headers(fields: &Fields) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let wrong = |e: http::Error| Error::Broken(ResponseError::Http(e));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(e.into()))?;
        let value = HeaderValue::from_bytes(value).map_err(|e| wrong(e.into()))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn broken(cause: impl Into<ResponseError>) -> Error {
    Error::Broken(cause.into())
}
