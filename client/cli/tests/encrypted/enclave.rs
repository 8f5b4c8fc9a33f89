//! An enclave without an enclave: steved, an app behind it, and a module that vouches for both.

use bytes::Bytes;
use caution_abi::nsm::{Request as NsmRequest, Response as NsmResponse};
use caution_devnsm::{DevNsm, DevRoot};
use caution_measure::{ImagePcrs, Measurements, Pcr};
use caution_steve::Suite;
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, accept_of, write_frame};
use caution_steved::{Attested, Enclave, Epoch, Identity, Limits, Protocol, Settings, Steved};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const INSTANCE: [u8; 16] = [0x11; 16];

pub(crate) fn image(byte: u8) -> ImagePcrs {
    let [pcr0, pcr1, pcr2] = [byte, 2, 3].map(|byte| Pcr::new([byte; 48]));
    ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8: None }
}

/// An app with STEVE in front of it, and a folder with what a user has: `good.pcrs`, `other.pcrs`, `root.der`.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    /// How many requests the app saw.
    asked: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Running {
    pub(crate) fn start(suite: Suite) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = DevRoot::load_or_create(&folder.path().join("root")).unwrap();
        std::fs::write(folder.path().join("root.der"), root.root_der()).unwrap();
        std::fs::write(folder.path().join("good.pcrs"), image(1).to_text()).unwrap();
        std::fs::write(folder.path().join("other.pcrs"), image(9).to_text()).unwrap();
        let nsm = DevNsm::new(&root, image(1), false, "i-0dev-enc1", now_ms).unwrap();
        let runtime = Runtime::new().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let url = runtime.block_on(serve(suite, nsm, Arc::clone(&asked)));
        Self { url, folder, asked, _runtime: runtime }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command in the folder, as a user without any other setting has it.
    pub(crate) fn caution(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_caution"));
        command.arg(verb).env("HOME", self.folder.path()).current_dir(self.folder.path());
        for name in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "CAUTION_WORKDIR"] {
            command.env_remove(name);
        }
        command.arg("--trust-root").arg(Path::new("root.der"));
        command
    }
}

struct TestEnclave(Mutex<DevNsm>);

#[expect(clippy::disallowed_methods, reason = "the command under test reads the clock, too")]
fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

impl Enclave for TestEnclave {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested> {
        let identity = Identity { instance: INSTANCE, manifest_hash: [3; 32], plaintext_fallback: false };
        let claims = epoch.claims(&identity);
        let user_data = claims.to_bytes();
        let nonce = nonce.map(|nonce| &nonce[..]);
        let request = NsmRequest::Attestation { user_data: Some(&user_data), nonce, public_key: None };
        match NsmResponse::from_bytes(&self.0.lock().unwrap().handle(&request.to_bytes())) {
            Ok(NsmResponse::Attestation { document }) => {
                Ok(Attested { document, not_after_ms: claims.not_after_ms })
            }
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).unwrap();
    }
}

async fn serve(suite: Suite, nsm: DevNsm, asked: Arc<AtomicUsize>) -> String {
    let app_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app_address = app_listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = app_listener.accept().await.unwrap();
            let asked = Arc::clone(&asked);
            let service = service_fn(move |request| {
                asked.fetch_add(1, SeqCst);
                async { Ok::<_, Infallible>(app(request)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    let settings = Settings {
        suite,
        instance: INSTANCE,
        app: app_address,
        protocol: Protocol::Http1,
        platform: app_address,
        origins: Vec::new(),
        plaintext_fallback: false,
        steve_v2: false,
        limits: Limits::DEFAULT,
    };
    let steved = Steved::new(settings, Arc::new(TestEnclave(Mutex::new(nsm))));
    steved.start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { steved.listen(listener).await });
    url
}

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// The app: sends back what it got, with what it was asked in its fields; `/cut` breaks off, `/lost` is a 404,
/// `/socket` is a WebSocket that says everything again, `/half` one that breaks off.
fn app(mut request: Request<Incoming>) -> Answer {
    if let Some(key) = request.headers().get("sec-websocket-key").filter(|_| request.uri().path() != "/lost")
    {
        let accept = accept_of(key.as_bytes()).unwrap();
        let half = request.uri().path() == "/half";
        let switched = hyper::upgrade::on(&mut request);
        tokio::spawn(async move { echo(TokioIo::new(switched.await.unwrap()), half).await });
        let response = Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-protocol", "chat")
            .header("sec-websocket-accept", accept);
        return response.body(Full::default().map_err(|never| match never {}).boxed_unsync()).unwrap();
    }
    let (parts, body) = request.into_parts();
    let field = |name: &str| parts.headers.get(name).cloned().unwrap_or("-".parse().unwrap());
    let mut response = Response::builder()
        .header("x-method", parts.method.as_str())
        .header("x-path", parts.uri.to_string())
        .header("x-host", field("host"))
        .header("x-e2e", field("x-enclave-e2e"))
        .header("x-mine-was", field("x-mine"));
    if parts.uri.path() == "/lost" {
        response = response.status(404);
    }
    if parts.uri.path() == "/cut" {
        // It says that there is more than comes.
        response = response.header("content-length", body.size_hint().lower() + 10);
    }
    response.body(body.boxed_unsync()).unwrap()
}

async fn echo(mut io: TokioIo<hyper::upgrade::Upgraded>, half: bool) {
    let mut reader = FrameReader::new(Sender::Client);
    loop {
        let (mut bytes, mut answer) = ([0; 4096], Vec::new());
        let Ok(read @ 1..) = io.read(&mut bytes).await else { return };
        reader.feed(&bytes[..read]);
        let mut is_over = false;
        while let Some(piece) = reader.next_piece().unwrap() {
            match piece {
                Piece::Data { text, content, end } => {
                    is_over = half;
                    let opcode = if text { Opcode::Text } else { Opcode::Binary };
                    write_frame(opcode, end, &content, None, &mut answer);
                }
                Piece::Close(content) => {
                    is_over = true;
                    write_frame(Opcode::Close, true, &content, None, &mut answer);
                }
                other => panic!("{other:?}"),
            }
        }
        if io.write_all(&answer).await.is_err() || is_over {
            return;
        }
    }
}
