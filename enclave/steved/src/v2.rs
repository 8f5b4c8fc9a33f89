//! Version 2, for clients that have it: `specs/steve-v2.md` §5 is its text. On where the deployment says so.
//!
//! ```text
//! session ─▶ key exchange ─▶ document of this session ─▶ sessions
//! confirm ─▶ sessions                request ─▶ whole, opened, its number taken ─▶ app ─▶ whole, sealed
//! ```

mod exchange;
mod room;
mod sessions;

use crate::body::{Reply, Unread, collect};
use crate::outer::{allowing, problem, whole};
use crate::seated::Upload;
use crate::server::{Shared, content_type};
use caution_steve::v2::{Envelope, Error, MAX_SESSION, MAX_SMALL, Offer, ServerRandom};
use hyper::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use hyper::{Method, Request, Response, Uri};
pub(crate) use room::Room;
pub(crate) use sessions::Sessions;
use std::sync::Arc;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// A path of version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Session,
    Confirm,
    Request,
    Unknown,
}

impl Path {
    /// Nothing where the path is not below version 2's own.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Some(match path.strip_prefix("/e2p/v2/")? {
            "session" => Self::Session,
            "confirm" => Self::Confirm,
            "request" => Self::Request,
            _ => Self::Unknown,
        })
    }
}

/// Why there is no answer in CBOR. Anybody on the way could say these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed,
    SuiteMismatch,
    SessionUnknown,
    NotFound,
    Timeout,
    Replay,
    TooOld,
    TooLarge,
    NotConfirmed,
    Rate,
    Busy,
    Starting,
}

impl Refused {
    /// Clients give a session up after 400, 401, 409 and 425, and after nothing else.
    fn code(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "malformed"),
            Self::SuiteMismatch => (400, "suite_mismatch"),
            Self::SessionUnknown => (401, "session_unknown"),
            Self::NotFound => (404, "not_found"),
            Self::Timeout => (408, "timeout"),
            Self::Replay => (409, "replay"),
            Self::TooOld => (409, "too_old"),
            Self::TooLarge => (413, "too_large"),
            Self::NotConfirmed => (425, "not_confirmed"),
            Self::Rate => (429, "rate"),
            Self::Busy => (503, "busy"),
            Self::Starting => (503, "starting"),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::SuiteMismatch(_) => Self::SuiteMismatch,
            Error::SessionUnknown => Self::SessionUnknown,
            Error::NotConfirmed => Self::NotConfirmed,
            Error::Replay(_) => Self::Replay,
            Error::TooOld(_) => Self::TooOld,
            // Whoever made it knows why; nobody else needs to.
            _ => Self::Malformed,
        }
    }
}

/// The response to a request for one of these paths.
pub(crate) async fn answer(shared: &Arc<Shared>, path: Path, request: Request<Upload>) -> Response<Reply> {
    let origin = request.headers().get(ORIGIN).cloned();
    let asks = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let is_cbor = content_type(&request).is_some_and(|found| found.eq_ignore_ascii_case(CBOR.as_bytes()));
    let method = request.method().clone();
    let mut response = match (path, &method) {
        (Path::Unknown, _) => refuse(Refused::NotFound),
        (_, &Method::OPTIONS) if asks => shared.origins.preflight(origin.as_ref()),
        (_, &Method::OPTIONS) => allowing(204, METHODS),
        (_, &Method::POST) if is_cbor => own(shared, path, request.into_body()).await,
        (_, &Method::POST) => refuse(Refused::Malformed),
        _ => allowing(405, METHODS),
    };
    shared.origins.mark(origin.as_ref(), &mut response);
    response
}

async fn own(shared: &Arc<Shared>, path: Path, body: Upload) -> Response<Reply> {
    let answer = match path {
        Path::Session => session(shared, body).await,
        Path::Confirm => confirm(shared, body).await,
        Path::Request => exchange::run(shared, body).await,
        Path::Unknown => Err(Refused::NotFound),
    };
    answer.unwrap_or_else(refuse)
}

fn refuse(refused: Refused) -> Response<Reply> {
    let (status, code) = refused.code();
    problem(status, code)
}

/// A session, and the document that is its own.
async fn session(shared: &Arc<Shared>, body: Upload) -> Result<Response<Reply>, Refused> {
    let request = small(shared, body).await?;
    let mut random = ServerRandom { key: Zeroizing::new([0; 64]), session: [0; 16] };
    shared.enclave.random(&mut random.key[..]);
    shared.enclave.random(&mut random.session);
    let offer = Offer::new(shared.settings.suite, &request, &random)?;
    // Each costs a document, whoever asks.
    if !shared.fresh.take(Instant::now()) {
        return Err(Refused::Rate);
    }
    let inside = Arc::clone(shared);
    let attested = tokio::task::spawn_blocking(move || {
        let document = inside.enclave.attest_session(offer.claims(), offer.nonce());
        document.map(|document| (offer, document))
    });
    let (offer, document) = attested.await.ok().and_then(Result::ok).ok_or(Refused::Starting)?;
    let limits = &shared.settings.limits;
    let (session, answer) = offer.answer(document, limits.lifetime.as_secs());
    if answer.len() > MAX_SESSION {
        return Err(Refused::Starting);
    }
    if !shared.v2.insert(session, limits) {
        return Err(Refused::Busy);
    }
    Ok(whole(200, CBOR, answer.into()))
}

/// The confirmation of both sides.
async fn confirm(shared: &Arc<Shared>, body: Upload) -> Result<Response<Reply>, Refused> {
    let bytes = small(shared, body).await?;
    let id = Envelope::from_bytes(&bytes)?.session;
    let entry = shared.v2.get(&id, &shared.settings.limits).ok_or(Refused::SessionUnknown)?;
    let answer = entry.with(|session| session.confirm(&bytes))?;
    Ok(whole(200, CBOR, answer.into()))
}

async fn small(shared: &Shared, mut body: Upload) -> Result<Vec<u8>, Refused> {
    let read = timeout(shared.settings.limits.patience, collect(&mut body, MAX_SMALL)).await;
    read.map_err(|_| Refused::Timeout)?.map_err(|unread| match unread {
        Unread::TooLong => Refused::TooLarge,
        Unread::Broken => Refused::Malformed,
    })
}

/// Much of CBOR, which has its room until it is sent.
fn much(bytes: Vec<u8>, room: Room) -> Response<Reply> {
    whole(200, CBOR, room.hold(bytes))
}

const CBOR: &str = "application/cbor";
const METHODS: &str = "POST, OPTIONS";
