//! A WebSocket through the tunnel: records in the client's, messages in the app's.

use crate::alarm::Alarm;
use crate::begin::{Started, begin_socket};
use crate::body::{Pipe, Sink, Work, beside};
use crate::exchange::{BROKEN, BUSY, Failure, Silence, TOO_LONG, content_of};
use crate::inbound::Broken;
use crate::outbound::Outbound;
use crate::outer::Problem;
use crate::request;
use crate::server::Shared;
use crate::socket::{AppWriter, Messages, Pieces, pump};
use crate::upgrade::is_answer;
use crate::upstream::{self, Protocol};
use caution_steve::http::{Decoder, Fields, Part, RequestHead};
use caution_steve::websocket::{MAX_CONTROL, Opcode, Piece, Sender, is_close, key_of, write_frame};
use caution_steve::{Kind, Opener, Record, SealedCode, Suite};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::io::split;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The work of a connection that has become a WebSocket.
pub(crate) async fn run(shared: Arc<Shared>, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let (from, to) = split(TokioIo::new(upgraded));
    let (sink, pipe) = Pipe::new();
    let messages = Messages::new(from, sink.another());
    let mut pump = Work::new(pump(pipe, to));
    beside(&mut pump, serve(&shared, messages, sink)).await;
    // What was said last, unless nobody takes it.
    let _ = timeout(shared.settings.limits.patience, pump).await;
}

async fn serve(shared: &Arc<Shared>, mut messages: Messages, sink: Sink) {
    let limits = &shared.settings.limits;
    let started = match timeout(limits.patience, messages.next()).await {
        Ok(Ok(first)) => begin_socket(shared, &first),
        _ => Err(Problem::Malformed),
    };
    let Started { begun, turn, .. } = match started {
        Ok(started) => started,
        Err(problem) => return refuse(problem, sink).await,
    };
    let mut outbound = Outbound::socket(begun.sealer, sink);
    let Some(_turn) = turn else { return outbound.fail(&BUSY).await };
    let exchange = exchange(shared, &begun.first, Up::new(messages, begun.opener), &mut outbound);
    let outcome = timeout(limits.exchange, Box::pin(exchange)).await.unwrap_or(Err(TOO_LONG));
    let last = async {
        match outcome {
            Ok(End::Closed) => outbound.close().await,
            Ok(End::Message(trailers)) => drop(outbound.end(&trailers).await),
            Err(failure) => failure.say(outbound).await,
        }
    };
    // Who does not take even that has no end.
    let _ = timeout(limits.patience, last).await;
}

/// Says outside why nothing has begun: a close with the problem's name.
async fn refuse(problem: Problem, sink: Sink) {
    let reason = [&POLICY.to_be_bytes()[..], problem.code().1.as_bytes()].concat();
    let mut close = Vec::new();
    write_frame(Opcode::Close, true, &reason, None, &mut close);
    if sink.data(close.into()).await {
        sink.end(HeaderMap::new()).await;
    }
}

/// How a WebSocket's exchange ended.
enum End {
    /// Closed by both, and the last record is sent.
    Closed,
    /// The app answered with a message, whose trailers these are.
    Message(Fields),
}

/// The first that is there of two.
enum First<A, B> {
    Up(A),
    Down(B),
}

async fn first<A, B>(
    mut up: Pin<&mut impl Future<Output = A>>,
    mut down: Pin<&mut impl Future<Output = B>>,
) -> First<A, B> {
    poll_fn(|context| match up.as_mut().poll(context) {
        Poll::Ready(up) => Poll::Ready(First::Up(up)),
        Poll::Pending => down.as_mut().poll(context).map(First::Down),
    })
    .await
}

async fn exchange(
    shared: &Arc<Shared>,
    opening: &Record,
    up: Up,
    outbound: &mut Outbound,
) -> Result<End, Failure> {
    let settings = &shared.settings;
    let mut nonce = [0; 16];
    shared.enclave.random(&mut nonce);
    let key = key_of(&nonce);
    let request = opened(opening, &key, settings.suite);
    let request = request.ok_or(Failure::Say(SealedCode::HeadInvalid, false))?;
    let connection = upstream::connect(settings.app, Protocol::Http1, settings.limits.patience)
        .await
        .ok_or(Failure::Say(SealedCode::UpstreamUnavailable, false))?;
    let (work, response) = connection.send(request);
    let (opened, writer) = oneshot::channel();
    // From the start, so that who goes away while the app thinks is noticed.
    let mut up = pin!(up.run(writer));
    let down = Down { shared, key: &key, outbound };
    let mut down = pin!(beside(work, down.run(response, opened)));
    let patience = settings.limits.patience;
    match first(up.as_mut(), down.as_mut()).await {
        First::Up(Err(broken)) => Err(Failure::of(broken, true)),
        First::Up(Ok(())) => timeout(patience, down).await.unwrap_or(Err(TOO_LONG)),
        First::Down(Ok(End::Closed)) => {
            // The client's own close is the app's to hear, where it comes.
            let _ = timeout(patience, up).await;
            Ok(End::Closed)
        }
        First::Down(outcome) => outcome,
    }
}

/// The app's request in the first record, which is a whole message without content.
fn opened(opening: &Record, key: &str, suite: Suite) -> Option<Request<Pipe>> {
    if opening.kind != Kind::WsOpen || opening.last {
        return None;
    }
    let mut decoder = Decoder::request();
    decoder.feed(&opening.content);
    let head: RequestHead = match decoder.next_part() {
        Ok(Some(Part::Request(head))) => head,
        _ => return None,
    };
    match decoder.next_part() {
        Ok(Some(Part::End(trailers))) if trailers.is_empty() => {}
        _ => return None,
    }
    // Nothing may follow.
    decoder.next_part().ok()?;
    request::to_app_socket(&head, key, suite)
}

/// What the client says, on its way to the app.
struct Up {
    messages: Messages,
    opener: Opener,
    /// Of the message that has begun: whether it is text.
    message: Option<bool>,
}

impl Up {
    fn new(messages: Messages, opener: Opener) -> Self {
        Self { messages, opener, message: None }
    }

    /// Until the client has closed and ended.
    async fn run(mut self, writer: oneshot::Receiver<AppWriter>) -> Result<(), Broken> {
        let mut waiting = Some(writer);
        let mut writer = None;
        let mut closed = false;
        loop {
            let message = self.messages.next().await.map_err(|_| Broken::Cut)?;
            let record = self.opener.message(&message)?;
            if record.kind == Kind::Reset || record.kind == Kind::Error {
                return Err(Broken::Cut);
            }
            if record.kind != Kind::Pad {
                let (opcode, fin) = self.frame(&record).filter(|_| !closed).ok_or(Broken::Invalid)?;
                closed = opcode == Opcode::Close;
                if let Some(coming) = waiting.take() {
                    writer = coming.await.ok();
                }
                let taken = match &mut writer {
                    Some(writer) => writer.frame(opcode, fin, &record.content).await,
                    None => false,
                };
                if !taken && !closed {
                    // What the app says instead is the other direction's.
                    pending::<()>().await;
                }
            }
            match (record.last, closed) {
                (true, true) => return Ok(()),
                (true, false) => return Err(Broken::Cut),
                (false, _) => {}
            }
        }
    }

    /// The frame that a record is; nothing where it has no place here.
    fn frame(&mut self, record: &Record) -> Option<(Opcode, bool)> {
        let part = |text: bool, more: bool| {
            let opcode = match self.message {
                None if text => Opcode::Text,
                None => Opcode::Binary,
                Some(begun) if begun == text => Opcode::More,
                Some(_) => return None,
            };
            Some((opcode, !more, more.then_some(text)))
        };
        let short = record.content.len() <= MAX_CONTROL;
        let (opcode, fin, message) = match record.kind {
            Kind::WsText { more } => part(true, more)?,
            Kind::WsBinary { more } => part(false, more)?,
            Kind::WsClose if is_close(&record.content) => (Opcode::Close, true, None),
            Kind::Ping if short => (Opcode::Ping, true, self.message),
            Kind::Pong if short => (Opcode::Pong, true, self.message),
            _ => return None,
        };
        self.message = message;
        Some((opcode, fin))
    }
}

/// What the app says, on its way to the client.
struct Down<'a> {
    shared: &'a Shared,
    key: &'a str,
    outbound: &'a mut Outbound,
}

impl Down<'_> {
    async fn run(
        mut self,
        response: impl Future<Output = hyper::Result<Response<Incoming>>>,
        opened: oneshot::Sender<AppWriter>,
    ) -> Result<End, Failure> {
        let silence = self.shared.settings.limits.silence;
        let mut response = pin!(response);
        let mut response = loop {
            match timeout(silence, response.as_mut()).await {
                Err(_) => self.outbound.pad().await?,
                Ok(response) => break response.map_err(|_| BROKEN)?,
            }
        };
        let head = request::from_app(response.status(), response.headers());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            drop(opened);
            self.outbound.head(&head).map_err(|_| BROKEN)?;
            let silence = Silence { alarm: &Alarm::default(), limit: silence };
            let trailers = content_of(response.into_body(), self.outbound, silence).await?;
            return Ok(End::Message(request::to_fields(&trailers)));
        }
        if !is_answer(response.headers(), self.key) {
            return Err(BROKEN);
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(|_| BROKEN)?;
        let (from, to) = split(TokioIo::new(upgraded));
        self.outbound.head(&without_ours(head)).map_err(|_| BROKEN)?;
        self.outbound.flush().await?;
        // Nobody takes it where the client has gone already.
        let _ = opened.send(AppWriter::new(to, Arc::clone(&self.shared.enclave)));
        self.relay(Pieces::new(from, Sender::Server)).await
    }

    /// Until the app has closed. What it did not close, it broke off.
    async fn relay(&mut self, mut pieces: Pieces) -> Result<End, Failure> {
        loop {
            let Ok(piece) = timeout(self.shared.settings.limits.silence, pieces.next()).await else {
                self.outbound.pad().await?;
                continue;
            };
            match piece.map_err(|_| BROKEN)? {
                Piece::Data { text: true, content, end } => {
                    self.outbound.say(Kind::WsText { more: !end }, &content).await?;
                }
                Piece::Data { text: false, content, end } => {
                    self.outbound.say(Kind::WsBinary { more: !end }, &content).await?;
                }
                Piece::Ping(content) => self.outbound.say(Kind::Ping, &content).await?,
                Piece::Pong(content) => self.outbound.say(Kind::Pong, &content).await?,
                Piece::Close(content) => {
                    self.outbound.closing(&content).await?;
                    return Ok(End::Closed);
                }
            }
        }
    }
}

/// The head of the switch, without what answered our own key.
fn without_ours(mut head: caution_steve::http::ResponseHead) -> caution_steve::http::ResponseHead {
    head.fields.retain(|(name, _)| name != "sec-websocket-accept");
    head
}

/// Closes a WebSocket whose peer broke a rule (RFC 6455, section 7.4.1).
const POLICY: u16 = 1008;
