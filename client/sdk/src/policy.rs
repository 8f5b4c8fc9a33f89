//! Whom to trust. There is no policy that trusts anybody.

use crate::evidence::Attested;
use crate::release::{ReleaseError, SignedRelease};
use crate::tofu::{Outcome, Record, RecordKey, StoreError, TrustStore};
use caution_attest::UnixMillis;
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use caution_steve::Suite;
use serde::Deserialize;
use std::sync::Arc;

/// Which enclaves a client speaks to.
#[derive(Clone)]
pub struct Policy {
    rule: Rule,
    registers: Vec<(PcrIndex, Pcr)>,
}

#[derive(Clone)]
enum Rule {
    Pinned(Vec<ImagePcrs>),
    Tofu(Arc<dyn TrustStore>),
    Signed(Arc<SignedRelease>),
}

/// How an enclave came to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// It runs one of the pinned images.
    Pinned,
    /// It was seen for the first time, and is now remembered.
    TofuEnrolled,
    /// It runs what it ran the first time.
    TofuMatched,
    /// It runs an image of a signed release.
    Signed {
        /// The release's version.
        version: u64,
    },
}

/// Why an enclave is not trusted, or a policy is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No image is pinned: everything would be trusted.
    #[error("no image is pinned, so nothing would be checked")]
    NoProfiles,
    /// A register is expected to be zero, as in debug mode.
    #[error("{0} is expected to be zero, which only a debug enclave shows")]
    ZeroExpectation(PcrIndex),
    /// What `caution verify` is said to have written holds no registers.
    #[error("`trusted_hashes.json` holds no registers")]
    TrustedHashes(#[source] serde_json::Error),
    /// Another enclave than the first time.
    #[error("{what} was {known} when it was first seen, {first_seen}, and is {found} now")]
    Changed {
        /// A register, or the suite.
        what: String,
        /// What is remembered.
        known: String,
        /// What it is now.
        found: String,
        /// When it was remembered.
        first_seen: String,
    },
    /// What is known cannot be read or written, so nothing is known.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signed release is refused.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

/// `.caution/trusted_hashes.json`, as far as it says which image that is.
#[derive(Deserialize)]
struct TrustedHashes {
    pcr0: Pcr,
    pcr1: Pcr,
    pcr2: Pcr,
    pcr8: Option<Pcr>,
}

impl Policy {
    /// Trusts the image that `caution verify` proved last, which is what `.caution/trusted_hashes.json` holds: its text.
    ///
    /// # Errors
    /// - [`PolicyError::TrustedHashes`] where it holds no registers;
    /// - [`PolicyError::ZeroExpectation`] where they are a debug enclave's.
    pub fn verified(trusted_hashes: &str) -> Result<Self, PolicyError> {
        let hashes: TrustedHashes =
            serde_json::from_str(trusted_hashes).map_err(PolicyError::TrustedHashes)?;
        let TrustedHashes { pcr0, pcr1, pcr2, pcr8 } = hashes;
        Self::pinned([ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8 }])
    }

    /// Trusts these images: PCR0, PCR1, PCR2 and, where one has it, PCR8 of one of them, never a mixture.
    ///
    /// `enclave.pcrs` of a build holds such registers ([`ImagePcrs::from_text`]).
    ///
    /// # Errors
    /// - [`PolicyError::NoProfiles`] where there is none;
    /// - [`PolicyError::ZeroExpectation`] where one is a debug enclave's.
    pub fn pinned(images: impl IntoIterator<Item = ImagePcrs>) -> Result<Self, PolicyError> {
        let images: Vec<ImagePcrs> = images.into_iter().collect();
        if images.is_empty() {
            return Err(PolicyError::NoProfiles);
        }
        not_zero(images.iter().flat_map(ImagePcrs::iter))?;
        Ok(Self { rule: Rule::Pinned(images), registers: Vec::new() })
    }

    /// Trusts what it sees first, remembers that before the first request is sent, and refuses everything else from then on.
    ///
    /// Whoever is in the place of the application the first time is trusted for good: pin images where you can.
    pub fn tofu(store: impl TrustStore + 'static) -> Self {
        Self { rule: Rule::Tofu(Arc::new(store)), registers: Vec::new() }
    }

    /// Trusts the images of a signed release, and remembers its version: an older one is refused from then on.
    pub fn signed(release: SignedRelease) -> Self {
        Self { rule: Rule::Signed(Arc::new(release)), registers: Vec::new() }
    }

    /// Expects a register besides: PCR3 names the parent's IAM role, PCR4 the parent, PCR8 the image's signer. The same
    /// image runs wherever anybody starts it; these say whose enclave it is.
    ///
    /// # Errors
    /// [`PolicyError::ZeroExpectation`].
    pub fn and_register(mut self, register: PcrIndex, value: Pcr) -> Result<Self, PolicyError> {
        not_zero([(register, value)])?;
        self.registers.push((register, value));
        Ok(self)
    }

    pub(crate) fn profiles(&self) -> &[ImagePcrs] {
        match &self.rule {
            Rule::Pinned(images) => images,
            Rule::Signed(release) => release.profiles(),
            Rule::Tofu(_) => &[],
        }
    }

    pub(crate) fn registers(&self) -> &[(PcrIndex, Pcr)] {
        &self.registers
    }

    /// The last question, once the enclave has confirmed that it holds the attested key and before anything is sent.
    /// Whatever must be remembered is remembered when this returns.
    pub(crate) fn decide(
        &self,
        attested: &Attested,
        who: &Subject<'_>,
        now: UnixMillis,
    ) -> Result<Trust, PolicyError> {
        match &self.rule {
            Rule::Pinned(_) => Ok(Trust::Pinned),
            Rule::Signed(release) => {
                release.admit(now)?;
                Ok(Trust::Signed { version: release.version() })
            }
            Rule::Tofu(store) => {
                let found = self.record(attested, who, now);
                let key = RecordKey::of(who.authority, who.app_context);
                match store.get_or_enroll(&key, &found)? {
                    Outcome::Enrolled => Ok(Trust::TofuEnrolled),
                    Outcome::Known(known) => same(&known, &found).map(|()| Trust::TofuMatched),
                }
            }
        }
    }

    /// PCR0, PCR1, PCR2, the image's signer if it has one, and the registers that were asked for.
    fn record(&self, attested: &Attested, who: &Subject<'_>, now: UnixMillis) -> Record {
        let mut registers: Vec<(PcrIndex, Pcr)> = attested.verified.measurements().iter().collect();
        let signer = attested.verified.pcr(PcrIndex::SIGNER).filter(|pcr| !pcr.is_zero());
        registers.extend(signer.map(|pcr| (PcrIndex::SIGNER, *pcr)));
        for (register, value) in &self.registers {
            if registers.iter().all(|(other, _)| other != register) {
                registers.push((*register, *value));
            }
        }
        Record::new(who.authority, who.suite, &registers, now)
    }
}

/// Of whom a decision is.
pub(crate) struct Subject<'a> {
    pub authority: &'a str,
    pub app_context: &'a [u8],
    pub suite: Suite,
}

/// The first difference, with both values.
fn same(known: &Record, found: &Record) -> Result<(), PolicyError> {
    let changed = |what: String, known_value: &str, found_value: &str| PolicyError::Changed {
        what,
        known: known_value.to_owned(),
        found: found_value.to_owned(),
        first_seen: known.first_seen.clone(),
    };
    if known.suite != found.suite {
        return Err(changed("the suite".into(), &known.suite, &found.suite));
    }
    for number in known.registers.keys().chain(found.registers.keys()) {
        let value =
            |record: &Record| record.registers.get(number).map_or("absent".to_owned(), Pcr::to_string);
        let (before, now) = (value(known), value(found));
        if before != now {
            return Err(changed(format!("PCR{number}"), &before, &now));
        }
    }
    Ok(())
}

fn not_zero(registers: impl IntoIterator<Item = (PcrIndex, Pcr)>) -> Result<(), PolicyError> {
    match registers.into_iter().find(|(_, pcr)| pcr.is_zero()) {
        Some((register, _)) => Err(PolicyError::ZeroExpectation(register)),
        None => Ok(()),
    }
}
