//! Documents about epochs, and about sessions of version 2, in EnclaveOS' own words.
//!
//! steved says which keys, and for how long at most; who it is, which manifest, and what the deployment allows is
//! written here, and no caller chooses any of it.

use caution_abi::nsm::document_certificate_ends_ms;
use caution_enclave_sys::nsm::{Nsm, NsmError};
use caution_measure::Nonce;
use caution_steved::{Attested, Epoch, Identity, SessionClaims};
use std::sync::Arc;

/// Asks the security module about epochs.
pub(crate) struct Epochs {
    nsm: Arc<dyn Nsm>,
    identity: Identity,
    /// The deployment serves version 2, too.
    sessions: bool,
    /// When the certificate of the last document ends: the module uses one for hours.
    certificate_ends_ms: u64,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EpochError {
    /// The module gives none.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// Its certificate cannot be read.
    #[error("the security module's document has no certificate that ends")]
    Certificate,
    /// Whoever was given such a document could not use it.
    #[error("the security module's certificate has ended")]
    Ends,
    /// The boot plan has no `steve_v2`.
    #[error("this deployment does not serve version 2")]
    Sessions,
}

impl Epochs {
    pub(crate) fn new(nsm: Arc<dyn Nsm>, identity: Identity, sessions: bool) -> Self {
        Self { nsm, identity, sessions, certificate_ends_ms: u64::MAX }
    }

    /// A document that vouches for the epoch, as long as its certificate does.
    pub(crate) fn attest(
        &mut self,
        epoch: &Epoch,
        nonce: Option<&[u8; 32]>,
        now_ms: u64,
    ) -> Result<Attested, EpochError> {
        let nonce = nonce.map(|nonce| Nonce::new(*nonce));
        // The module may change its certificate between two documents, though hardly twice in a row.
        for _ in 0..TRIES {
            let claimed = self.limited(epoch, now_ms)?;
            let document = self.nsm.attest_epoch(&claimed.claims(&self.identity), nonce.as_ref())?;
            self.certificate_ends_ms =
                document_certificate_ends_ms(&document).map_err(|_| EpochError::Certificate)?;
            if claimed.not_after_ms <= self.longest(now_ms) {
                return Ok(Attested { document, not_after_ms: claimed.not_after_ms });
            }
        }
        Err(EpochError::Ends)
    }

    /// A document about a session of version 2, which says nothing but what its key exchange gave.
    pub(crate) fn attest_session(
        &self,
        claims: &SessionClaims,
        nonce: &[u8; 32],
    ) -> Result<Vec<u8>, EpochError> {
        if !self.sessions {
            return Err(EpochError::Sessions);
        }
        Ok(self.nsm.attest_session(claims, &Nonce::new(*nonce))?)
    }

    fn limited(&self, epoch: &Epoch, now_ms: u64) -> Result<Epoch, EpochError> {
        let asked = epoch.not_after_ms.min(now_ms.saturating_add(LONGEST_MS));
        let certificate = self.longest(now_ms);
        // The next document may have another certificate than the last, which has ended.
        let not_after_ms = if certificate > now_ms { asked.min(certificate) } else { asked };
        if not_after_ms <= now_ms || epoch.not_before_ms > not_after_ms {
            return Err(EpochError::Ends);
        }
        Ok(Epoch { not_after_ms, ..*epoch })
    }

    /// Until when a document of the last certificate may say that keys are used. How long before its end the module
    /// takes another one is the module's matter: in its last minute a certificate is better than none.
    fn longest(&self, now_ms: u64) -> u64 {
        let careful = self.certificate_ends_ms.saturating_sub(MARGIN_MS);
        if careful > now_ms { careful } else { self.certificate_ends_ms }
    }
}

/// What a verifier's clock may be behind.
const MARGIN_MS: u64 = 60_000;
/// A key is accepted for two epochs of ten minutes.
const LONGEST_MS: u64 = 20 * 60_000;
const TRIES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::nsm::Response;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// 2026-03-01 12:34:56.
    const ENDS: u64 = 1_772_368_496_000;

    /// Documents whose certificates end at these times, one after the other; keeps what it was asked.
    struct Module {
        ends: Vec<&'static [u8; 13]>,
        asked: AtomicUsize,
        last: Mutex<Vec<u8>>,
    }

    impl Nsm for Module {
        fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, NsmError> {
            *self.last.lock().unwrap() = request.to_vec();
            let at = self.asked.fetch_add(1, Ordering::Relaxed).min(self.ends.len() - 1);
            let validity = [b"\x30\x1e\x17\x0d260101000000Z\x17\x0d", &self.ends[at][..]].concat();
            let content = [b"\x02\x01\x07\x30\x00\x30\x00", &validity[..]].concat();
            let certificate = [b"\x30\x29\x30\x27", &content[..]].concat();
            let mut payload = b"\xa1\x6bcertificate\x58\x2b".to_vec();
            payload.extend(certificate);
            let mut document = b"\x84\x40\xa0\x58".to_vec();
            document.push(u8::try_from(payload.len()).unwrap());
            document.extend(payload);
            document.push(0x40);
            Ok(Response::Attestation { document }.to_bytes())
        }
    }

    fn attest(ends: &[&'static [u8; 13]], now_ms: u64, lasts_ms: u64) -> (Result<u64, String>, usize) {
        let module =
            Arc::new(Module { ends: ends.to_vec(), asked: AtomicUsize::new(0), last: Mutex::default() });
        let identity = Identity { instance: [1; 16], manifest_hash: [2; 32], plaintext_fallback: true };
        let mut epochs = Epochs::new(Arc::clone(&module) as Arc<dyn Nsm>, identity, false);
        let epoch =
            Epoch { key_configs_hash: [3; 32], not_before_ms: now_ms, not_after_ms: now_ms + lasts_ms };
        let attested = epochs.attest(&epoch, Some(&[4; 32]), now_ms);
        if let Ok(attested) = &attested {
            let claims = Epoch { not_after_ms: attested.not_after_ms, ..epoch }.claims(&identity).to_bytes();
            let last = module.last.lock().unwrap();
            assert!(
                last.windows(claims.len()).any(|part| part == claims),
                "what it says is what was asked for"
            );
        }
        let lasts = attested.map(|attested| attested.not_after_ms - now_ms).map_err(|e| e.to_string());
        (lasts, module.asked.load(Ordering::Relaxed))
    }

    #[test]
    fn evidence_ends_with_its_certificate_and_after_two_epochs() {
        const MINUTE: u64 = 60_000;
        let ends = b"260301123456Z";
        assert_eq!(attest(&[ends], ENDS - 60 * MINUTE, 15 * MINUTE), (Ok(15 * MINUTE), 1));
        assert_eq!(attest(&[ends], ENDS - 60 * MINUTE, 90 * MINUTE), (Ok(20 * MINUTE), 1));
        // The first document says when its certificate ends, the second respects that.
        assert_eq!(attest(&[ends], ENDS - 10 * MINUTE, 20 * MINUTE), (Ok(9 * MINUTE), 2));
        // The module has changed its certificate meanwhile.
        assert_eq!(attest(&[ends, b"260301160000Z"], ENDS + 1, 20 * MINUTE), (Ok(20 * MINUTE), 2));
        let (refused, asked) = attest(&[ends], ENDS, 20 * MINUTE);
        assert_eq!((refused.is_err(), asked), (true, TRIES));
    }

    #[test]
    fn a_certificate_in_its_last_minute_does_not_end_the_enclave() {
        let ends = b"260301123456Z";
        for left in [60_000, 30_000, 1] {
            assert_eq!(attest(&[ends], ENDS - left, 20 * 60_000), (Ok(left), 2));
        }
    }

    #[test]
    fn sessions_get_documents_where_the_boot_plan_has_version_2_and_then_about_themselves() {
        let ends = vec![b"260301123456Z"];
        let module = Arc::new(Module { ends, asked: AtomicUsize::new(0), last: Mutex::default() });
        let identity = Identity { instance: [1; 16], manifest_hash: [2; 32], plaintext_fallback: true };
        let claims = SessionClaims {
            suite: caution_steve::Suite::X25519,
            session: caution_steve::SessionId([5; 16]),
            transcript_hash: [6; 32],
            binder: [7; 32],
        };
        let ask = |sessions| {
            let epochs = Epochs::new(Arc::clone(&module) as Arc<dyn Nsm>, identity, sessions);
            epochs.attest_session(&claims, &[4; 32]).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(ask(false), Err("this deployment does not serve version 2".to_owned()));
        assert_eq!(module.asked.load(Ordering::Relaxed), 0);
        assert_eq!(ask(true), Ok(()));
        let (said, last) = (claims.to_bytes(), module.last.lock().unwrap());
        for part in [&said[..], &[4; 32]] {
            assert!(last.windows(part.len()).any(|window| window == part));
        }
    }
}
