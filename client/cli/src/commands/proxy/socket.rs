//! WebSockets: the messages of a program of this machine, into the enclave and back.

use super::{Answer, failed, of_this_connection, refusal};
use caution_sdk::http::header::{
    HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
};
use caution_sdk::http::{Request, Response, StatusCode};
use caution_sdk::{Client, Error, Message, WebSocket, WebSocketReceiver, WebSocketSender};
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, accept_of, write_frame};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Mutex;

/// Both ends of a WebSocket.
pub(super) struct Socket {
    local: OnUpgrade,
    app: WebSocket,
}

/// Asks the application for a WebSocket, and answers who asked here.
pub(super) async fn open(mut request: Request<Incoming>, client: &Client) -> (Answer, Option<Socket>) {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| accept_of(key.as_bytes()));
    let is_known = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let Some(accept) = key.filter(|_| is_known && request.method() == "GET") else {
        let why = "The request for a WebSocket is none of version 13.";
        return (refusal(StatusCode::BAD_REQUEST, why, false), None);
    };
    match asked(&request, client).await {
        Ok(app) => {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", HeaderValue::from_static("upgrade"));
            headers.insert("upgrade", HeaderValue::from_static("websocket"));
            let fields = [(SEC_WEBSOCKET_ACCEPT, Some(&*accept)), (SEC_WEBSOCKET_PROTOCOL, app.protocol())];
            for (name, value) in fields {
                if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                    headers.insert(name, value);
                }
            }
            (response, Some(Socket { local: hyper::upgrade::on(&mut request), app }))
        }
        Err(Error::NoWebSocket(response)) => {
            let (mut parts, body) = response.into_parts();
            of_this_connection(&mut parts.headers);
            let body = Full::new(body).map_err(|never| match never {});
            (Response::from_parts(parts, body.boxed_unsync()), None)
        }
        Err(error) => (failed(&error), None),
    }
}

async fn asked(request: &Request<Incoming>, client: &Client) -> Result<WebSocket, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut socket = client.websocket(path).limit(MOST);
    let mut headers: HeaderMap = request.headers().clone();
    of_this_connection(&mut headers);
    for offered in &headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let offered = offered.to_str().unwrap_or_default().split(',').map(str::trim);
        for name in offered.filter(|name| !name.is_empty()) {
            socket = socket.protocol(name);
        }
    }
    for name in [SEC_WEBSOCKET_PROTOCOL.as_str(), "host", "expect"] {
        headers.remove(name);
    }
    for (name, value) in &headers {
        socket = socket.header(name, value);
    }
    socket.connect().await
}

/// The program is gone, or says what no WebSocket says.
struct Lost;

type Local = Mutex<WriteHalf<TokioIo<Upgraded>>>;

impl Socket {
    /// Passes messages on until both have closed. What one side breaks off is broken off on the other.
    pub(super) async fn relay(self) {
        let Ok(local) = self.local.await else { return };
        let (from, to) = split(TokioIo::new(local));
        let to = Mutex::new(to);
        let (sender, receiver) = self.app.split();
        let mut up = pin!(up(from, &to, &sender));
        let mut down = pin!(down(receiver, &to));
        let mut is_over = false;
        poll_fn(|context| {
            if !is_over && let Poll::Ready(ended) = up.as_mut().poll(context) {
                is_over = true;
                if ended.is_err() {
                    return Poll::Ready(());
                }
            }
            down.as_mut().poll(context)
        })
        .await;
    }
}

/// To the application, until the program closes.
async fn up(mut from: ReadHalf<TokioIo<Upgraded>>, to: &Local, sender: &WebSocketSender) -> Result<(), Lost> {
    let mut reader = FrameReader::new(Sender::Client);
    let mut buffer = vec![0; 16 * 1024];
    let mut message = Vec::new();
    loop {
        match reader.next_piece().map_err(|_| Lost)? {
            Some(Piece::Data { text, content, end }) => {
                if content.len() > MOST - message.len() {
                    return Err(Lost);
                }
                message.extend_from_slice(&content);
                if end {
                    let whole = std::mem::take(&mut message);
                    let message = if text {
                        Message::from(String::from_utf8(whole).map_err(|_| Lost)?)
                    } else {
                        Message::from(whole)
                    };
                    sender.send(message).await.map_err(|_| Lost)?;
                }
            }
            Some(Piece::Ping(content)) => say(to, Opcode::Pong, &content).await?,
            Some(Piece::Pong(_)) => {}
            Some(Piece::Close(content)) => {
                let code = content.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(content.get(2..).unwrap_or_default()).into_owned();
                // Where the application closed first, this is its echo.
                let _ = sender.close(code, &reason).await;
                return Ok(());
            }
            None => match from.read(&mut buffer).await {
                Ok(read @ 1..) => reader.feed(&buffer[..read]),
                _ => return Err(Lost),
            },
        }
    }
}

/// To the program, until the application closes. Without a close the connection just ends.
async fn down(mut receiver: WebSocketReceiver, to: &Local) {
    loop {
        let said = match receiver.recv().await {
            Ok(Some(Message::Text(text))) => say(to, Opcode::Text, text.as_bytes()).await,
            Ok(Some(Message::Binary(bytes))) => say(to, Opcode::Binary, &bytes).await,
            Ok(None) => break,
            Err(_) => return,
        };
        if said.is_err() {
            return;
        }
    }
    let close = receiver.closed().map_or_else(Vec::new, |close| {
        close.code.map_or_else(Vec::new, |code| [&code.to_be_bytes()[..], close.reason.as_bytes()].concat())
    });
    if say(to, Opcode::Close, &close).await.is_ok() {
        // Who is gone needs no end.
        let _ = to.lock().await.shutdown().await;
    }
}

async fn say(to: &Local, opcode: Opcode, content: &[u8]) -> Result<(), Lost> {
    let mut frame = Vec::new();
    write_frame(opcode, true, content, None, &mut frame);
    to.lock().await.write_all(&frame).await.map_err(|_| Lost)
}

/// The longest message, in bytes, either way.
const MOST: usize = 64 * 1024 * 1024;
