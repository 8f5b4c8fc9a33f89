//! The app, and a plain reverse proxy in front of it: what steved is measured beside.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as client;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// So many bytes, a piece at a time; or events, each of which says when it was made.
pub(crate) enum Content {
    Bytes { piece: Bytes, left: u64 },
    Events { every: Interval, from: Instant, left: u32 },
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Bytes { left: 0, .. } | Self::Events { left: 0, .. } => Poll::Ready(None),
            Self::Bytes { piece, left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= taken as u64;
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..taken)))))
            }
            Self::Events { every, from, left } => every.poll_tick(context).map(|_| {
                *left -= 1;
                let event = format!("data: {:020}\n\n", from.elapsed().as_nanos());
                Some(Ok(Frame::data(event.into())))
            }),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes { left, .. } => SizeHint::with_exact(*left),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}

/// Answers `/<bytes>` with so many, and `/events/<count>` with events, whatever it is sent.
pub(crate) async fn app(listener: TcpListener, from: Instant) {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let piece = piece.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let piece = piece.clone();
            async move {
                let (head, mut body) = request.into_parts();
                while poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.is_some() {}
                let number = head.uri.path().rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
                let number = number.unwrap_or(0);
                let mut response = if head.uri.path().starts_with("/events/") {
                    let mut every = interval(Duration::from_millis(2));
                    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    Response::new(Content::Events { every, from, left: u32::try_from(number).unwrap_or(0) })
                } else {
                    Response::new(Content::Bytes { piece, left: number })
                };
                if head.uri.path().starts_with("/events/") {
                    response
                        .headers_mut()
                        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let _ = stream.set_nodelay(true);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// Passes requests on as they are, with what any reverse proxy before an app in an enclave has to have, and steved has:
/// limits of the time of a head and of an exchange and of a head's size and fields, connections to the app that wait
/// a second for another request, and none of the fields of a connection. Unlike steved it leaves a client that does not
/// read to itself, does not wait for the app with a limit of its own for silence, and gives any client any connection that waits.
pub(crate) async fn proxy(listener: TcpListener, app: SocketAddr, keep_alive: bool) {
    let pool: Rc<RefCell<Vec<Kept>>> = Rc::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        let pool = Rc::clone(&pool);
        tokio::task::spawn_local(async move {
            let pass = service_fn(|request| {
                let pool = Rc::clone(&pool);
                async move {
                    timeout(EXCHANGE, pass(&pool, app, keep_alive, request)).await.map_err(|_| "too long")?
                }
            });
            let server = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(64 * 1024)
                .serve_connection(TokioIo::new(stream), pass);
            let _ = server.await;
        });
    }
}

/// A connection to the app, and since when it waits.
struct Kept {
    since: Instant,
    sender: client::SendRequest<Incoming>,
}

async fn pass(
    pool: &RefCell<Vec<Kept>>,
    app: SocketAddr,
    keep_alive: bool,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, &'static str> {
    let kept = {
        let mut pool = pool.borrow_mut();
        let now = Instant::now();
        pool.retain(|kept| !kept.sender.is_closed() && now < kept.since + UPSTREAM_IDLE);
        pool.iter().rposition(|kept| kept.sender.is_ready()).map(|at| pool.remove(at).sender)
    };
    let mut sender = match kept {
        Some(sender) => sender,
        None => connect(app).await.ok_or("the app is gone")?,
    };
    let (head, body) = request.into_parts();
    let mut passed = Request::new(body);
    (*passed.method_mut(), *passed.uri_mut()) = (head.method, head.uri);
    *passed.headers_mut() = of_no_connection(head.headers);
    let response = sender.send_request(passed).await.map_err(|_| "the app is gone")?;
    if keep_alive {
        pool.borrow_mut().push(Kept { since: Instant::now(), sender });
    }
    let (mut head, body) = response.into_parts();
    head.headers = of_no_connection(head.headers);
    Ok(Response::from_parts(head, body))
}

async fn connect(app: SocketAddr) -> Option<client::SendRequest<Incoming>> {
    let stream = timeout(PATIENCE, TcpStream::connect(app)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = client::Builder::new()
        .max_headers(caution_steve::http::MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection);
    Some(sender)
}

fn of_no_connection(mut headers: HeaderMap) -> HeaderMap {
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade", "te"] {
        headers.remove(name);
    }
    headers
}

const IDLE: Duration = Duration::from_mins(3);
const EXCHANGE: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(10);
const UPSTREAM_IDLE: Duration = Duration::from_secs(1);
