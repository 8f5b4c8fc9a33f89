//! A client: `core/steve` over HTTP/1.1 as it is written down.

use crate::app::Peer;
use crate::support::INSTANCE;
use caution_steve::http::{Decoder, Encoder, Fields, Part, RequestHead, ResponseHead};
use caution_steve::{
    AttestedKey, Bundle, ClientHandshake, ClientRandom, ClientSession, EpochClaims, Kind, Opener,
    RecordError, SealedError, Sealer, context_hash, decode_key_configs, key_configs_hash,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// A response outside the tunnel.
#[derive(Debug)]
pub(crate) struct Outer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Outer {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.lines().any(|it| it == line)
    }

    pub(crate) fn problem(&self) -> (u16, &str) {
        let body = std::str::from_utf8(&self.body).unwrap();
        assert!(self.has("content-type: application/problem+json"), "{self:?}");
        assert!(self.has("cache-control: no-store, no-transform"), "{self:?}");
        (self.status, body.strip_prefix(r#"{"type":"urn:steve:"#).unwrap().split('"').next().unwrap())
    }
}

/// One request on a connection of its own, head and body as they are.
pub(crate) async fn ask(to: SocketAddr, head: &str, body: &[u8]) -> Outer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head =
        format!("{head}\r\nhost: app.example\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    outer(&mut Peer::new(stream)).await
}

/// POST of a type.
pub(crate) async fn post(to: SocketAddr, path: &str, kind: &str, body: &[u8]) -> Outer {
    ask(to, &format!("POST /.well-known/steve/{path} HTTP/1.1\r\ncontent-type: {kind}"), body).await
}

async fn outer(peer: &mut Peer) -> Outer {
    let head = peer.head().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        while let Some(chunk) = peer.chunk().await.filter(|chunk| !chunk.is_empty()) {
            body.extend_from_slice(&chunk);
        }
    } else {
        body = peer.rest().await;
    }
    Outer { status, head, body }
}

pub(crate) struct Client {
    pub(crate) to: SocketAddr,
    pub(crate) session: ClientSession,
    pub(crate) hello: Vec<u8>,
}

pub(crate) fn attested(bundle: &[u8]) -> (AttestedKey, EpochClaims, Vec<u8>) {
    let bundle = Bundle::from_bytes(bundle).unwrap();
    let mut claims = (1..=bundle.document.len()).rev();
    let (claims, nonce) = claims
        .find_map(|at| Some((EpochClaims::from_bytes(&bundle.document[..at])?, &bundle.document[at..])))
        .unwrap();
    let key_configs_hash = key_configs_hash(&bundle.key_configs);
    assert_eq!(claims.key_configs_hash, key_configs_hash);
    let config = decode_key_configs(&bundle.key_configs).unwrap().remove(0);
    (AttestedKey { config, key_configs_hash, instance: INSTANCE }, claims, nonce.to_vec())
}

pub(crate) fn greet(key: &AttestedKey) -> (ClientHandshake, Vec<u8>) {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let seed = SEED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let random = ClientRandom {
        encapsulate: Zeroizing::new(std::array::from_fn(|at| seed[at % 8] ^ 0x20)),
        ephemeral: Zeroizing::new(std::array::from_fn(|at| seed[at % 8] ^ 0x40)),
        hello: std::array::from_fn(|at| seed[at % 8]),
    };
    ClientHandshake::start(key, &context_hash("app.example", b""), 65_536, &random).unwrap()
}

pub(crate) async fn evidence(to: SocketAddr) -> AttestedKey {
    let outer = ask(to, "GET /.well-known/steve/evidence HTTP/1.1", b"").await;
    assert_eq!(outer.status, 200, "{outer:?}");
    attested(&outer.body).0
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::with(to, &evidence(to).await).await
    }

    pub(crate) async fn with(to: SocketAddr, key: &AttestedKey) -> Self {
        let (handshake, hello) = greet(key);
        let outer = post(to, "session", "application/steve-hello", &hello).await;
        assert_eq!(outer.status, 200, "{outer:?}");
        Self { to, session: handshake.finish(&outer.body).unwrap(), hello }
    }

    /// A whole request in one record, as bytes of the outer body.
    pub(crate) fn sealed(&mut self, message: &[u8]) -> (Vec<u8>, Opener) {
        let (mut bytes, mut sealer, opener) = self.session.exchange().unwrap();
        sealer.seal(Kind::Data, message, true, &mut bytes);
        (bytes, opener)
    }

    /// A request and what came of it.
    pub(crate) async fn request(&mut self, head: &RequestHead, content: &[u8], trailers: &Fields) -> Answer {
        let (bytes, opener) = self.sealed(&message(head, content, trailers));
        let outer = post(self.to, "x", "application/steve-req", &bytes).await;
        assert_eq!(outer.status, 200, "{outer:?}");
        assert!(
            outer.has("content-type: application/steve-res") && outer.has("incremental: ?1"),
            "{outer:?}"
        );
        Answer::read(opener, &outer.body).unwrap()
    }

    /// A request that goes on after its head, once the response to it has begun.
    pub(crate) async fn posting(&mut self) -> Streaming {
        let mut streaming = self.stream().await;
        streaming.head(&head("POST", "/", &[])).await;
        streaming.outer().await;
        streaming
    }

    /// A request that is written as it goes on.
    pub(crate) async fn stream(&mut self) -> Streaming {
        let (header, sealer, opener) = self.session.exchange().unwrap();
        let mut stream = TcpStream::connect(self.to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = "POST /.well-known/steve/x HTTP/1.1\r\nhost: app.example\r\n\
                    content-type: application/steve-req\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut streaming = Streaming {
            peer: Peer::new(stream),
            sealer,
            opener,
            encoder: Encoder::new(),
            decoder: Decoder::response(),
        };
        streaming.bytes(&header).await;
        streaming
    }
}

pub(crate) fn head(method: &str, path: &str, fields: &[(&str, &str)]) -> RequestHead {
    RequestHead {
        method: method.to_owned(),
        scheme: "https".to_owned(),
        authority: "app.example".to_owned(),
        path: path.to_owned(),
        fields: self::fields(fields),
    }
}

pub(crate) fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

pub(crate) fn message(head: &RequestHead, content: &[u8], trailers: &Fields) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    encoder.request(head, &mut bytes).unwrap();
    if !content.is_empty() {
        encoder.content(content, &mut bytes);
    }
    encoder.end(trailers, &mut bytes).unwrap();
    bytes
}

/// What was in the tunnel.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) heads: Vec<ResponseHead>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    pub(crate) error: Option<SealedError>,
    pub(crate) records: Vec<(Kind, usize)>,
}

impl Answer {
    pub(crate) fn read(mut opener: Opener, stream: &[u8]) -> Result<Self, RecordError> {
        let (mut answer, mut decoder) = (Self::default(), Decoder::response());
        opener.feed(stream)?;
        while let Some(record) = opener.end()? {
            answer.records.push((record.kind, record.content.len()));
            match record.kind {
                Kind::Error => answer.error = Some(SealedError::from_bytes(&record.content)?),
                Kind::Data => decoder.feed(&record.content),
                _ => {}
            }
            while let Some(part) = decoder.next_part().unwrap() {
                match part {
                    Part::Response(head) => answer.heads.push(head),
                    Part::Content(bytes) => answer.content.extend(bytes),
                    Part::End(trailers) => answer.trailers = Some(trailers),
                    Part::Request(_) => panic!("a request"),
                }
            }
        }
        assert!(answer.error.is_some() || answer.trailers.is_some(), "no end: {answer:?}");
        Ok(answer)
    }

    /// The code of the sealed error, and whether the app may have acted.
    pub(crate) fn failure(&self) -> (&str, bool) {
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error: {self:?}"));
        (error.code.name(), error.executed)
    }
}

/// An exchange under way.
pub(crate) struct Streaming {
    pub(crate) peer: Peer,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) encoder: Encoder,
    decoder: Decoder,
}

impl Streaming {
    /// Bytes of the outer body.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.peer.stream.write_all(&chunk).await.unwrap();
    }

    pub(crate) async fn record(&mut self, content: &[u8], last: bool) {
        let mut bytes = Vec::new();
        self.sealer.seal(Kind::Data, content, last, &mut bytes);
        self.bytes(&bytes).await;
    }

    pub(crate) async fn head(&mut self, head: &RequestHead) {
        let mut bytes = Vec::new();
        self.encoder.request(head, &mut bytes).unwrap();
        self.record(&bytes, false).await;
    }

    pub(crate) async fn content(&mut self, content: &[u8]) {
        let mut bytes = Vec::new();
        self.encoder.content(content, &mut bytes);
        self.record(&bytes, false).await;
    }

    pub(crate) async fn end(&mut self) {
        let mut bytes = Vec::new();
        self.encoder.end(&Fields::new(), &mut bytes).unwrap();
        self.record(&bytes, true).await;
        self.peer.stream.write_all(b"0\r\n\r\n").await.unwrap();
    }

    /// The head of the outer response.
    pub(crate) async fn outer(&mut self) {
        let head = self.peer.head().await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }

    /// The next record; none at the end of the outer body, an error where it was cut.
    pub(crate) async fn next(&mut self) -> Result<Option<(Kind, Vec<u8>, bool)>, RecordError> {
        loop {
            if let Some(record) = self.opener.next_record()? {
                return Ok(Some((record.kind, record.content, record.last)));
            }
            match self.peer.chunk().await {
                Some(bytes) if !bytes.is_empty() => self.opener.feed(&bytes)?,
                Some(_) => {
                    return Ok(self.opener.end()?.map(|record| (record.kind, record.content, record.last)));
                }
                None => return Err(RecordError::Truncated),
            }
        }
    }

    /// The next part of the response.
    pub(crate) async fn part(&mut self) -> Part {
        loop {
            if let Some(part) = self.decoder.next_part().unwrap() {
                return part;
            }
            let (kind, content, _) = self.next().await.unwrap().unwrap();
            match kind {
                Kind::Data => self.decoder.feed(&content),
                Kind::Pad => {}
                kind => panic!("{kind:?} {:?}", SealedError::from_bytes(&content)),
            }
        }
    }
}
