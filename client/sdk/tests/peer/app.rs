//! The app of these tests, and how its requests and responses are records.

use bytes::Bytes;
use caution_steve::http::{Decoder, Encoder, Fields, Part, RequestHead, ResponseHead};
use caution_steve::{Kind, Opener, Record, Sealer};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The app: what it says at each path.
pub(crate) async fn app(head: &RequestHead, request: &mut InnerRequest, answer: &mut Answer) {
    match head.path.as_str() {
        "/echo" => {
            answer.head(200, &[("x-method", &head.method)]).await;
            while let Some(part) = request.next().await {
                match part {
                    Part::Content(content) => answer.content(&content).await,
                    Part::End(trailers) => return answer.end(&trailers).await,
                    _ => return,
                }
            }
        }
        "/fields" => {
            let fields: Vec<_> =
                head.fields.iter().map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v))).collect();
            answer.head(103, &[("link", "<x>")]).await;
            answer.head(200, &[("set-cookie", "a"), ("set-cookie", "b")]).await;
            answer.content(fields.join(";").as_bytes()).await;
            answer.end(&vec![("x-sum".into(), b"1".to_vec())]).await;
        }
        "/busy" => {
            let error = caution_steve::SealedError {
                code: caution_steve::SealedCode::Busy,
                executed: false,
                retry_after_s: Some(1),
            };
            answer.record(Kind::Error, &error.to_bytes(), true).await;
        }
        "/reset" => answer.record(Kind::Reset, b"", true).await,
        "/request-back" => {
            let mut bytes = Vec::new();
            Encoder::new().request(head, &mut bytes).unwrap();
            answer.record(Kind::Data, &bytes, true).await;
        }
        path => {
            answer.head(200, &[]).await;
            answer.content(path.as_bytes()).await;
            answer.end(&Fields::new()).await;
        }
    }
}

/// A request as the app reads it.
pub(crate) struct InnerRequest {
    pub(crate) body: Incoming,
    pub(crate) opener: Opener,
    pub(crate) decoder: Decoder,
    pub(crate) ended: bool,
}

impl InnerRequest {
    pub(crate) fn take(&mut self, record: &Record) {
        if record.kind == Kind::Data {
            self.decoder.feed(&record.content);
        }
    }

    /// The next part; none at the end, and where the request was cut.
    pub(crate) async fn next(&mut self) -> Option<Part> {
        loop {
            if let Some(part) = self.decoder.next_part().unwrap() {
                self.ended = matches!(part, Part::End(_));
                return Some(part);
            }
            if let Some(record) = self.opener.next_record().ok()? {
                self.take(&record);
                continue;
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.opener.feed(frame.data_ref().unwrap()).ok()?,
                Some(Err(_)) => return None,
                None => {
                    let last = self.opener.end().ok()??;
                    self.take(&last);
                }
            }
        }
    }
}

/// Its response, a record each.
pub(crate) struct Answer {
    pub(crate) sealer: Sealer,
    pub(crate) encoder: Encoder,
    pub(crate) to: mpsc::Sender<Result<Bytes, Cut>>,
}

impl Answer {
    async fn record(&mut self, kind: Kind, content: &[u8], last: bool) {
        let mut bytes = Vec::new();
        self.sealer.seal(kind, content, last, &mut bytes);
        // Nobody reads any more: the client went away.
        drop(self.to.send(Ok(bytes.into())).await);
    }

    async fn head(&mut self, status: u16, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let mut bytes = Vec::new();
        self.encoder.response(&ResponseHead { status, fields }, &mut bytes).unwrap();
        self.record(Kind::Data, &bytes, false).await;
    }

    async fn content(&mut self, content: &[u8]) {
        self.record(Kind::Pad, b"", false).await;
        for piece in content.chunks(60_000) {
            let mut bytes = Vec::new();
            self.encoder.content(piece, &mut bytes);
            self.record(Kind::Data, &bytes, false).await;
        }
    }

    async fn end(&mut self, trailers: &Fields) {
        let mut bytes = Vec::new();
        self.encoder.end(trailers, &mut bytes).unwrap();
        self.record(Kind::Data, &bytes, true).await;
    }
}

/// A response that comes through a channel.
pub(crate) struct Outer(pub(crate) mpsc::Receiver<Result<Bytes, Cut>>);

#[derive(Debug, thiserror::Error)]
#[error("the host cuts the connection")]
pub(crate) struct Cut;

impl Outer {
    fn of(pieces: impl IntoIterator<Item = Result<Bytes, Cut>>) -> Self {
        let (sender, receiver) = mpsc::channel(2);
        for piece in pieces {
            sender.try_send(piece).unwrap();
        }
        Self(receiver)
    }

    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self::of([Ok(bytes.into())])
    }

    pub(crate) fn broken(bytes: Vec<u8>) -> Self {
        Self::of([Ok(bytes.into()), Err(Cut)])
    }
}

impl Body for Outer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
