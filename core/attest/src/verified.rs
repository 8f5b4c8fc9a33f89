//! From a document to a verdict.

use crate::chain::Chain;
use crate::error::{Mismatch, Mismatches};
use crate::excerpt;
use crate::intermediates::Intermediates;
use crate::signature::Signature;
use crate::{
    Archived, CertificateSummary, Checked, DebugPolicy, Evidence, Expected, Live, RootKind, Roots,
    UnixMillis, Unverified, UnverifiedFields, VerifyError,
};
use alloc::vec::Vec;
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use subtle::ConstantTimeEq as _;

/// A document that a trusted root vouches for and that answers the questions.
pub type Verified = Evidence<Authentic>;

/// The state of a verified document. Only [`Evidence::verify`] and [`Evidence::verify_archived`] make one.
#[derive(Debug, Clone)]
pub struct Authentic {
    root: RootKind,
    chain: Vec<CertificateSummary>,
    measurements: Measurements,
    is_debug: bool,
    checked: Checked,
}

impl Evidence<Unverified> {
    /// Authenticates the answer of a running enclave, then asks the questions, in this order: headers,
    /// chain, signature, validity, content, freshness, debug mode, registers. The first failure is the
    /// refusal; so what is refused as stale is authentic, and what is refused as a mismatch is both
    /// authentic and fresh.
    ///
    /// # Errors
    /// A [`VerifyError`] whose [`kind`](VerifyError::kind) says who is to blame.
    pub fn verify(
        self,
        roots: &Roots,
        live: &Live<'_>,
        expected: &Expected<'_>,
    ) -> Result<Verified, VerifyError> {
        self.check(roots, &Question::live(live, expected), &mut Intermediates::new(0))
    }

    /// The same for a document that was kept: at its own time, or at a given one, and of any age.
    ///
    /// # Errors
    /// A [`VerifyError`] whose [`kind`](VerifyError::kind) says who is to blame.
    pub fn verify_archived(
        self,
        roots: &Roots,
        archived: &Archived<'_>,
        expected: &Expected<'_>,
    ) -> Result<Verified, VerifyError> {
        let question = Question::archived(&self, archived, expected);
        self.check(roots, &question, &mut Intermediates::new(0))
    }

    pub(crate) fn check(
        self,
        roots: &Roots,
        question: &Question<'_>,
        known: &mut Intermediates,
    ) -> Result<Verified, VerifyError> {
        question.check()?;
        let signature = self.check_headers()?;
        let Self { fields, state } = self;

        let chain = Chain::check(&fields.cabundle, &fields.certificate, roots, known)?;
        if !chain.leaf_key.signed(&signature_structure(&state.payload), &signature) {
            return Err(VerifyError::DocumentSignature);
        }
        chain.check_validity(question.checked.at())?;

        let measurements = check_content(&fields, &chain)?;
        question.check_freshness(&fields)?;
        let is_debug = check_debug(&measurements, question.expected.debug)?;
        compare(&fields, question.expected)?;

        let (root, summaries) = (chain.root, chain.summaries());
        let state = Authentic { root, chain: summaries, measurements, is_debug, checked: question.checked };
        Ok(Evidence { fields, state })
    }

    /// The signature, when headers say that it is one of ES384.
    fn check_headers(&self) -> Result<Signature, VerifyError> {
        let Unverified { protected, signature, .. } = &self.state;
        if protected == PROTECTED_QEMU && *signature == [0; 64] {
            return Err(VerifyError::UnsignedQemuDocument);
        }
        if protected != PROTECTED_ES384 {
            return Err(VerifyError::ProtectedHeader { found: protected.clone() });
        }
        let found = signature.len();
        signature.as_slice().try_into().map_err(|_| VerifyError::SignatureLength { found })
    }
}

impl Verified {
    /// PCR0, PCR1 and PCR2. All zero when [`Verified::is_debug`].
    pub fn measurements(&self) -> Measurements {
        self.state.measurements
    }

    /// One register; `None` when the document does not have it.
    pub fn pcr(&self, register: PcrIndex) -> Option<&Pcr> {
        self.fields.pcrs.get(&register)
    }

    /// All registers of the document, in order.
    pub fn pcrs(&self) -> impl Iterator<Item = (PcrIndex, &Pcr)> {
        self.fields.pcrs.iter().map(|(register, pcr)| (*register, pcr))
    }

    /// What the enclave's program has to say, at most 1024 bytes.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.fields.user_data.as_deref()
    }

    /// A key the enclave wants to be known by, at most 1024 bytes.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.fields.public_key.as_deref()
    }

    /// The challenge the document answers, at most 1024 bytes.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.fields.nonce.as_deref()
    }

    /// The module's name: `i-<instance>-enc<enclave>`.
    pub fn module_id(&self) -> &str {
        &self.fields.module_id
    }

    /// When the document was signed, by the module's clock.
    pub fn timestamp(&self) -> UnixMillis {
        self.fields.timestamp
    }

    /// When and how everything was checked.
    pub fn checked(&self) -> Checked {
        self.state.checked
    }

    /// Who vouches for the document.
    pub fn root(&self) -> RootKind {
        self.state.root
    }

    /// The certificates, root first, the enclave's own last.
    pub fn chain(&self) -> &[CertificateSummary] {
        &self.state.chain
    }

    /// The last moment at which the enclave's own certificate is valid.
    pub fn leaf_valid_until(&self) -> UnixMillis {
        self.state.chain.last().map_or(UnixMillis(0), |leaf| leaf.not_after)
    }

    /// The last moment at which the whole chain is valid.
    pub fn chain_valid_until(&self) -> UnixMillis {
        self.state.chain.iter().map(|c| c.not_after).min().unwrap_or(UnixMillis(0))
    }

    /// Whether the enclave runs in debug mode; possible only under [`DebugPolicy::Allow`].
    pub fn is_debug(&self) -> bool {
        self.state.is_debug
    }
}

/// What both calls have in common.
pub(crate) struct Question<'a> {
    checked: Checked,
    nonce: Option<&'a [u8]>,
    max_age_ms: Option<u64>,
    expected: &'a Expected<'a>,
}

impl<'a> Question<'a> {
    pub(crate) fn live(live: &Live<'a>, expected: &'a Expected<'a>) -> Self {
        let checked = Checked::Live(live.now);
        Self { checked, nonce: Some(live.nonce), max_age_ms: Some(live.max_age_ms), expected }
    }

    pub(crate) fn archived(
        evidence: &Evidence<Unverified>,
        archived: &Archived<'a>,
        expected: &'a Expected<'a>,
    ) -> Self {
        // The document's own time is believed once its signature is checked, by a certificate valid then.
        let checked = Checked::Archived(archived.at.unwrap_or(evidence.fields.timestamp));
        Self { checked, nonce: archived.nonce, max_age_ms: None, expected }
    }

    /// Whether it asks what an honest enclave could answer.
    fn check(&self) -> Result<(), VerifyError> {
        check_expectation(self.expected)?;
        match self.nonce {
            Some([]) => Err(VerifyError::EmptyNonce),
            _ => Ok(()),
        }
    }

    fn check_freshness(&self, fields: &UnverifiedFields) -> Result<(), VerifyError> {
        let (timestamp, at) = (fields.timestamp, self.checked.at());
        if timestamp.0 > at.0.saturating_add(CLOCK_SKEW_MS) {
            return Err(VerifyError::FromTheFuture { timestamp, at });
        }
        if let Some(expected) = self.nonce {
            let actual = fields.nonce.as_deref().ok_or(VerifyError::NonceMissing)?;
            if !bool::from(expected.ct_eq(actual)) {
                let (expected, found) = (excerpt::hex(expected), excerpt::hex(actual));
                return Err(VerifyError::NonceMismatch { expected, found });
            }
        }
        let age_ms = at.0.saturating_sub(timestamp.0);
        match self.max_age_ms {
            Some(limit_ms) if age_ms > limit_ms => Err(VerifyError::TooOld { age_ms, limit_ms }),
            _ => Ok(()),
        }
    }
}

fn check_expectation(expected: &Expected<'_>) -> Result<(), VerifyError> {
    let mut all =
        expected.profiles.iter().flat_map(ImagePcrs::iter).chain(expected.registers.iter().copied());
    match all.find(|(_, pcr)| pcr.is_zero()) {
        Some((register, _)) => Err(VerifyError::ZeroExpectation { register }),
        None => Ok(()),
    }
}

/// What every document must say, whoever asks.
fn check_content(fields: &UnverifiedFields, chain: &Chain<'_>) -> Result<Measurements, VerifyError> {
    if fields.digest != "SHA384" {
        return Err(VerifyError::Digest { found: fields.digest.clone() });
    }
    if fields.module_id.is_empty() {
        return Err(VerifyError::EmptyModuleId);
    }
    let (timestamp, leaf) = (fields.timestamp, chain.leaf());
    if !(leaf.not_before..=leaf.not_after).contains(&timestamp) {
        let (from, until) = (leaf.not_before, leaf.not_after);
        return Err(VerifyError::TimestampOutsideLeaf { timestamp, from, until });
    }
    let get = |number: u64| {
        let register = PcrIndex::try_from(number).expect("0, 1 and 2 are register numbers");
        fields.pcrs.get(&register).copied().ok_or(VerifyError::MissingPcr { register })
    };
    Ok(Measurements { pcr0: get(0)?, pcr1: get(1)?, pcr2: get(2)? })
}

/// Whether it is a debug enclave's document. Nitro zeroes PCR0, PCR1 and PCR2 together.
fn check_debug(measurements: &Measurements, policy: DebugPolicy) -> Result<bool, VerifyError> {
    let zero = measurements.iter().filter(|(_, pcr)| pcr.is_zero()).count();
    match (measurements.iter().find(|(_, pcr)| pcr.is_zero()), zero, policy) {
        (None, ..) => Ok(false),
        (Some(_), 3, DebugPolicy::Allow) => Ok(true),
        (Some(_), 3, DebugPolicy::Refuse) => Err(VerifyError::DebugMode),
        (Some((register, _)), ..) => Err(VerifyError::PartlyZero { register }),
    }
}

/// Compares with each profile as a whole; what is reported are the differences to the one that differs least.
fn compare(fields: &UnverifiedFields, expected: &Expected<'_>) -> Result<(), VerifyError> {
    let besides = differing(fields, expected.registers.iter().copied());
    let closest = expected
        .profiles
        .iter()
        .map(|profile| differing(fields, profile.iter()))
        // The first of several that differ in as many registers.
        .min_by_key(Vec::len)
        .unwrap_or_default();
    let profiles = if closest.is_empty() { 0 } else { expected.profiles.len() };
    let registers = [closest, besides].concat();
    if registers.is_empty() {
        return Ok(());
    }
    Err(VerifyError::PcrMismatch { registers: Mismatches(registers), profiles })
}

/// Goes through what is expected, never through what is there: a register that is absent differs.
fn differing(fields: &UnverifiedFields, expected: impl Iterator<Item = (PcrIndex, Pcr)>) -> Vec<Mismatch> {
    expected
        .map(|(register, expected)| Mismatch {
            register,
            expected,
            actual: fields.pcrs.get(&register).copied(),
        })
        .filter(|mismatch| mismatch.actual != Some(mismatch.expected))
        .collect()
}

/// What the signature covers: `["Signature1", protected, h'', payload]` (RFC 9052 section 4.4).
fn signature_structure(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 32);
    bytes.extend_from_slice(b"\x84\x6aSignature1\x44");
    bytes.extend_from_slice(PROTECTED_ES384);
    bytes.push(0x40);
    // The payload's head in shortest form; the reader's limit keeps it within 16 bits.
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=23) => bytes.push(0x40 | short.to_be_bytes()[1]),
        Ok(medium @ 24..=0xff) => bytes.extend_from_slice(&[0x58, medium.to_be_bytes()[1]]),
        Ok(long) => {
            bytes.push(0x59);
            bytes.extend_from_slice(&long.to_be_bytes());
        }
        Err(_) => unreachable!("a payload is at most {} bytes long", crate::limits::DOCUMENT),
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// `{1: -35}`: algorithm ES384 (RFC 9053 section 2.1).
const PROTECTED_ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];
/// `{1: -1}`: no algorithm. QEMU's `hw/virtio/virtio-nsm.c` writes it over 64 zero bytes.
const PROTECTED_QEMU: &[u8] = &[0xa1, 0x01, 0x20];
/// How far a module's clock may be ahead of ours.
const CLOCK_SKEW_MS: u64 = 5 * 60 * 1000;
