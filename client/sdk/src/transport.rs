//! HTTP to whoever stands in front of the enclave. Nothing that comes back is believed.

use crate::address::Address;
use crate::body::OuterBody;
use crate::error::{BoxError, Error};
use crate::names::Names;
use bytes::Bytes;
use caution_steve::websocket::{accept_of, key_of};
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// How a proxy between this machine and the application is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, as curl reads them. What runs on this machine is asked directly.
    #[default]
    Environment,
    /// None.
    Direct,
    /// This one: `http://host:port` or `https://host:port`, with a name and password where it wants one.
    Url(String),
}

/// What came instead of an answer. Anybody on the way can have said it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] BoxError),
    /// Nothing came in time.
    #[error("nothing came within {} s", .0.as_secs())]
    Timeout(Duration),
    /// Another status than 200.
    #[error("it answered HTTP {status}{}", .code.as_ref().map_or_else(String::new, |code| format!(": {code}")))]
    Status {
        /// The status.
        status: StatusCode,
        /// The name after `urn:steve:`, if it has one.
        code: Option<String>,
    },
    /// Something else than STEVE's.
    #[error("it answered with the type `{found}`, and STEVE's is `{expected}`")]
    ContentType {
        /// What came, at most 100 characters.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The WebSocket to it was closed.
    #[error("the WebSocket to it was closed{}", .0.as_ref().map_or_else(String::new, |code| format!(": {code}")))]
    Closed(Option<String>),
    /// It made no WebSocket.
    #[error("it answered as no WebSocket of STEVE's does")]
    Switch,
    /// The answer is longer than any.
    #[error("its answer is longer than {0} bytes, or broke off")]
    Length(usize),
}

/// Connections to one application.
pub(crate) struct Transport {
    address: Address,
    route: Route,
    /// HTTP/1.1 only, which WebSockets need.
    sockets: Route,
    times: Times,
}

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// For evidence, a handshake, or the switch to a WebSocket, each.
    pub answer: Duration,
    /// For the next byte of an exchange; enclaves send an empty record every 15 s.
    pub idle: Duration,
}

/// A connection that has become a WebSocket.
pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

enum Route {
    Direct(Box<Client<Plain, OuterBody>>),
    Proxied(Box<Client<Secure<Tunnel<Plain>>, OuterBody>>),
}

type Secure<C> = HttpsConnector<C>;
type Plain = Secure<HttpConnector<Names>>;

impl Transport {
    /// `roots` are authorities of the outer TLS besides Mozilla's, in DER.
    pub(crate) fn new(
        address: Address,
        proxy: &Proxy,
        roots: &[Vec<u8>],
        times: Times,
    ) -> Result<Self, Error> {
        let tls = tls(roots).ok_or_else(|| wrong(&address, "one of its TLS roots is no certificate"))?;
        // What is repeated here was never written: a connection that had been closed while it waited.
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(Duration::from_mins(1)).pool_timer(TokioTimer::new());
        let route = |every| -> Result<Route, Error> {
            let Some(intercept) = intercept(&address, proxy)? else {
                return Ok(Route::Direct(Box::new(builder.build(secure(tls.clone(), plain(), every)))));
            };
            let scheme = intercept.uri().scheme_str();
            if !matches!(scheme, Some("http" | "https")) {
                return Err(wrong(&address, "the proxy in front of it speaks neither http nor https"));
            }
            let mut tunnel = Tunnel::new(intercept.uri().clone(), secure(tls.clone(), plain(), true));
            if let Some(password) = intercept.basic_auth() {
                tunnel = tunnel.with_auth(password.clone());
            }
            Ok(Route::Proxied(Box::new(builder.build(secure(tls.clone(), tunnel, every)))))
        };
        let (every, sockets) = (route(true)?, route(false)?);
        Ok(Self { address, route: every, sockets, times })
    }

    /// How long nothing may come of an exchange.
    pub(crate) fn idle(&self) -> Duration {
        self.times.idle
    }

    /// A connection that has become a WebSocket for records. Nothing was said on it.
    pub(crate) async fn socket(&self) -> Result<Upgraded, TransportError> {
        let answer = tokio::time::timeout(self.times.answer, self.switch()).await;
        answer.unwrap_or(Err(TransportError::Timeout(self.times.answer)))
    }

    async fn switch(&self) -> Result<Upgraded, TransportError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| TransportError::Connection(e.into()))?;
        let key = key_of(&random);
        let request = Request::get(self.address.at("/.well-known/steve/ws"))
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key)
            .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .body(Ask::whole(Bytes::new()));
        let request = request.map_err(|e| TransportError::Connection(e.into()))?;
        let mut response = self.sockets.request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.status(response).await);
        }
        let headers = response.headers();
        let answer = accept_of(key.as_bytes());
        let is_answer = headers.get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|it| it == SUBPROTOCOL)
            && headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes)
                == answer.as_deref().map(str::as_bytes)
            && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        if !is_answer {
            return Err(TransportError::Switch);
        }
        let upgraded = hyper::upgrade::on(&mut response).await;
        upgraded.map(TokioIo::new).map_err(|e| TransportError::Connection(e.into()))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A whole short answer.
    pub(crate) async fn fetch(&self, ask: Ask) -> Result<Bytes, TransportError> {
        let limit = ask.limit;
        let answer = async {
            let response = self.ask(ask).await?;
            let body = Limited::new(response.into_body(), limit).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|_| TransportError::Length(limit))
        };
        let answer = tokio::time::timeout(self.times.answer, answer).await;
        answer.unwrap_or(Err(TransportError::Timeout(self.times.answer)))
    }

    /// The head of an answer to an exchange, which comes when its first record has authenticated.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Response<Incoming>, TransportError> {
        let answer = tokio::time::timeout(self.times.idle, self.ask(ask)).await;
        answer.unwrap_or(Err(TransportError::Timeout(self.times.idle)))
    }

    /// The head of an answer whose status and type are STEVE's.
    async fn ask(&self, ask: Ask) -> Result<Response<Incoming>, TransportError> {
        let mut request = Request::new(ask.body);
        *request.method_mut() = ask.method;
        *request.uri_mut() = self.address.at(ask.path);
        if let Some(content_type) = ask.content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = self.route.request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(self.status(response).await);
        }
        let found = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if is_type(found, ask.expects) {
            return Ok(response);
        }
        let found = String::from_utf8_lossy(found).chars().filter(|c| !c.is_control()).take(100).collect();
        Err(TransportError::ContentType { found, expected: ask.expects })
    }

    /// What a refusal says of itself.
    async fn status(&self, response: Response<Incoming>) -> TransportError {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_PROBLEM).collect();
        let body = tokio::time::timeout(self.times.answer, body).await;
        let code = body.ok().and_then(Result::ok).and_then(|body| problem(&body.to_bytes()));
        TransportError::Status { status, code }
    }
}

impl Route {
    async fn request(&self, request: Request<OuterBody>) -> Result<Response<Incoming>, TransportError> {
        let response = match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        };
        response.map_err(|e| TransportError::Connection(e.into()))
    }
}

/// A question to STEVE's paths.
pub(crate) struct Ask {
    pub method: Method,
    pub path: &'static str,
    pub content_type: Option<&'static str>,
    pub body: OuterBody,
    /// The content type of the answer.
    pub expects: &'static str,
    /// Its longest length in bytes, where it is fetched whole.
    pub limit: usize,
}

impl Ask {
    /// A body that is there as a whole.
    pub(crate) fn whole(body: impl Into<Bytes>) -> OuterBody {
        Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
    }
}

fn plain() -> HttpConnector<Names> {
    let mut connector = HttpConnector::new_with_resolver(Names::new());
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

/// TLS where it is asked for; with every version of HTTP, or the first alone.
fn secure<C>(tls: ClientConfig, connector: C, every: bool) -> Secure<C> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if every {
        builder.enable_all_versions().wrap_connector(connector)
    } else {
        builder.enable_http1().wrap_connector(connector)
    }
}

fn tls(roots: &[Vec<u8>]) -> Option<ClientConfig> {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for der in roots {
        store.add(CertificateDer::from(der.clone())).ok()?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Some(config.ok()?.with_root_certificates(store).with_no_client_auth())
}

fn intercept(address: &Address, proxy: &Proxy) -> Result<Option<Intercept>, Error> {
    let matcher = match proxy {
        Proxy::Direct => return Ok(None),
        // A proxy of the environment cannot reach what runs on this machine.
        Proxy::Environment if address.is_loopback => return Ok(None),
        Proxy::Environment => Matcher::from_env(),
        Proxy::Url(url) => {
            let found = Matcher::builder().all(url.as_str()).build().intercept(&address.at("/"));
            return found.map(Some).ok_or_else(|| wrong(address, "the proxy in front of it is no URL"));
        }
    };
    Ok(matcher.intercept(&address.at("/")))
}

fn wrong(address: &Address, cause: &'static str) -> Error {
    Error::Address { url: format!("{}://{}", address.scheme, address.authority), cause }
}

/// Without parameters and case.
fn is_type(found: &[u8], expected: &str) -> bool {
    let bare = found.split(|byte| *byte == b';').next().unwrap_or_default();
    bare.trim_ascii().eq_ignore_ascii_case(expected.as_bytes())
}

/// `{"type": "urn:steve:<code>"}`: a word of ours, or nothing.
fn problem(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Problem {
        r#type: String,
    }
    let problem: Problem = serde_json::from_slice(body).ok()?;
    let code = problem.r#type.strip_prefix("urn:steve:")?;
    let is_word = code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then(|| code.to_owned())
}

/// Of WebSockets that carry records.
const SUBPROTOCOL: &str = "steve3";
/// The longest explanation of a refusal that is read, in bytes.
const MAX_PROBLEM: usize = 4096;
