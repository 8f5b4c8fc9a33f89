//! Connections, paths, and what has to be done from time to time.

use crate::alarm::Alarm;
use crate::body::Reply;
use crate::hello::{HELLO, Rate};
use crate::keys::{Due, Keys};
use crate::outer::{Origins, Problem, allowing};
use crate::places::{Place, Places};
use crate::seated::{Answer, Stream, Upload};
use crate::sessions::Sessions;
use crate::upstream::Pool;
use crate::{Enclave, Settings, begin, exchange, hello, plain, tunnel, upgrade, v2};
use hyper::header::{ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// STEVE in front of one app.
#[derive(Clone)]
pub struct Steved(Arc<Shared>);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) enclave: Arc<dyn Enclave>,
    pub(crate) keys: Keys,
    pub(crate) sessions: Sessions,
    pub(crate) v2: v2::Sessions,
    pub(crate) upstream: Pool,
    pub(crate) fresh: Rate,
    places: Places,
    pub(crate) origins: Origins,
}

impl Steved {
    /// For these settings; nothing is answered but `starting` before there is a key, which [`Steved::start`] makes.
    pub fn new(settings: Settings, enclave: Arc<dyn Enclave>) -> Self {
        Self(Arc::new(Shared {
            enclave,
            keys: Keys::new(),
            sessions: Sessions::default(),
            v2: v2::Sessions::new(&settings.limits),
            upstream: Pool::default(),
            fresh: Rate::new(),
            places: Places::new(settings.limits.connections),
            origins: Origins::new(&settings.origins),
            settings,
        }))
    }

    /// Makes the first key. What follows is [`Steved::maintain`]'s.
    pub async fn start(&self) -> io::Result<()> {
        self.0.blocking(|shared| shared.keys.rotate(&shared.settings, shared.enclave.as_ref())).await
    }

    /// Keys and evidence for ever, and an end to sessions that are over. An error is the enclave's: it gave
    /// no evidence until there was none any more, or cannot be asked.
    pub async fn maintain(&self) -> io::Error {
        loop {
            self.0.sessions.sweep(&self.0.settings.limits);
            self.0.v2.sweep(&self.0.settings.limits);
            self.0.upstream.sweep(self.0.settings.limits.upstream_idle);
            self.0.places.sweep(self.0.settings.limits.stalled);
            let done = match self.0.keys.due(&self.0.settings) {
                Due::Key => self.start().await,
                Due::Document => {
                    let again =
                        |shared: &Shared| shared.keys.attest_again(&shared.settings, shared.enclave.as_ref());
                    self.0.blocking(again).await
                }
                Due::Nothing(until) => {
                    self.0
                        .keys
                        .wait(until.min(Instant::now() + self.0.settings.limits.stalled / LOOKS))
                        .await;
                    Ok(())
                }
            };
            if let Err(error) = done {
                if !is_refusal(&error) || !self.0.keys.has_evidence(&self.0.settings) {
                    return error;
                }
                // Who refused has said why.
                self.0.keys.wait(Instant::now() + self.0.settings.limits.again).await;
            }
        }
    }

    /// Answers the connections of a listener for ever; returns only when it is broken.
    pub async fn listen(&self, listener: TcpListener) -> io::Error {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Others wait in the listener's queue.
                    let place = self.0.places.take(self.0.settings.limits.patience).await;
                    let steved = self.clone();
                    tokio::spawn(async move {
                        let seat = Arc::clone(place.seat());
                        seat.unless_it_leaves(steved.serve(stream, &place)).await;
                    });
                }
                Err(error) if is_of_a_connection(&error) => {}
                Err(error) if is_exhaustion(&error) => sleep(PAUSE).await,
                Err(error) => return error,
            }
        }
    }

    /// Answers a connection. What goes wrong on it is its peer's matter.
    async fn serve(&self, stream: TcpStream, place: &Place) {
        // A record that waits for another is a token that comes late.
        let _ = stream.set_nodelay(true);
        let seat = place.seat();
        let stream = Stream::new(stream, Arc::clone(seat));
        // What takes the connection over, and so has its place.
        let socket = Mutex::new(None);
        let alarm = Alarm::default();
        let service = service_fn(|request: Request<_>| async {
            let busy = seat.busy();
            let request = request.map(|body| Upload::new(body, Arc::clone(seat)));
            let (response, upgrade) = answer(&self.0, &alarm, request).await;
            if let Some(upgrade) = upgrade {
                *lock(&socket) = Some((upgrade, seat.busy()));
            }
            Ok::<_, Infallible>(response.map(|reply| Answer::new(reply, busy)))
        });
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        let socket = lock(&socket).take();
        if let Some((upgrade, _busy)) = socket {
            tunnel::run(Arc::clone(&self.0), upgrade).await;
        }
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an enclave was asked, and gave no evidence this time.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other
}

/// Whether an accept failed for the connection's own sake.
fn is_of_a_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Whether a later accept can succeed: files or memory are exhausted (accept(2)).
fn is_exhaustion(error: &io::Error) -> bool {
    const EXHAUSTED: [i32; 4] =
        [12 /* ENOMEM */, 23 /* ENFILE */, 24 /* EMFILE */, 105 /* ENOBUFS */];
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

impl Shared {
    /// Does what blocks where blocking is no harm.
    async fn blocking<T, F>(self: &Arc<Self>, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> io::Result<T> + Send + 'static,
    {
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(io::Error::other)?
    }
}

/// A path of STEVE's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Evidence,
    Session,
    Exchange,
    Socket,
    Unknown,
}

impl Path {
    /// Nothing where the path is not below STEVE's own.
    fn of(uri: &hyper::Uri) -> Option<Self> {
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Some(match path.strip_prefix("/.well-known/steve/")? {
            "evidence" => Self::Evidence,
            "session" => Self::Session,
            "x" => Self::Exchange,
            "ws" => Self::Socket,
            _ => Self::Unknown,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Evidence => "GET, HEAD, POST, OPTIONS",
            Self::Socket => "GET, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }
}

/// A response, and what takes the connection over after it.
async fn answer(
    shared: &Arc<Shared>,
    alarm: &Alarm,
    mut request: Request<Upload>,
) -> (Response<Reply>, Option<OnUpgrade>) {
    if let Some(path) = v2::Path::of(request.uri()).filter(|_| shared.settings.steve_v2) {
        return (v2::answer(shared, path, request).await, None);
    }
    let Some(path) = Path::of(request.uri()) else { return (plain::answer(shared, request).await, None) };
    if path == Path::Socket && request.method() == Method::GET {
        return upgrade::accept(&shared.origins, &mut request);
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let method = request.method().clone();
    let mut response = if path == Path::Unknown {
        Problem::NotFound.response()
    } else if method == Method::OPTIONS && asks && path != Path::Socket {
        shared.origins.preflight(origin.as_ref())
    } else {
        own(shared, alarm, path, &method, request).await
    };
    shared.origins.mark(origin.as_ref().filter(|_| path != Path::Socket), &mut response);
    (response, None)
}

/// What STEVE's own paths answer.
async fn own(
    shared: &Arc<Shared>,
    alarm: &Alarm,
    path: Path,
    method: &Method,
    request: Request<Upload>,
) -> Response<Reply> {
    let typed = |expected| content_type(&request).is_some_and(|found| found.eq_ignore_ascii_case(expected));
    let answer = match (path, method) {
        (_, &Method::OPTIONS) => Ok(allowing(204, path.methods())),
        (Path::Evidence, &Method::GET | &Method::HEAD) => Ok(hello::bundle(shared)),
        (Path::Evidence, &Method::POST) if typed(b"application/octet-stream") => {
            hello::fresh(shared, request.into_body()).await
        }
        (Path::Session, &Method::POST) if typed(HELLO.as_bytes()) => {
            hello::session(shared, request.into_body()).await
        }
        (Path::Exchange, &Method::POST) if typed(b"application/steve-req") => {
            begin_exchange(shared, alarm, request.into_body()).await
        }
        (Path::Evidence | Path::Session | Path::Exchange, &Method::POST) => Err(Problem::Malformed),
        _ => Ok(allowing(405, path.methods())),
    };
    answer.unwrap_or_else(Problem::response)
}

async fn begin_exchange(
    shared: &Arc<Shared>,
    alarm: &Alarm,
    mut body: Upload,
) -> Result<Response<Reply>, Problem> {
    let started = begin::begin(shared, alarm, &mut body).await?;
    let (inside, rings) = (Arc::clone(shared), alarm.clone());
    let reply = Reply::driven(|sink| exchange::run(inside, rings, started, body, sink)).begun(alarm).await;
    let mut response = Response::new(reply);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/steve-res"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert("incremental", HeaderValue::from_static("?1"));
    Ok(response)
}

/// The content type without its parameters.
pub(crate) fn content_type(request: &Request<Upload>) -> Option<&[u8]> {
    let value = request.headers().get(CONTENT_TYPE)?.as_bytes();
    value.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

/// How long a connection may be without a request: longer than proxies keep theirs.
const IDLE: Duration = Duration::from_mins(3);
/// Heads of requests, and what is read ahead.
const MAX_BUFFER: usize = 64 * 1024;
/// How often is looked for what is over, in the time that a peer may stall.
const LOOKS: u32 = 10;
/// No event tells when files or memory are free again.
const PAUSE: Duration = Duration::from_millis(20);
