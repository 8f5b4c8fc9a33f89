//! A client of one application.

use crate::address::Address;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::policy::Policy;
use crate::receipt::Receipt;
use crate::request::RequestBuilder;
use crate::session::{Rules, Sessions};
use crate::transport::{Proxy, Times, Transport};
use caution_attest::Roots;
use caution_steve::Suite;
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// A client of one application. Cloning gives another handle on the same sessions.
#[derive(Clone)]
pub struct Client {
    pub(crate) sessions: Arc<Sessions>,
}

impl Client {
    /// Verifies the enclave behind `url` under `policy`, and makes a session with it. Nothing is sent to the application yet.
    ///
    /// # Errors
    /// Why it cannot be reached, or is not trusted.
    pub async fn connect(url: &str, policy: Policy) -> Result<Self, Error> {
        Self::builder(url, policy).connect().await
    }

    /// The same with more to choose.
    pub fn builder(url: &str, policy: Policy) -> ClientBuilder {
        ClientBuilder {
            url: url.to_owned(),
            rules: Rules {
                policy,
                roots: Roots::aws(),
                suite: Suite::XWing,
                app_context: Vec::new(),
                allow_plaintext_fallback: false,
                fresh_evidence: false,
            },
            proxy: Proxy::Environment,
            tls_roots: Vec::new(),
            times: Times { answer: TIMEOUT, idle: IDLE },
            clock: None,
        }
    }

    /// A request with this method, for a path that begins with `/`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, path)
    }

    /// A GET request.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A POST request.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A PUT request.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A DELETE request.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// What was verified of the session that the next request uses; one is made where there is none.
    ///
    /// # Errors
    /// As of [`Client::connect`].
    pub async fn receipt(&self) -> Result<Receipt, Error> {
        Ok(Receipt::new(&*self.sessions.established().await?, None))
    }

    /// Host and port of the application, as requests name it.
    pub fn authority(&self) -> &str {
        &self.sessions.transport.address().authority
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("authority", &self.authority()).finish_non_exhaustive()
    }
}

/// What a client can be told.
#[must_use = "nothing happens before `connect`"]
pub struct ClientBuilder {
    url: String,
    rules: Rules,
    proxy: Proxy,
    tls_roots: Vec<Vec<u8>>,
    times: Times,
    clock: Option<Arc<dyn Clock>>,
}

impl ClientBuilder {
    /// Who may vouch for evidence: AWS's root when this is not called.
    pub fn evidence_roots(mut self, roots: Roots) -> Self {
        self.rules.roots = roots;
        self
    }

    /// The deployment's suite: [`Suite::XWing`] when this is not called. Another one is refused, nothing is negotiated.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.rules.suite = suite;
        self
    }

    /// The application's own context, which its configuration names; empty when this is not called.
    pub fn app_context(mut self, context: impl Into<Vec<u8>>) -> Self {
        self.rules.app_context = context.into();
        self
    }

    /// Speaks to an enclave that lets requests without encryption through to its application, too.
    pub fn allow_plaintext_fallback(mut self) -> Self {
        self.rules.allow_plaintext_fallback = true;
        self
    }

    /// Has a document made for each session of this client, with a challenge of its own, in place of the epoch's. Enclaves
    /// make two a second, for all clients together.
    pub fn fresh_evidence(mut self) -> Self {
        self.rules.fresh_evidence = true;
        self
    }

    /// The proxy between this machine and the application.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// An authority of the outer TLS besides Mozilla's, as a DER certificate. What it vouches for sees nothing but
    /// what every host sees.
    pub fn tls_root(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.tls_roots.push(certificate.into());
        self
    }

    /// How long evidence, a handshake, or the opening of a connection for a WebSocket may take each; 30 s when this is not
    /// called.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.times.answer = timeout;
        self
    }

    /// How long nothing may come of a request or a WebSocket that was sent; 60 s when this is not called. An enclave says
    /// something every 15 s, however long its application thinks, so what is silent for longer is gone. Requests may take as
    /// long as they want: for a limit of the whole, `tokio::time::timeout`.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.times.idle = timeout;
        self
    }

    /// Another clock than the operating system's.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Verifies the enclave and makes a session.
    ///
    /// # Errors
    /// Why it cannot be reached, or is not trusted.
    pub async fn connect(self) -> Result<Client, Error> {
        let address = Address::parse(&self.url)?;
        let transport = Transport::new(address, &self.proxy, &self.tls_roots, self.times)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let client = Client { sessions: Arc::new(Sessions::new(transport, self.rules, clock)) };
        client.sessions.established().await?;
        Ok(client)
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_mins(1);
