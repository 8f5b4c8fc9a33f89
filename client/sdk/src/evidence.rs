//! From a bundle that a stranger sent to a key that an enclave vouches for.

use crate::policy::Policy;
use caution_attest::{
    Archived, Evidence, Expected, Live, Malformed, Roots, UnixMillis, Verified, VerifyError,
};
use caution_measure::Sha256Digest;
use caution_steve::{
    AttestedKey, Bundle, EpochClaims, KeyConfigError, Suite, decode_key_configs, key_configs_hash,
};

/// Why evidence is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Not the bytes of a bundle.
    #[error("it is no bundle of STEVE's")]
    Bundle,
    /// No attestation document.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A document that nobody trusted vouches for, of another time, or of another enclave.
    #[error(transparent)]
    Attestation(#[from] VerifyError),
    /// A document about something else.
    #[error("the document is genuine, and vouches for no key of STEVE's")]
    NoClaims,
    /// The keys beside the document are not those it vouches for.
    #[error("the document vouches for other keys than those that came with it")]
    KeyBinding,
    /// The keys' time is not now.
    #[error("its keys are for {from} to {until}, and it is {now}")]
    Stale {
        /// The first moment.
        from: UnixMillis,
        /// The last.
        until: UnixMillis,
        /// Now.
        now: UnixMillis,
    },
    /// Requests without encryption reach the app.
    #[error("the enclave lets requests without encryption through to its application")]
    PlaintextFallback,
    /// The list of keys makes no sense.
    #[error(transparent)]
    Keys(#[from] KeyConfigError),
    /// The enclave has another suite.
    #[error("the enclave's suite is {}, and {expected} is expected", .found.map_or("none that is known", Suite::name))]
    SuiteMismatch {
        /// The enclave's.
        found: Option<Suite>,
        /// The one that was chosen.
        expected: Suite,
    },
}

/// What evidence is asked for.
pub(crate) struct Question<'a> {
    pub roots: &'a Roots,
    pub policy: &'a Policy,
    pub suite: Suite,
    pub allow_plaintext_fallback: bool,
    pub now: UnixMillis,
    /// The challenge that was sent; none where the epoch's own document was asked for.
    pub nonce: Option<&'a [u8; 32]>,
}

/// An enclave whose evidence holds.
#[derive(Debug, Clone)]
pub(crate) struct Attested {
    pub key: AttestedKey,
    pub claims: EpochClaims,
    pub verified: Verified,
    /// SHA-256 of the document.
    pub document: Sha256Digest,
}

impl Question<'_> {
    /// Answers it from the bytes of a bundle; every step is fatal.
    pub(crate) fn ask(&self, bundle: &[u8]) -> Result<Attested, EvidenceError> {
        let bundle = Bundle::from_bytes(bundle).ok_or(EvidenceError::Bundle)?;
        let verified = self.authenticate(&bundle.document)?;
        let claims = verified.user_data().and_then(EpochClaims::from_bytes).ok_or(EvidenceError::NoClaims)?;
        let hash = key_configs_hash(&bundle.key_configs);
        if hash != claims.key_configs_hash {
            return Err(EvidenceError::KeyBinding);
        }
        let (from, until) = (UnixMillis(claims.not_before_ms), UnixMillis(claims.not_after_ms));
        if self.now.0.saturating_add(CLOCK_SKEW_MS) < from.0 || self.now > until {
            return Err(EvidenceError::Stale { from, until, now: self.now });
        }
        if claims.flags.plaintext_fallback && !self.allow_plaintext_fallback {
            return Err(EvidenceError::PlaintextFallback);
        }
        let configs = decode_key_configs(&bundle.key_configs)?;
        let found = configs.first().map(|config| config.suite);
        let config = configs
            .into_iter()
            .find(|config| config.suite == self.suite)
            .ok_or(EvidenceError::SuiteMismatch { found, expected: self.suite })?;
        let key = AttestedKey { config, key_configs_hash: hash, instance: claims.instance };
        Ok(Attested { key, claims, verified, document: Sha256Digest::of(&bundle.document) })
    }

    fn authenticate(&self, document: &[u8]) -> Result<Verified, EvidenceError> {
        let evidence = Evidence::parse(document)?;
        let expected = Expected {
            profiles: self.policy.profiles(),
            registers: self.policy.registers(),
            ..Expected::default()
        };
        if let Some(nonce) = self.nonce {
            let live = Live { now: self.now, nonce, max_age_ms: MAX_AGE_MS };
            return Ok(evidence.verify(self.roots, &live, &expected)?);
        }
        // The epoch's own document answers nobody in particular. What makes it fresh is its epoch, whose end is in
        // the claims, and that whoever answers the hello holds its key.
        let archived = Archived { at: Some(self.now), nonce: None };
        Ok(evidence.verify_archived(self.roots, &archived, &expected)?)
    }
}

/// How far an enclave's clock may be ahead of ours.
const CLOCK_SKEW_MS: u64 = 2 * 60 * 1000;
/// How old the answer to a challenge of ours may be.
const MAX_AGE_MS: u64 = 5 * 60 * 1000;
