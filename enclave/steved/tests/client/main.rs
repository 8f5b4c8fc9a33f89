//! The Rust client (`client/sdk`) and steved: two readings of `specs/steve.md`, with documents that are signed.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

mod sockets;

use caution_abi::nsm;
use caution_devnsm::{DevNsm, DevRoot};
use caution_sdk::{
    Client, ClientBuilder, Clock, Error, ImagePcrs, Measurements, Pcr, Policy, Roots, SealedCode, Suite,
    UnixMillis,
};
use caution_steved::{Attested, Enclave, Epoch, Identity, Limits, Protocol, Settings, Steved};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

const NOW: u64 = 1_768_478_400_000;
const INSTANCE: [u8; 16] = [0x11; 16];

/// An enclave whose documents a development root signs.
struct Signing {
    nsm: Mutex<DevNsm>,
    counter: AtomicU64,
    plaintext_fallback: bool,
}

impl Enclave for Signing {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested> {
        let identity = Identity {
            instance: INSTANCE,
            manifest_hash: [7; 32],
            plaintext_fallback: self.plaintext_fallback,
        };
        let claims = epoch.claims(&identity);
        let user_data = claims.to_bytes();
        let nonce = nonce.map(|nonce| &nonce[..]);
        let request = nsm::Request::Attestation { user_data: Some(&user_data), nonce, public_key: None };
        let answer = self.nsm.lock().unwrap().handle(&request.to_bytes());
        match nsm::Response::from_bytes(&answer).unwrap() {
            nsm::Response::Attestation { document } => {
                Ok(Attested { document, not_after_ms: claims.not_after_ms })
            }
            _ => Err(io::Error::other("no document")),
        }
    }

    fn now_ms(&self) -> u64 {
        NOW
    }

    /// No two are the same, which is all that tests need.
    fn random(&self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let next = self.counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            piece.copy_from_slice(&next.to_be_bytes()[..piece.len()]);
        }
    }
}

/// A clock that stands still where the documents are.
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        UnixMillis(NOW)
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Answers with what it was sent, and with who it thinks sent it.
async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    let (head, content) = request.into_parts();
    let mut response = Response::new(content);
    for name in ["x-enclave-e2e", "x-twice", "host"] {
        for value in head.headers.get_all(name) {
            response
                .headers_mut()
                .append(format!("was-{name}").parse::<hyper::header::HeaderName>().unwrap(), value.clone());
        }
    }
    Ok(response)
}

async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(echo)),
            );
        }
    });
    address
}

struct Deployment {
    url: String,
    root: Vec<u8>,
    suite: Suite,
    _folder: tempfile::TempDir,
}

fn image() -> ImagePcrs {
    let [pcr0, pcr1, pcr2] = [1, 2, 3].map(|byte| Pcr::new([byte; 48]));
    ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8: None }
}

impl Deployment {
    async fn new(suite: Suite, app: SocketAddr) -> Self {
        Self::with(suite, app, false, Limits::DEFAULT).await
    }

    async fn limited(suite: Suite, app: SocketAddr, limits: Limits) -> Self {
        Self::with(suite, app, false, limits).await
    }

    async fn with(suite: Suite, app: SocketAddr, plaintext_fallback: bool, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = DevRoot::load_or_create(folder.path()).unwrap();
        let nsm = Mutex::new(DevNsm::new(&root, image(), false, "i-0dev-enc1", || NOW).unwrap());
        let enclave = Arc::new(Signing { nsm, counter: AtomicU64::new(1), plaintext_fallback });
        let settings = Settings {
            suite,
            instance: INSTANCE,
            app,
            protocol: Protocol::Http1,
            platform: app,
            origins: Vec::new(),
            plaintext_fallback,
            steve_v2: false,
            limits,
        };
        let steved = Steved::new(settings, enclave);
        steved.start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { steved.listen(listener).await });
        Self { url, root: root.root_der().to_vec(), suite, _folder: folder }
    }

    fn client(&self) -> ClientBuilder {
        self.client_at(&self.url)
    }

    /// A client that finds it behind another address.
    fn client_at(&self, url: &str) -> ClientBuilder {
        Client::builder(url, Policy::pinned([image()]).unwrap())
            .evidence_roots(Roots::dev_root(&self.root).unwrap())
            .suite(self.suite)
            .clock(Still)
    }
}

#[tokio::test]
async fn requests_pass_in_both_suites_with_either_evidence() {
    let app = app().await;
    for suite in Suite::ALL {
        let deployment = Deployment::new(suite, app).await;
        for client in [deployment.client(), deployment.client().fresh_evidence()] {
            let client = client.connect().await.unwrap();
            let request = client.post("/x?y").header("x-twice", "1").header("x-twice", "2");
            let mut response = request.body("secret").send().await.unwrap();
            assert_eq!(response.status(), 200);
            let twice: Vec<_> = response.headers().get_all("was-x-twice").iter().cloned().collect();
            assert_eq!(twice, ["1", "2"]);
            let marker = format!("v=3; suite={}", suite.name());
            assert_eq!(response.headers()["was-x-enclave-e2e"], marker);
            assert_eq!(response.headers()["was-host"], client.authority());
            assert_eq!(response.text(100).await.unwrap(), "secret");
            assert!(response.receipt().exchange.unwrap().complete);
            assert_eq!(client.get("/").send().await.unwrap().text(100).await.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn much_passes_both_ways_and_many_pass_at_once() {
    const LENGTH: usize = 2_000_000;
    let deployment = Deployment::new(Suite::X25519, app().await).await;
    let client = deployment.client().connect().await.unwrap();
    let content: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut response = client.put("/").body(content.clone()).send().await.unwrap();
    assert!(response.bytes(LENGTH).await.unwrap() == content);

    let asked: Vec<_> = (0..64)
        .map(|number: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut response = client.post("/").body(number.to_string()).send().await.unwrap();
                assert_eq!(response.text(10).await.unwrap(), number.to_string());
            })
        })
        .collect();
    for asked in asked {
        asked.await.unwrap();
    }
}

#[tokio::test]
async fn what_the_enclave_says_inside_is_believed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let deployment = Deployment::new(Suite::X25519, closed).await;
    let client = deployment.client().connect().await.unwrap();
    for (path, code) in [("/", SealedCode::UpstreamUnavailable), ("/attestation", SealedCode::HeadInvalid)] {
        let error = client.post(path).body("x").send().await.unwrap_err();
        assert!(matches!(&error, Error::Sealed(sealed) if sealed.code == code), "{path}: {error}");
        assert!(!error.may_have_run(), "{path}");
    }
}

#[tokio::test]
async fn a_deployment_that_lets_plaintext_through_is_refused_unless_that_is_allowed() {
    let deployment = Deployment::with(Suite::X25519, app().await, true, Limits::DEFAULT).await;
    assert!(deployment.client().connect().await.is_err());
    deployment.client().allow_plaintext_fallback().connect().await.unwrap();
}

#[tokio::test]
async fn another_suite_than_the_deployments_is_refused() {
    let deployment = Deployment::new(Suite::X25519, app().await).await;
    assert!(deployment.client().suite(Suite::XWing).connect().await.is_err());
}

#[tokio::test]
async fn words_are_answered_one_by_one() {
    let deployment = Deployment::new(Suite::X25519, app().await).await;
    let client = deployment.client().connect().await.unwrap();
    let (mut words, reader) = tokio::io::duplex(64);
    let body = caution_sdk::Body::reader(reader);
    let mut response = client.post("/").body(body).send().await.unwrap();
    for word in ["one", "two"] {
        tokio::io::AsyncWriteExt::write_all(&mut words, word.as_bytes()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), word.as_bytes());
    }
    drop(words);
    assert_eq!(response.chunk().await.unwrap(), None);
}
