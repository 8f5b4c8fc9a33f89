//! Requests: built, checked, sent once.

use crate::body::{Body, SealedRequest};
use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::response::{Asked, Response, ResponseBody};
use crate::transport::{Ask, TransportError};
use caution_steve::http::{Encoder, Fields, RequestHead};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use std::sync::Arc;

/// A request that is not sent yet.
#[must_use = "nothing is sent before `send`"]
#[derive(Debug)]
pub struct RequestBuilder {
    client: Client,
    request: Result<http::Request<Body>, Error>,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, method: Method, path: &str) -> Self {
        let request = http::Request::builder().method(method).uri(path).body(Body::empty());
        let request = request.map_err(|e| Error::Request(e.into()));
        Self { client, request }
    }

    /// Adds a field; one of the same name stays.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let field = || -> Result<_, http::Error> {
            Ok((name.try_into().map_err(Into::into)?, value.try_into().map_err(Into::into)?))
        };
        match (field(), &mut self.request) {
            (Ok((name, value)), Ok(request)) => drop(request.headers_mut().append(name, value)),
            (Err(cause), Ok(_)) => self.request = Err(Error::Request(cause.into())),
            (_, Err(_)) => {}
        }
        self
    }

    /// The request as it would be sent.
    pub(crate) fn into_request(self) -> Result<http::Request<Body>, Error> {
        self.request
    }

    /// The content.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        if let Ok(request) = &mut self.request {
            *request.body_mut() = body.into();
        }
        self
    }

    /// Sends it, once. The response is there when its head is; its content comes as it is read.
    ///
    /// # Errors
    /// [`Error::may_have_run`] tells whether the application may have acted.
    pub async fn send(self) -> Result<Response, Error> {
        self.client.execute(self.request?).await.map(Response::new)
    }
}

impl Client {
    /// Sends a request that was built elsewhere, once. Of its URI the path and the query count, and an authority must be
    /// this client's.
    ///
    /// # Errors
    /// [`Error::may_have_run`] tells whether the application may have acted.
    pub async fn execute(&self, request: http::Request<Body>) -> Result<http::Response<ResponseBody>, Error> {
        let sessions = &self.sessions;
        let (head, body) = head(request, &sessions.transport.address().authority)?;
        let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
        encoder.request(&head, &mut bytes).map_err(|e| Error::Request(e.into()))?;

        let exchange = sessions.begin().await?;
        let number = exchange.header.last_chunk().copied().map_or(0, u64::from_be_bytes);
        let sealed = SealedRequest::new(exchange.header, exchange.sealer, encoder, &bytes, body)
            .map_err(|e| Error::Request(e.into()))?;
        let sent = sealed.sent();
        let ask = Ask {
            method: Method::POST,
            path: "/.well-known/steve/x",
            content_type: Some("application/steve-req"),
            body: sealed.boxed_unsync(),
            expects: "application/steve-res",
            limit: 0,
        };
        let answer = match sessions.transport.send(ask).await {
            Ok(answer) => answer,
            Err(cause) => {
                // If that is true the next request needs another session; if not, it costs one handshake.
                if matches!(cause, TransportError::Status { status: StatusCode::GONE, .. }) {
                    sessions.forget(exchange.established.session).await;
                }
                let authority = exchange.established.authority.clone();
                return Err(Error::Ambiguous { authority, cause });
            }
        };
        let asked = Asked { established: Arc::clone(&exchange.established), number, sent };
        ResponseBody::new(answer.into_body(), exchange.opener, asked, sessions.transport.idle()).head().await
    }
}

/// The head of a message from a request of everybody's types.
pub(crate) fn head(request: http::Request<Body>, authority: &str) -> Result<(RequestHead, Body), Error> {
    let (parts, body) = request.into_parts();
    let elsewhere = |found: &http::uri::Authority| !found.as_str().eq_ignore_ascii_case(authority);
    if parts.uri.authority().is_some_and(elsewhere) {
        let url = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
        return Err(Error::Address { url, cause: "this client speaks to another application" });
    }
    let mut fields = fields(&parts.headers);
    fields.retain(|(name, _)| name != HOST.as_str());
    let has_length = parts.headers.contains_key(CONTENT_LENGTH);
    if !has_length
        && let Some(length) = body.length().filter(|length| *length > 0 || wants_length(&parts.method))
    {
        fields.push((CONTENT_LENGTH.as_str().to_owned(), length.to_string().into_bytes()));
    }
    let path = match parts.uri.path_and_query() {
        Some(path) if path.as_str().starts_with('?') => format!("/{path}"),
        Some(path) => path.as_str().to_owned(),
        None => "/".to_owned(),
    };
    let head = RequestHead {
        method: parts.method.as_str().to_owned(),
        scheme: "https".to_owned(),
        authority: authority.to_owned(),
        path,
        fields,
    };
    head.check().map_err(|e| Error::Request(RequestError::Message(e)))?;
    Ok((head, body))
}

/// Methods whose empty content says so (RFC 9110, section 8.6).
fn wants_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Fields as messages have them.
pub(crate) fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
