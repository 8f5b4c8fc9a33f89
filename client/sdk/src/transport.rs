//! HTTP to whoever stands in front of the enclave. Nothing that comes back is believed.

use crate::address::Address;
use crate::body::OuterBody;
use crate::error::{BoxError, Error};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
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
    /// The answer is longer than any.
    #[error("its answer is longer than {0} bytes, or broke off")]
    Length(usize),
}

/// Connections to one application.
pub(crate) struct Transport {
    address: Address,
    route: Route,
    timeout: Duration,
}

enum Route {
    Direct(Box<Client<Secure<HttpConnector>, OuterBody>>),
    Proxied(Box<Client<Secure<Tunnel<Secure<HttpConnector>>>, OuterBody>>),
}

type Secure<C> = HttpsConnector<C>;

impl Transport {
    /// `roots` are authorities of the outer TLS besides Mozilla's, in DER.
    pub(crate) fn new(
        address: Address,
        proxy: &Proxy,
        roots: &[Vec<u8>],
        timeout: Duration,
    ) -> Result<Self, Error> {
        let tls = tls(roots).ok_or_else(|| wrong(&address, "one of its TLS roots is no certificate"))?;
        // What is repeated here was never written: a connection that had been closed while it waited.
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(Duration::from_mins(1)).pool_timer(TokioTimer::new());
        let route = match intercept(&address, proxy)? {
            None => Route::Direct(Box::new(builder.build(secure(tls, plain())))),
            Some(intercept) => {
                let scheme = intercept.uri().scheme_str();
                if !matches!(scheme, Some("http" | "https")) {
                    return Err(wrong(&address, "the proxy in front of it speaks neither http nor https"));
                }
                let mut tunnel = Tunnel::new(intercept.uri().clone(), secure(tls.clone(), plain()));
                if let Some(password) = intercept.basic_auth() {
                    tunnel = tunnel.with_auth(password.clone());
                }
                Route::Proxied(Box::new(builder.build(secure(tls, tunnel))))
            }
        };
        Ok(Self { address, route, timeout })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A whole short answer.
    pub(crate) async fn fetch(&self, ask: Ask) -> Result<Bytes, TransportError> {
        let limit = ask.limit;
        let answer = async {
            let response = self.send(ask).await?;
            let body = Limited::new(response.into_body(), limit).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|_| TransportError::Length(limit))
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        answer.unwrap_or(Err(TransportError::Timeout(self.timeout)))
    }

    /// The head of an answer whose status and type are STEVE's.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Response<Incoming>, TransportError> {
        let mut request = Request::new(ask.body);
        *request.method_mut() = ask.method;
        *request.uri_mut() = self.address.at(ask.path);
        if let Some(content_type) = ask.content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = match &self.route {
            Route::Direct(client) => client.request(request).await,
            Route::Proxied(client) => client.request(request).await,
        };
        let response = response.map_err(|e| TransportError::Connection(e.into()))?;
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
        let body = tokio::time::timeout(self.timeout, body).await;
        let code = body.ok().and_then(Result::ok).and_then(|body| problem(&body.to_bytes()));
        TransportError::Status { status, code }
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

fn plain() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

fn secure<C>(tls: ClientConfig, connector: C) -> Secure<C> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector)
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

/// The longest explanation of a refusal that is read, in bytes.
const MAX_PROBLEM: usize = 4096;
