//! Epoch keys, and the evidence for them.

use crate::{Enclave, Settings};
use bytes::Bytes;
use caution_steve::{
    Bundle, EpochClaims, EpochKey, Flags, Grant, HandshakeError, MAX_BUNDLE, ServerRandom, ServerSession,
};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// What evidence says of an epoch's keys, beside what EnclaveOS says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// SHA-256 of the list of key configurations.
    pub key_configs_hash: [u8; 32],
    /// From when they may be used, milliseconds since 1970.
    pub not_before_ms: u64,
    /// Until when.
    pub not_after_ms: u64,
}

/// What EnclaveOS says of itself beside an epoch's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Which running enclave this is.
    pub instance: [u8; 16],
    /// SHA-256 of the manifest; zeros where there is none.
    pub manifest_hash: [u8; 32],
    /// Requests that are not encrypted reach the app, too.
    pub plaintext_fallback: bool,
}

impl Epoch {
    /// What the attestation document says.
    pub fn claims(&self, identity: &Identity) -> EpochClaims {
        EpochClaims {
            key_configs_hash: self.key_configs_hash,
            instance: identity.instance,
            not_before_ms: self.not_before_ms,
            not_after_ms: self.not_after_ms,
            manifest_hash: identity.manifest_hash,
            tls_key_hash: None,
            flags: Flags { plaintext_fallback: identity.plaintext_fallback, public_assets: true },
        }
    }
}

/// Evidence for an epoch's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The attestation document, COSE_Sign1.
    pub document: Vec<u8>,
    /// Until when it says that they may be used: not longer than was asked for, and shorter where its
    /// certificates end before.
    pub not_after_ms: u64,
}

/// The newest key, and the one before it.
pub(crate) struct Keys {
    ring: Mutex<Ring>,
    /// Something is due before its time.
    changed: Notify,
}

#[derive(Default)]
struct Ring {
    next_id: u8,
    /// The newest takes no more hellos.
    exhausted: bool,
    /// Newest first.
    keys: Vec<Key>,
    /// Until when there is evidence that a client takes.
    evidence: Option<Instant>,
}

struct Key {
    secret: EpochKey,
    epoch: Epoch,
    made: Instant,
    bundle: Bytes,
    /// When the next document is due.
    renew: Instant,
}

/// What is to be done about keys now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A new key.
    Key,
    /// A new document for the newest one.
    Document,
    /// Nothing before this moment.
    Nothing(Instant),
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { ring: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due; keys that are past their time are forgotten.
    pub(crate) fn due(&self, settings: &Settings) -> Due {
        let (limits, now) = (&settings.limits, Instant::now());
        let mut ring = self.lock();
        ring.keys.retain(|key| now < key.made + limits.epoch * EPOCHS);
        let Some(newest) = ring.keys.first() else { return Due::Key };
        let (key, document) = (newest.made + limits.epoch, newest.renew);
        if now >= key || ring.exhausted {
            Due::Key
        } else if now >= document {
            Due::Document
        } else {
            Due::Nothing(key.min(document))
        }
    }

    /// Until this moment, or until something is due before it.
    pub(crate) async fn wait(&self, until: Instant) {
        let _ = timeout_at(until, self.changed.notified()).await;
    }

    /// Makes a key, has it attested and takes it into use. Blocks.
    pub(crate) fn rotate(&self, settings: &Settings, enclave: &dyn Enclave) -> io::Result<()> {
        let mut seed = Zeroizing::new([0; 32]);
        enclave.random(&mut seed[..]);
        let id = self.lock().next_id;
        let secret = EpochKey::from_seed(settings.suite, id, settings.instance, &seed);
        let (made, now_ms) = (Instant::now(), enclave.now_ms());
        let epoch = Epoch {
            key_configs_hash: secret.key_configs_hash(),
            not_before_ms: now_ms,
            not_after_ms: now_ms.saturating_add(milliseconds(settings.limits.epoch * EPOCHS)),
        };
        let attested = enclave.attest(&epoch, None)?;
        let bundle = bundle(secret.key_configs(), &attested.document)?;
        let renew = made + lasts(&attested, now_ms, settings);
        let mut ring = self.lock();
        ring.evidence = Some(made + left(&attested, now_ms));
        ring.exhausted = false;
        ring.next_id = id.wrapping_add(1);
        ring.keys.insert(0, Key { secret, epoch, made, bundle, renew });
        ring.keys.truncate(EPOCHS as usize);
        Ok(())
    }

    /// Has the newest key attested again. Blocks.
    pub(crate) fn attest_again(&self, settings: &Settings, enclave: &dyn Enclave) -> io::Result<()> {
        let Some((epoch, list)) = self.newest() else { return Ok(()) };
        let (now, now_ms) = (Instant::now(), enclave.now_ms());
        let attested = enclave.attest(&epoch, None)?;
        let bundle = bundle(&list, &attested.document)?;
        let renew = now + lasts(&attested, now_ms, settings);
        let mut ring = self.lock();
        if let Some(key) = ring.keys.iter_mut().find(|key| key.epoch == epoch) {
            (key.bundle, key.renew) = (bundle, renew);
            ring.evidence = Some(now + left(&attested, now_ms));
        }
        Ok(())
    }

    /// Whether there is evidence still, or was a moment ago.
    pub(crate) fn has_evidence(&self, settings: &Settings) -> bool {
        let ends = self.lock().evidence;
        ends.is_some_and(|ends| Instant::now() < ends + settings.limits.without_evidence)
    }

    /// The bundle of this epoch; none before the first document.
    pub(crate) fn bundle(&self) -> Option<Bytes> {
        self.lock().keys.first().map(|key| key.bundle.clone())
    }

    /// A bundle whose document has this nonce. Blocks.
    pub(crate) fn fresh(&self, enclave: &dyn Enclave, nonce: &[u8; 32]) -> io::Result<Option<Bytes>> {
        let Some((epoch, list)) = self.newest() else { return Ok(None) };
        bundle(&list, &enclave.attest(&epoch, Some(nonce))?.document).map(Some)
    }

    fn newest(&self) -> Option<(Epoch, Vec<u8>)> {
        self.lock().keys.first().map(|key| (key.epoch, key.secret.key_configs().to_vec()))
    }

    /// Takes a hello with whichever key it names. `None` before the first key.
    pub(crate) fn accept(
        &self,
        hello: &[u8],
        grant: &Grant<'_>,
        random: &ServerRandom,
    ) -> Option<Result<(ServerSession, Vec<u8>), HandshakeError>> {
        let mut ring = self.lock();
        let mut answer = None;
        for key in &mut ring.keys {
            let accepted = key.secret.accept(hello, grant, random);
            let other = matches!(accepted, Err(HandshakeError::KeyUnknown(_)));
            answer = Some(accepted);
            if !other {
                break;
            }
        }
        if let Some(Err(HandshakeError::KeyExhausted(_))) = answer {
            ring.exhausted = true;
            self.changed.notify_one();
        }
        answer
    }
}

fn bundle(list: &[u8], document: &[u8]) -> io::Result<Bytes> {
    let bundle = Bundle { key_configs: list.to_vec(), document: document.to_vec() }.to_bytes();
    if bundle.len() > MAX_BUNDLE {
        let length = document.len();
        let why = format!("an attestation document of {length} bytes is too long");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(bundle.into())
}

/// After how long the next document is due: before this one says that it ends.
fn lasts(attested: &Attested, now_ms: u64, settings: &Settings) -> Duration {
    let half = left(attested, now_ms) / 2;
    settings.limits.evidence.min(half.max(SHORTEST))
}

/// How long clients take this document.
fn left(attested: &Attested, now_ms: u64) -> Duration {
    Duration::from_millis(attested.not_after_ms.saturating_sub(now_ms))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many epochs a key is accepted for.
const EPOCHS: u32 = 2;
/// Between two documents, where certificates end: as long as the module's next ones may take.
const SHORTEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Protocol};

    #[test]
    fn a_document_is_renewed_before_it_ends_and_never_without_a_pause() {
        let settings = Settings {
            suite: caution_steve::Suite::X25519,
            instance: [0; 16],
            app: ([127, 0, 0, 1], 1).into(),
            protocol: Protocol::Http1,
            platform: ([127, 0, 0, 1], 1).into(),
            origins: Vec::new(),
            plaintext_fallback: false,
            steve_v2: false,
            limits: Limits::DEFAULT,
        };
        let lasts = |seconds: u64| {
            let attested = Attested { document: Vec::new(), not_after_ms: 1000 + seconds * 1000 };
            lasts(&attested, 1000, &settings).as_secs()
        };
        assert_eq!([1200, 600, 100, 20, 0].map(lasts), [300, 300, 50, 10, 10]);
    }
}
