//! A server of STEVE for tests, over `core/steve`, which can be made to say what no honest one says; and a host in front of it that
//! does what hosts may do.

use crate::app::{Answer, Cut, InnerRequest, Outer, app};
use bytes::Bytes;
use caution_abi::nsm;
use caution_devnsm::{DevNsm, DevRoot};
use caution_sdk::{
    Client, ClientBuilder, Clock, ImagePcrs, Measurements, Pcr, Policy, Roots, Suite, UnixMillis,
};
use caution_steve::http::{Decoder, Encoder, Part};
use caution_steve::{
    Beginning, Begun, Bundle, EpochClaims, EpochKey, Flags, Grant, Limits, ServerRandom, ServerSession,
    SessionId,
};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// When every test happens.
pub(crate) const NOW: u64 = 1_768_478_400_000;

/// A clock that stands still until it is told otherwise.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis().try_into().unwrap(), SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> UnixMillis {
        UnixMillis(NOW + self.0.load(SeqCst))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(SeqCst))
    }
}

/// What a host sends in place of an answer.
pub(crate) enum Instead {
    /// These bytes, as if they were the answer.
    Answer(Vec<u8>),
    /// These bytes, and then the connection breaks.
    Break(Vec<u8>),
    /// An answer of its own.
    Status(u16, &'static str, &'static str),
}

type Interference = Box<dyn FnMut(&str, Vec<u8>) -> Instead + Send>;

pub(crate) struct Enclave {
    key: Mutex<EpochKey>,
    nsm: Mutex<DevNsm>,
    claims: Mutex<EpochClaims>,
    sessions: Mutex<HashMap<SessionId, ServerSession>>,
    pub(crate) lifetime_s: AtomicU64,
    /// How many requests the app was given.
    pub(crate) ran: AtomicUsize,
    pub(crate) handshakes: AtomicUsize,
    /// What became of request contents: to the end, or cut.
    pub(crate) ends: mpsc::UnboundedSender<bool>,
}

pub(crate) struct Peer {
    pub(crate) url: String,
    pub(crate) enclave: Arc<Enclave>,
    pub(crate) ends: mpsc::UnboundedReceiver<bool>,
    pub(crate) clock: Hands,
    interference: Arc<Mutex<Option<Interference>>>,
    suite: Suite,
    root: Vec<u8>,
    _folder: tempfile::TempDir,
}

pub(crate) fn image(byte: u8) -> ImagePcrs {
    let [pcr0, pcr1, pcr2] = [byte, 2, 3].map(|byte| Pcr::new([byte; 48]));
    ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8: None }
}

pub(crate) fn pinned() -> Policy {
    Policy::pinned([image(1)]).unwrap()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

impl Peer {
    pub(crate) async fn start(suite: Suite) -> Self {
        Self::start_as(suite, 1).await
    }

    /// An enclave whose PCR0 consists of this byte.
    pub(crate) async fn start_as(suite: Suite, pcr0: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = DevRoot::load_or_create(folder.path()).unwrap();
        let instance = random();
        let key = EpochKey::from_seed(suite, 1, instance, &Zeroizing::new(random()));
        let claims = EpochClaims {
            key_configs_hash: key.key_configs_hash(),
            instance,
            not_before_ms: NOW,
            not_after_ms: NOW + 20 * 60_000,
            manifest_hash: [7; 32],
            tls_key_hash: None,
            flags: Flags::default(),
        };
        let nsm = DevNsm::new(&root, image(pcr0), false, "i-0dev-enc1", || NOW).unwrap();
        let (sender, ends) = mpsc::unbounded_channel();
        let enclave = Arc::new(Enclave {
            key: Mutex::new(key),
            nsm: Mutex::new(nsm),
            claims: Mutex::new(claims),
            sessions: Mutex::default(),
            lifetime_s: AtomicU64::new(1800),
            ran: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            ends: sender,
        });
        let interference = Arc::new(Mutex::new(None));
        let url = listen(&enclave, &interference).await;
        let root = root.root_der().to_vec();
        Self { url, enclave, ends, clock: Hands::default(), interference, suite, root, _folder: folder }
    }

    pub(crate) fn builder(&self, policy: Policy) -> ClientBuilder {
        self.builder_at(&self.url, policy)
    }

    /// A client that finds this enclave behind another address.
    pub(crate) fn builder_at(&self, url: &str, policy: Policy) -> ClientBuilder {
        Client::builder(url, policy)
            .evidence_roots(Roots::dev_root(&self.root).unwrap())
            .suite(self.suite)
            .clock(self.clock.clone())
            .timeout(Duration::from_secs(10))
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder(pinned()).connect().await.unwrap()
    }

    /// From now on the host looks at each whole answer, and sends what this gives for it.
    pub(crate) fn interfere(&self, with: impl FnMut(&str, Vec<u8>) -> Instead + Send + 'static) {
        *self.interference.lock().unwrap() = Some(Box::new(with));
    }

    pub(crate) fn leave_alone(&self) {
        *self.interference.lock().unwrap() = None;
    }

    pub(crate) fn ran(&self) -> usize {
        self.enclave.ran.load(SeqCst)
    }

    /// Changes what the enclave says of its keys.
    pub(crate) fn claim(&self, change: impl FnOnce(&mut EpochClaims)) {
        change(&mut self.enclave.claims.lock().unwrap());
    }

    /// All sessions are gone, as after a restart.
    pub(crate) fn forget_sessions(&self) {
        self.enclave.sessions.lock().unwrap().clear();
    }

    /// The bundle that this enclave shows.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        self.enclave.bundle(None)
    }
}

async fn listen(enclave: &Arc<Enclave>, interference: &Arc<Mutex<Option<Interference>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (enclave, interference) = (Arc::clone(enclave), Arc::clone(interference));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (enclave, interference) = (Arc::clone(&enclave), Arc::clone(&interference));
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let (enclave, interference) = (Arc::clone(&enclave), Arc::clone(&interference));
                async move {
                    let path = request.uri().path().to_owned();
                    let response = enclave.answer(request).await;
                    Ok::<_, std::convert::Infallible>(pass_on(&path, response, &interference).await)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    url
}

async fn pass_on(
    path: &str,
    response: Response<Outer>,
    interference: &Mutex<Option<Interference>>,
) -> Response<Outer> {
    if interference.lock().unwrap().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let instead = interference.lock().unwrap().as_mut().unwrap()(path, whole);
    let body = match instead {
        Instead::Answer(bytes) => Outer::whole(bytes),
        Instead::Break(bytes) => Outer::broken(bytes),
        Instead::Status(status, content_type, text) => {
            parts.status = StatusCode::from_u16(status).unwrap();
            parts.headers.insert("content-type", content_type.parse().unwrap());
            Outer::whole(text.as_bytes().to_vec())
        }
    };
    Response::from_parts(parts, body)
}

impl Enclave {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Outer> {
        let (parts, body) = request.into_parts();
        match (parts.method.as_str(), parts.uri.path()) {
            ("GET", "/.well-known/steve/evidence") => typed("application/cbor", self.bundle(None)),
            ("POST", "/.well-known/steve/evidence") => {
                let nonce = body.collect().await.unwrap().to_bytes();
                typed("application/cbor", self.bundle(Some(&nonce)))
            }
            ("POST", "/.well-known/steve/session") => {
                let hello = body.collect().await.unwrap().to_bytes();
                match self.accept(&hello) {
                    Some(answer) => typed("application/steve-hello", answer),
                    None => problem(400, "malformed"),
                }
            }
            ("POST", "/.well-known/steve/x") => self.exchange(body).await,
            _ => problem(404, "not_found"),
        }
    }

    fn bundle(&self, nonce: Option<&[u8]>) -> Vec<u8> {
        let claims = self.claims.lock().unwrap().to_bytes();
        let request = nsm::Request::Attestation { user_data: Some(&claims), nonce, public_key: None };
        let answer = self.nsm.lock().unwrap().handle(&request.to_bytes());
        let Ok(nsm::Response::Attestation { document }) = nsm::Response::from_bytes(&answer) else {
            panic!()
        };
        Bundle { key_configs: self.key.lock().unwrap().key_configs().to_vec(), document }.to_bytes()
    }

    pub(crate) fn accept(&self, hello: &[u8]) -> Option<Vec<u8>> {
        self.handshakes.fetch_add(1, SeqCst);
        let random =
            ServerRandom { encapsulate: Zeroizing::new(random()), session: random(), hello: random() };
        let lifetime_s = self.lifetime_s.load(SeqCst).try_into().unwrap();
        let grant = Grant { contexts: &[], limits: Limits::DEFAULT, lifetime_s };
        let (session, answer) = self.key.lock().unwrap().accept(hello, &grant, &random).ok()?;
        self.sessions.lock().unwrap().insert(session.session().id(), session);
        Some(answer)
    }

    async fn exchange(self: Arc<Self>, mut body: Incoming) -> Response<Outer> {
        let mut bytes = Vec::new();
        while bytes.len() < 25 {
            let Some(Ok(frame)) = body.frame().await else { return problem(400, "malformed") };
            bytes.extend_from_slice(frame.data_ref().unwrap());
        }
        let header: [u8; 25] = *bytes.first_chunk().unwrap();
        let Ok(name) = ServerSession::named_by(&header) else { return problem(400, "malformed") };
        let pending = match self.sessions.lock().unwrap().get(&name) {
            None => return problem(410, "session_unknown"),
            Some(session) => session.exchange(&header).unwrap(),
        };
        let (mut pending, mut rest) = (pending, bytes[25..].to_vec());
        let begun = loop {
            let end = body.is_end_stream();
            let fed = pending.feed(self.sessions.lock().unwrap().get_mut(&name).unwrap(), &rest, end);
            match fed {
                Ok(Beginning::Begun(begun)) => break begun,
                Ok(Beginning::Pending(again)) => pending = again,
                Err(_) => return problem(409, "replay"),
            }
            let Some(Ok(frame)) = body.frame().await else { return problem(400, "malformed") };
            rest = frame.into_data().unwrap().to_vec();
        };
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move { self.run(begun, body, sender).await });
        let mut response = Response::new(Outer(receiver));
        response.headers_mut().insert("content-type", "application/steve-res".parse().unwrap());
        response
    }

    async fn run(&self, begun: Begun, body: Incoming, to: mpsc::Sender<Result<Bytes, Cut>>) {
        let mut request =
            InnerRequest { body, opener: begun.opener, decoder: Decoder::request(), ended: false };
        let mut answer = Answer { sealer: begun.sealer, encoder: Encoder::new(), to };
        request.take(&begun.first);
        let Some(Part::Request(head)) = request.next().await else { return };
        self.ran.fetch_add(1, SeqCst);
        app(&head, &mut request, &mut answer).await;
        let _ = self.ends.send(request.ended);
    }
}

fn typed(content_type: &str, bytes: Vec<u8>) -> Response<Outer> {
    let mut response = Response::new(Outer::whole(bytes));
    response.headers_mut().insert("content-type", content_type.parse().unwrap());
    response
}

fn problem(status: u16, code: &str) -> Response<Outer> {
    let mut response =
        typed("application/problem+json", format!(r#"{{"type":"urn:steve:{code}"}}"#).into_bytes());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
