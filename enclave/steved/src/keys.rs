//! Epoch keys, and the evidence for them.

use crate::{Enclave, Settings};
use bytes::Bytes;
use caution_steve::{Bundle, EpochKey, Grant, HandshakeError, MAX_BUNDLE, ServerRandom, ServerSession};
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
}

struct Key {
    secret: EpochKey,
    epoch: Epoch,
    made: Instant,
    bundle: Bytes,
    attested: Instant,
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
        let (key, document) = (newest.made + limits.epoch, newest.attested + limits.evidence);
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
        let bundle = bundle(secret.key_configs(), &enclave.attest(&epoch, None)?)?;
        let mut ring = self.lock();
        ring.exhausted = false;
        ring.next_id = id.wrapping_add(1);
        ring.keys.insert(0, Key { secret, epoch, made, bundle, attested: made });
        ring.keys.truncate(EPOCHS as usize);
        Ok(())
    }

    /// Has the newest key attested again. Blocks.
    pub(crate) fn attest_again(&self, enclave: &dyn Enclave) -> io::Result<()> {
        let Some((epoch, list)) = self.newest() else { return Ok(()) };
        let attested = Instant::now();
        let bundle = bundle(&list, &enclave.attest(&epoch, None)?)?;
        let mut ring = self.lock();
        if let Some(key) = ring.keys.iter_mut().find(|key| key.epoch == epoch) {
            (key.bundle, key.attested) = (bundle, attested);
        }
        Ok(())
    }

    /// The bundle of this epoch; none before the first document.
    pub(crate) fn bundle(&self) -> Option<Bytes> {
        self.lock().keys.first().map(|key| key.bundle.clone())
    }

    /// A bundle whose document has this nonce. Blocks.
    pub(crate) fn fresh(&self, enclave: &dyn Enclave, nonce: &[u8; 32]) -> io::Result<Option<Bytes>> {
        let Some((epoch, list)) = self.newest() else { return Ok(None) };
        bundle(&list, &enclave.attest(&epoch, Some(nonce))?).map(Some)
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
        return Err(io::Error::other(format!("an attestation document of {length} bytes is too long")));
    }
    Ok(bundle.into())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many epochs a key is accepted for.
const EPOCHS: u32 = 2;
