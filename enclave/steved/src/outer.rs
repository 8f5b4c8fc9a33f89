//! Responses outside the tunnel: what anybody on the way could have said.

use crate::body::Reply;
use bytes::Bytes;
use caution_steve::{ExchangeError, HandshakeError};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY,
};
use hyper::{Response, StatusCode};

/// What an outer error is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It cannot be read, or does not authenticate.
    Malformed,
    /// There is nothing here.
    NotFound,
    /// A page of another origin.
    Origin,
    /// It was taken before.
    Replay,
    /// Its number lies behind the window.
    TooOld,
    /// No such session.
    SessionUnknown,
    /// More bytes than may be.
    TooLarge,
    /// For another deployment.
    WrongRoute,
    /// To a key that is gone.
    KeyUnknown,
    /// Of another suite.
    SuiteMismatch,
    /// Too many of these.
    Rate,
    /// No room.
    Busy,
    /// No evidence yet, or none just now.
    Starting,
}

impl Problem {
    /// Its status and name.
    pub(crate) fn code(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "malformed"),
            Self::Origin => (403, "origin"),
            Self::NotFound => (404, "not_found"),
            Self::Replay => (409, "replay"),
            Self::TooOld => (409, "too_old"),
            Self::SessionUnknown => (410, "session_unknown"),
            Self::TooLarge => (413, "too_large"),
            Self::WrongRoute => (421, "wrong_route"),
            Self::KeyUnknown => (422, "key_unknown"),
            Self::SuiteMismatch => (422, "suite_mismatch"),
            Self::Rate => (429, "rate"),
            Self::Busy => (503, "busy"),
            Self::Starting => (503, "starting"),
        }
    }

    /// The response that says so.
    pub(crate) fn response(self) -> Response<Reply> {
        let (status, code) = self.code();
        problem(status, code)
    }
}

/// An error of this name.
pub(crate) fn problem(status: u16, code: &str) -> Response<Reply> {
    let body = format!(r#"{{"type":"urn:steve:{code}","status":{status}}}"#);
    let mut response = whole(status, "application/problem+json", body.into());
    if matches!(status, 429 | 503) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

impl From<HandshakeError> for Problem {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::KeyUnknown(_) => Self::KeyUnknown,
            HandshakeError::SuiteMismatch(_) => Self::SuiteMismatch,
            HandshakeError::Replayed => Self::Replay,
            HandshakeError::KeyExhausted(_) => Self::Busy,
            HandshakeError::Context => Self::WrongRoute,
            // Whoever made it knows why; nobody else needs to.
            _ => Self::Malformed,
        }
    }
}

impl From<ExchangeError> for Problem {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::SessionUnknown => Self::SessionUnknown,
            ExchangeError::Replay(_) => Self::Replay,
            ExchangeError::TooOld(_) => Self::TooOld,
            _ => Self::Malformed,
        }
    }
}

/// Bytes that are there.
pub(crate) fn whole(status: u16, content_type: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = empty(status);
    *response.body_mut() = Reply::Whole((!body.is_empty()).then_some(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A status alone.
pub(crate) fn empty(status: u16) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(None));
    *response.status_mut() = StatusCode::from_u16(status).expect("statuses here are constants");
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A status with the methods that the path has.
pub(crate) fn allowing(status: u16, methods: &'static str) -> Response<Reply> {
    let mut response = empty(status);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// A request that would have to be encrypted.
pub(crate) fn refused() -> Response<Reply> {
    let mut response = whole(403, "application/json", Bytes::from_static(br#"{"error":"e2e_required"}"#));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Which pages may ask.
#[derive(Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.to_vec())
    }

    /// Whether the browser of a page with this origin may open a WebSocket at `host`. What is no browser says none.
    pub(crate) fn may_open(&self, origin: Option<&HeaderValue>, host: Option<&HeaderValue>) -> bool {
        let Some(named) = origin else { return true };
        let own = ["https://", "http://"].iter().find_map(|it| named.as_bytes().strip_prefix(it.as_bytes()));
        let is_own = own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host.as_bytes()));
        is_own || self.allow(origin).is_some()
    }

    fn allow(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        // Pages without an origin of their own all say `null`.
        let origin = origin.filter(|origin| *origin != "null")?;
        self.0.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The answer to the question before the request.
    pub(crate) fn preflight(&self, origin: Option<&HeaderValue>) -> Response<Reply> {
        if self.allow(origin).is_none() {
            return empty(403);
        }
        let mut response = empty(204);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type, incremental"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        response
    }

    /// What every response of STEVE's own paths says.
    pub(crate) fn mark(&self, origin: Option<&HeaderValue>, response: &mut Response<Reply>) {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("origin"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if let Some(origin) = self.allow(origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, no-transform");
