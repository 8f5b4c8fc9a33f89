//! The process itself.

use super::words::{Answer, Question, Setup};
use caution_abi::e2e::{AppProtocol, Suite};
use caution_abi::ports::ATTESTATION;
use caution_enclave_sys::{clock, entropy, helper};
use caution_steved::{Attested, Enclave, Epoch, Limits, Protocol, SessionClaims, Settings, Steved};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Builder, Runtime};

/// Serves until it cannot, and then says why.
pub(crate) fn main() -> ExitCode {
    let inherited = helper::hide_memory().and_then(|()| Ok((helper::given(0)?, helper::given(1)?)));
    // Somebody has started this program under this name by hand.
    let Ok((words, listener)) = inherited else { return ExitCode::from(2) };
    let parent = Arc::new(Parent(Mutex::new(words)));
    let error = match serve(&parent, &listener) {
        Ok(never) => match never {},
        Err(e) => e,
    };
    let _ = Question::Failed(error.to_string()).send(&parent.words());
    ExitCode::FAILURE
}

fn serve(parent: &Arc<Parent>, listener: &TcpListener) -> io::Result<std::convert::Infallible> {
    let setup = Setup::receive(&parent.words())?;
    let loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let steved = Steved::new(
        Settings {
            suite: match setup.e2e.suite {
                Suite::X25519 => caution_steve::Suite::X25519,
                Suite::Xwing => caution_steve::Suite::XWing,
            },
            instance: setup.instance,
            app: loopback(setup.e2e.app_port.get()),
            protocol: match setup.e2e.app_protocol {
                AppProtocol::Http => Protocol::Http1,
                AppProtocol::H2c => Protocol::H2c,
            },
            platform: loopback(ATTESTATION),
            origins: setup.e2e.origins.into_iter().map(Into::into).collect(),
            plaintext_fallback: setup.e2e.plaintext_fallback,
            steve_v2: setup.e2e.steve_v2,
            limits: Limits::DEFAULT,
        },
        Arc::clone(parent) as Arc<dyn Enclave>,
    );
    listener.set_nonblocking(true)?;
    let keeper = runtime()?;
    keeper.block_on(steved.start())?;
    // One thread a processor, each with the connections that it has taken itself: they share keys and sessions,
    // which are held for microseconds.
    for _ in 0..std::thread::available_parallelism()?.get() {
        let (runtime, listener, steved, parent) =
            (runtime()?, listener.try_clone()?, steved.clone(), Arc::clone(parent));
        std::thread::Builder::new().name("connections".into()).spawn(move || {
            let error = runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => steved.listen(listener).await,
                    Err(e) => e,
                }
            });
            let _ = Question::Failed(format!("its listener broke: {error}")).send(&parent.words());
        })?;
    }
    Err(keeper.block_on(steved.maintain()))
}

fn runtime() -> io::Result<Runtime> {
    // What blocks is a question to PID 1, and those are asked one by one.
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build()
}

/// PID 1, which has the security module.
struct Parent(Mutex<UnixStream>);

impl Parent {
    fn words(&self) -> MutexGuard<'_, UnixStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enclave for Parent {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested> {
        let words = self.words();
        Question::Attest { epoch: *epoch, nonce: nonce.copied() }.send(&words)?;
        match Answer::receive(&words)? {
            Answer::Attested(attested) => Ok(attested),
            Answer::Refused(reason) => Err(io::Error::other(reason)),
            Answer::Session(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn attest_session(&self, claims: &SessionClaims, nonce: &[u8; 32]) -> io::Result<Vec<u8>> {
        let words = self.words();
        Question::Session { claims: claims.clone(), nonce: *nonce }.send(&words)?;
        match Answer::receive(&words)? {
            Answer::Session(document) => Ok(document),
            Answer::Refused(reason) => Err(io::Error::other(reason)),
            Answer::Attested(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        entropy::fill(buffer).expect("the kernel's generator was seeded at boot, and fails never after");
    }
}

const BLOCKING: usize = 8;
