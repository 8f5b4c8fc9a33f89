//! Requests that did not come by STEVE.

use crate::body::{Pipe, Reply, Sink, beside, next_frame};
use crate::outer::{Problem, empty, refused};
use crate::request;
use crate::seated::Upload;
use crate::server::Shared;
use crate::upstream::{self, Connection, Protocol};
use bytes::Bytes;
use caution_steve::http::Fields;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, RANGE, USER_AGENT,
};
use hyper::{HeaderMap, Method, Request, Response, Uri};
use std::net::SocketAddr;
use tokio::time::{Instant, timeout_at};

/// Who answers a request without encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// EnclaveOS, whatever the deployment is.
    Platform,
    /// The app, which gets nothing but what a page needs to begin.
    Page,
    /// The app, as the deployment allows.
    Fallback,
    /// Nobody.
    Refused,
}

fn way(method: &Method, uri: &Uri, fallback: bool) -> Way {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    if PLATFORM.contains(&path) {
        return Way::Platform;
    }
    if request::is_platform(uri.path()) {
        return Way::Refused;
    }
    let get = *method == Method::GET || *method == Method::HEAD;
    match (get && PAGE.contains(&path), fallback && *method != Method::CONNECT) {
        (_, true) => Way::Fallback,
        (true, false) => Way::Page,
        (false, false) => Way::Refused,
    }
}

/// The response to a request without encryption.
pub(crate) async fn answer(shared: &Shared, request: Request<Upload>) -> Response<Reply> {
    let settings = &shared.settings;
    let way = way(request.method(), request.uri(), settings.plaintext_fallback);
    let (app, protocol) = (settings.app, settings.protocol);
    let passed = match way {
        Way::Refused => return refused(),
        Way::Platform => pass(shared, request, settings.platform, Protocol::Http1).await,
        Way::Fallback => pass(shared, without_ours(request), app, protocol).await,
        Way::Page => pass(shared, for_a_page(&request), app, protocol).await,
    };
    passed.unwrap_or_else(Failure::response)
}

/// Why there is no response.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// Nothing was sent.
    Unsent,
    /// Nobody knows whether it was carried out.
    Unknown,
}

impl Failure {
    fn response(self) -> Response<Reply> {
        match self {
            Self::Unsent => Problem::Busy.response(),
            Self::Unknown => empty(502),
        }
    }
}

/// Nothing only the platform may say.
fn without_ours(mut request: Request<Upload>) -> Request<Upload> {
    let ours: Vec<HeaderName> =
        request.headers().keys().filter(|name| request::is_ours(name.as_str())).cloned().collect();
    for name in ours {
        request.headers_mut().remove(name);
    }
    request
}

/// A request for a page's beginning: nothing in it speaks for a user.
fn for_a_page(request: &Request<Upload>) -> Request<Pipe> {
    let mut page = Request::new(Pipe::empty());
    *page.method_mut() = request.method().clone();
    *page.uri_mut() = request.uri().clone();
    for name in FOR_A_PAGE.iter().chain([&HOST]) {
        for value in request.headers().get_all(name) {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

/// Passes a request on, and its response back.
async fn pass<B>(
    shared: &Shared,
    mut request: Request<B>,
    to: SocketAddr,
    protocol: Protocol,
) -> Result<Response<Reply>, Failure>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let host = request.headers().get(HOST).cloned().unwrap_or(HeaderValue::from_static("localhost"));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.headers_mut() = passing(request.headers());
    *request.version_mut() = hyper::Version::HTTP_11;
    match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = path.parse().map_err(|_| Failure::Unsent)?;
            request.headers_mut().insert(HOST, host);
        }
        Protocol::H2c => {
            request.headers_mut().remove(HOST);
            let uri = Uri::builder().scheme("http").authority(host.as_bytes());
            *request.uri_mut() = uri.path_and_query(path).build().map_err(|_| Failure::Unsent)?;
        }
    }
    let limits = &shared.settings.limits;
    let connection: Connection<B> =
        upstream::connect(to, protocol, limits.patience).await.ok_or(Failure::Unsent)?;
    let (mut work, response) = connection.send(request);
    let until = Instant::now() + limits.exchange;
    let response = timeout_at(until, beside(&mut work, response)).await;
    let (head, content) = response.ok().and_then(Result::ok).ok_or(Failure::Unknown)?.into_parts();
    let mut passed = Response::new(Reply::driven(|sink| async move {
        // Past that time the sink is gone, and the response without an end.
        let _ = timeout_at(until, beside(work, copy(content, sink))).await;
    }));
    *passed.status_mut() = head.status;
    *passed.headers_mut() = passing(&head.headers);
    Ok(passed)
}

/// Fields without those of a connection.
fn passing(headers: &HeaderMap) -> HeaderMap {
    let fields: Fields = request::to_fields(headers);
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
    map
}

async fn copy(mut content: Incoming, sink: Sink) {
    let mut trailers = HeaderMap::new();
    while let Some(frame) = next_frame(&mut content).await {
        // Without an end: whoever reads it learns that it was cut.
        let Ok(frame) = frame else { return };
        match frame.into_data() {
            Ok(data) => {
                if !sink.data(data).await {
                    return;
                }
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    sink.end(trailers).await;
}

/// EnclaveOS answers these.
const PLATFORM: [&str; 2] = ["/attestation", "/.well-known/caution/health"];
/// What a page begins with.
const PAGE: [&str; 4] = ["/", "/enclave-sw.js", "/register.js", "/attestation-widget.js"];
/// What the app hears of who asks for it.
const FOR_A_PAGE: [HeaderName; 7] =
    [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE, USER_AGENT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_beginning_of_a_page_is_refused() {
        let way = |method: &str, uri: &str, fallback| {
            way(&Method::from_bytes(method.as_bytes()).unwrap(), &uri.parse().unwrap(), fallback)
        };
        for path in PAGE {
            assert_eq!(way("GET", path, false), Way::Page);
            assert_eq!(way("HEAD", path, false), Way::Page);
            assert_eq!(way("POST", path, false), Way::Refused);
        }
        for uri in ["/?q", "/x", "/register.js/", "/%2e", "//", "/attestation?x", "/.well-known/steve/x"] {
            assert_eq!(way("GET", uri, false), Way::Refused, "{uri}");
        }
        assert_eq!(way("GET", "/x", true), Way::Fallback);
        assert_eq!(way("GET", "/.well-known/steve/x", true), Way::Refused);
        assert_eq!(way("POST", "/attestation", true), Way::Platform);
    }
}
