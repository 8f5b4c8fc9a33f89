//! Connections to the app. Those of exchanges are kept for a moment, for others of the same session.

use crate::Settings;
use crate::body::{Pipe, Work, beside};
use bytes::Bytes;
use caution_steve::SessionId;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What the app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    H2c,
}

/// A connection that takes one request at a time; its work has to be done meanwhile.
pub(crate) struct Connection<B> {
    sender: Sender<B>,
    /// What moves its bytes.
    pub(crate) work: Work,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    H2c(http2::SendRequest<B>),
}

/// Connects; nothing where nobody takes it in time.
pub(crate) async fn connect<B>(
    address: SocketAddr,
    protocol: Protocol,
    patience: Duration,
) -> Option<Connection<B>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connected = async {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let stream = TokioIo::new(stream);
        Some(match protocol {
            Protocol::Http1 => {
                let (sender, connection) =
                    http1::Builder::new().max_headers(MAX_FIELDS).handshake(stream).await.ok()?;
                // Why it ended, the response says.
                let connection = connection.with_upgrades();
                Connection {
                    sender: Sender::Http1(sender),
                    work: Work::new(async { drop(connection.await) }),
                }
            }
            Protocol::H2c => {
                let (sender, connection) =
                    http2::Builder::new(TokioExecutor::new()).handshake(stream).await.ok()?;
                Connection { sender: Sender::H2c(sender), work: Work::new(async { drop(connection.await) }) }
            }
        })
    };
    timeout(patience, connected).await.ok().flatten()
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Takes the connection apart: its work, and its one request under way.
    pub(crate) fn send(
        self,
        mut request: Request<B>,
    ) -> (Work, impl Future<Output = hyper::Result<Response<Incoming>>> + Send) {
        let Self { mut sender, work } = self;
        frame(&sender, &mut request);
        let response = async move {
            match &mut sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::H2c(sender) => sender.send_request(request).await,
            }
        };
        (work, response)
    }

    /// A request that does not take the connection apart. Where nothing of it was written, the error has it.
    async fn ask(&mut self, request: Request<B>) -> Result<Response<Incoming>, TrySendError<Request<B>>> {
        let Self { sender, work } = self;
        match sender {
            Sender::Http1(sender) => beside(work, sender.try_send_request(request)).await,
            Sender::H2c(sender) => beside(work, sender.try_send_request(request)).await,
        }
    }

    /// Whether it takes another request. Nobody does its work while it waits, so this looks what became of it.
    fn is_ready(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let is_over = Pin::new(&mut self.work).poll(&mut context).is_ready();
        let is_ready = match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::H2c(sender) => sender.is_ready(),
        };
        is_ready && !is_over
    }
}

/// Without it hyper takes what it knows no length of for empty where the method is GET or HEAD, and says nothing.
fn frame<B: Body>(sender: &Sender<B>, request: &mut Request<B>) {
    if matches!(sender, Sender::Http1(_))
        && request.body().size_hint().exact().is_none()
        && !request.headers().contains_key(CONTENT_LENGTH)
    {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Connections that wait for another request of their session.
///
/// Never of another one: where an app's messages are not as long as they say, what is left of one client's
/// response must not become the beginning of another's.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Idle>>);

struct Idle {
    since: Instant,
    session: SessionId,
    connection: Connection<Pipe>,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoResponse {
    /// The app was sent nothing.
    Unsent,
    /// It broke off.
    Broken,
}

impl Pool {
    /// Sends a request once: on a connection of its session that waits, else on a new one.
    pub(crate) async fn send(
        &self,
        settings: &Settings,
        session: SessionId,
        mut request: Request<Pipe>,
    ) -> Result<(Response<Incoming>, Connection<Pipe>), NoResponse> {
        let mut kept = self.take(settings.limits.upstream_idle, session);
        loop {
            let is_kept = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => connect(settings.app, settings.protocol, settings.limits.patience)
                    .await
                    .ok_or(NoResponse::Unsent)?,
            };
            frame(&connection.sender, &mut request);
            match connection.ask(request).await {
                Ok(response) => return Ok((response, connection)),
                // The app has closed what waited, before anything was written: as if it had not been there.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if is_kept => request = unsent,
                    Some(_) => return Err(NoResponse::Unsent),
                    None => return Err(NoResponse::Broken),
                },
            }
        }
    }

    /// Keeps a connection whose response has ended, where it takes another request.
    pub(crate) fn give(&self, settings: &Settings, session: SessionId, mut connection: Connection<Pipe>) {
        let limits = &settings.limits;
        if limits.upstream_kept == 0 || !connection.is_ready() {
            return;
        }
        self.sweep(limits.upstream_idle);
        let mut idle = self.lock();
        if idle.len() >= limits.upstream_kept {
            idle.remove(0);
        }
        idle.push(Idle { since: Instant::now(), session, connection });
    }

    /// Closes the connections that have waited long enough.
    pub(crate) fn sweep(&self, most: Duration) {
        let now = Instant::now();
        self.lock().retain(|idle| now < idle.since + most);
    }

    /// The one of this session that was used last, if it is still there.
    fn take(&self, most: Duration, session: SessionId) -> Option<Connection<Pipe>> {
        self.sweep(most);
        loop {
            let mut waiting = self.lock();
            let at = waiting.iter().rposition(|idle| idle.session == session)?;
            let mut connection = waiting.remove(at).connection;
            drop(waiting);
            if connection.is_ready() {
                return Some(connection);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as a message of STEVE has.
const MAX_FIELDS: usize = caution_steve::http::MAX_FIELDS;
