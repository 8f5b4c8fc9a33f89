//! WebSockets of tests: the client's, whose messages are records, and the app's, frame by frame.

use crate::app::{App, Peer};
use crate::client::{Client, fields, head, message};
use caution_steve::http::{Decoder, Part, ResponseHead};
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, accept_of, write_frame};
use caution_steve::{Kind, Opener, Record, SealedError, Sealer};
use std::future::Future;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// One end of a WebSocket.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    reader: FrameReader,
    mask: Option<[u8; 4]>,
}

impl Wire {
    fn new(peer: Peer, hears: Sender) -> Self {
        let (stream, bytes) = peer.into_parts();
        let mut reader = FrameReader::new(hears);
        reader.feed(&bytes);
        Self { stream, reader, mask: (hears == Sender::Server).then_some([9, 8, 7, 6]) }
    }

    /// False where nobody reads it any more.
    pub(crate) async fn send(&mut self, opcode: Opcode, fin: bool, content: &[u8]) -> bool {
        let mut bytes = Vec::new();
        write_frame(opcode, fin, content, self.mask, &mut bytes);
        self.stream.write_all(&bytes).await.is_ok()
    }

    /// The next piece; none where the connection ends.
    pub(crate) async fn piece(&mut self) -> Option<Piece> {
        loop {
            if let Some(piece) = self.reader.next_piece().unwrap() {
                return Some(piece);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await {
                Ok(read @ 1..) => self.reader.feed(&bytes[..read]),
                _ => return None,
            }
        }
    }

    /// The next message as a whole, or what is none.
    pub(crate) async fn message(&mut self) -> Option<Piece> {
        let mut whole = Vec::new();
        loop {
            match self.piece().await? {
                Piece::Data { text, content, end } => {
                    whole.extend(content);
                    if end {
                        return Some(Piece::Data { text, content: whole, end });
                    }
                }
                other => return Some(other),
            }
        }
    }
}

/// An app that takes every WebSocket; `serve` gets the head of its request, too.
pub(crate) async fn app<F, Fut>(serve: F) -> App
where
    F: Fn(String, Wire) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    App::new(move |mut peer| {
        let serve = serve.clone();
        async move {
            let head = peer.until(b"\r\n\r\n").await;
            let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
                accept_of(key.as_bytes()).unwrap()
            );
            peer.write(&answer).await;
            serve(head, Wire::new(peer, Sender::Client)).await;
        }
    })
    .await
}

/// Says everything again until it hears a close, which it answers.
pub(crate) async fn echo(_head: String, mut wire: Wire) {
    while let Some(piece) = wire.message().await {
        let goes_on = match piece {
            Piece::Data { text: true, content, .. } => wire.send(Opcode::Text, true, &content).await,
            Piece::Data { text: false, content, .. } => {
                let (half, rest) = content.split_at(content.len() / 2);
                wire.send(Opcode::Binary, false, half).await && wire.send(Opcode::More, true, rest).await
            }
            Piece::Ping(content) => wire.send(Opcode::Pong, true, &content).await,
            Piece::Pong(_) => true,
            Piece::Close(content) => {
                wire.send(Opcode::Close, true, &content).await;
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// An outer WebSocket on which nothing was said yet.
pub(crate) async fn outer(to: SocketAddr, origin: &str) -> Wire {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let ask = format!(
        "GET /.well-known/steve/ws HTTP/1.1\r\nhost: app.example\r\norigin: {origin}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: steve3\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut peer = Peer::new(stream);
    let head = peer.until(b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert!(head.contains("sec-websocket-protocol: steve3") && head.contains("no-store"), "{head}");
    Wire::new(peer, Sender::Server)
}

/// A WebSocket through the tunnel.
pub(crate) struct Tunnel {
    pub(crate) wire: Wire,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// The first message of one: header, and a chunk of type 15.
pub(crate) fn first(client: &mut Client, path: &str) -> (Vec<u8>, Sealer, Opener) {
    let (mut bytes, mut sealer, opener) = client.session.exchange().unwrap();
    let fields =
        [("sec-websocket-protocol", "chat"), ("x-forwarded-for", "1.2.3.4"), ("origin", "https://a")];
    let request = message(&head("GET", path, &fields), b"", &crate::client::fields(&[]));
    sealer.seal(Kind::WsOpen, &request, false, &mut bytes);
    (bytes, sealer, opener)
}

impl Tunnel {
    pub(crate) async fn open(client: &mut Client, path: &str) -> Self {
        let (bytes, sealer, opener) = first(client, path);
        let mut wire = outer(client.to, "https://app.example").await;
        assert!(wire.send(Opcode::Binary, true, &bytes).await);
        Self { wire, sealer, opener }
    }

    /// The same, once the app has switched.
    pub(crate) async fn opened(client: &mut Client, path: &str) -> Self {
        let mut tunnel = Self::open(client, path).await;
        let (head, _) = tunnel.head().await;
        assert_eq!((head.status, head.fields), (101, fields(&[("sec-websocket-protocol", "chat")])));
        tunnel
    }

    pub(crate) fn sealed(&mut self, kind: Kind, content: &[u8], last: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.sealer.seal(kind, content, last, &mut bytes);
        bytes
    }

    pub(crate) async fn say(&mut self, kind: Kind, content: &[u8], last: bool) -> bool {
        let bytes = self.sealed(kind, content, last);
        self.wire.send(Opcode::Binary, true, &bytes).await
    }

    /// The next record; none at the outer WebSocket's end.
    pub(crate) async fn hear(&mut self) -> Option<Record> {
        match self.wire.message().await? {
            Piece::Data { text: false, content, .. } => Some(self.opener.message(&content).unwrap()),
            _ => None,
        }
    }

    /// The next message, put together.
    pub(crate) async fn whole(&mut self) -> (bool, Vec<u8>) {
        let mut whole = Vec::new();
        loop {
            let record = self.hear().await.unwrap();
            whole.extend(&record.content);
            match record.kind {
                Kind::WsText { more: false } => return (true, whole),
                Kind::WsBinary { more: false } => return (false, whole),
                Kind::WsText { .. } | Kind::WsBinary { .. } => {}
                kind => panic!("{kind:?}"),
            }
        }
    }

    /// The app's answer, and its content where it is a whole message.
    pub(crate) async fn head(&mut self) -> (ResponseHead, Vec<u8>) {
        let (mut decoder, mut found, mut content) = (Decoder::response(), None, Vec::new());
        loop {
            let record = self.hear().await.unwrap();
            assert_eq!(record.kind, Kind::Data, "{:?}", SealedError::from_bytes(&record.content));
            decoder.feed(&record.content);
            while let Some(part) = decoder.next_part().unwrap() {
                match part {
                    Part::Response(head) if head.status == 101 => return (head, content),
                    Part::Response(head) => found = Some(head),
                    Part::Content(bytes) => content.extend(bytes),
                    Part::End(_) => assert!(record.last),
                    Part::Request(_) => panic!("a request"),
                }
            }
            if record.last {
                return (found.unwrap(), content);
            }
        }
    }

    /// The sealed error that comes after what there is of a response, and whether the app may have acted.
    pub(crate) async fn failure(&mut self) -> (&'static str, bool) {
        loop {
            let record = self.hear().await.unwrap();
            if !matches!(record.kind, Kind::Pad | Kind::Data) {
                assert!(record.kind == Kind::Error && record.last, "{record:?}");
                let error = SealedError::from_bytes(&record.content).unwrap();
                return (error.code.name(), error.executed);
            }
        }
    }
}

/// Why the outer WebSocket was closed.
pub(crate) async fn refusal(wire: &mut Wire) -> String {
    match wire.piece().await {
        Some(Piece::Close(content)) => {
            assert_eq!(content[..2], 1008_u16.to_be_bytes());
            String::from_utf8(content[2..].to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// An app that says how its client ended.
pub(crate) async fn ending() -> (App, mpsc::UnboundedReceiver<Vec<Piece>>) {
    let (said, heard) = mpsc::unbounded_channel();
    let app = app(move |_, mut wire| {
        let said = said.clone();
        async move {
            let mut pieces = Vec::new();
            while let Some(piece) = wire.message().await {
                pieces.push(piece);
            }
            let _ = said.send(pieces);
        }
    })
    .await;
    (app, heard)
}
