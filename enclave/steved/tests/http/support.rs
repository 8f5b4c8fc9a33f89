//! steved with settings of a test, and an enclave whose documents are their own claims.

use caution_steve::Suite;
use caution_steved::{Attested, Enclave, Epoch, Identity, Limits, Protocol, SessionClaims, Settings, Steved};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

pub(crate) const INSTANCE: [u8; 16] = [0x11; 16];

/// What a test's attestation document says: the claims, and then the nonce. Nobody signs it.
#[derive(Default)]
pub(crate) struct TestEnclave {
    counter: AtomicU64,
    pub(crate) documents: AtomicU64,
    /// How often it was asked for a document that it refused.
    pub(crate) refused: AtomicU64,
    /// What it says in place of documents.
    pub(crate) refuses: Mutex<Option<io::ErrorKind>>,
}

impl Enclave for TestEnclave {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested> {
        if let Some(kind) = *self.refuses.lock().unwrap() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(io::Error::new(kind, "the module is asleep"));
        }
        self.documents.fetch_add(1, Ordering::Relaxed);
        let identity = Identity { instance: INSTANCE, manifest_hash: [3; 32], plaintext_fallback: false };
        let claims = epoch.claims(&identity);
        let mut document = claims.to_bytes();
        document.extend_from_slice(nonce.map_or(&[], |nonce| &nonce[..]));
        Ok(Attested { document, not_after_ms: claims.not_after_ms })
    }

    fn attest_session(&self, claims: &SessionClaims, nonce: &[u8; 32]) -> io::Result<Vec<u8>> {
        self.documents.fetch_add(1, Ordering::Relaxed);
        Ok([&claims.to_bytes()[..], nonce].concat())
    }

    fn now_ms(&self) -> u64 {
        1_700_000_000_000
    }

    /// No two are the same, which is all that tests need.
    fn random(&self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let next = self.counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            piece.copy_from_slice(&next.to_be_bytes()[..piece.len()]);
        }
    }
}

/// A running steved.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) enclave: Arc<TestEnclave>,
    tasks: Vec<tokio::task::JoinHandle<io::Error>>,
}

impl Running {
    /// Why its keys are kept no longer.
    pub(crate) async fn end(&mut self) -> io::Error {
        self.tasks.pop().unwrap().await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

pub(crate) fn settings(app: SocketAddr) -> Settings {
    Settings {
        suite: Suite::X25519,
        instance: INSTANCE,
        app,
        protocol: Protocol::Http1,
        platform: app,
        origins: vec!["https://page.example".to_owned()],
        plaintext_fallback: false,
        steve_v2: false,
        limits: Limits::DEFAULT,
    }
}

pub(crate) async fn run(settings: Settings) -> Running {
    let enclave = Arc::new(TestEnclave { counter: AtomicU64::new(1), ..TestEnclave::default() });
    let steved = Steved::new(settings, Arc::clone(&enclave) as Arc<dyn Enclave>);
    steved.start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let other = steved.clone();
    let tasks = vec![
        tokio::spawn(async move { steved.listen(listener).await }),
        tokio::spawn(async move { other.maintain().await }),
    ];
    Running { address, enclave, tasks }
}
