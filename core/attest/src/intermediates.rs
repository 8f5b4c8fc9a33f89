//! Certificates of authorities whose signatures were checked before.

use crate::verified::Question;
use crate::{Archived, Evidence, Expected, Live, Roots, Unverified, Verified, VerifyError};
use alloc::collections::VecDeque;
use caution_measure::Sha256Digest;

/// Remembers which signatures of intermediate certificates hold, for who verifies many documents.
///
/// Of the five signatures that vouch for a Nitro document, three are of certificates that live for a day or for weeks. Whether they hold depends on nothing
/// but the bytes of two certificates, so that is what is remembered: the digests of both. Everything else is checked every
/// time as if nothing were remembered: roots, places in the chain, names, key usage, validity. The leaf is always
/// checked, and what it signed.
///
/// ```
/// use caution_attest::{Evidence, Expected, Intermediates, Live, Roots, UnixMillis};
///
/// let mut intermediates = Intermediates::new(64);
/// # let (documents, nonce) = (vec![vec![0u8; 4]], [7u8; 32]);
/// for document in &documents {
///     let live = Live { now: UnixMillis(1_768_478_400_000), nonce: &nonce, max_age_ms: 300_000 };
///     let verdict = Evidence::parse(document)
///         .map_err(Into::into)
///         .and_then(|evidence| intermediates.verify(evidence, &Roots::aws(), &live, &Expected::default()));
///     # assert!(verdict.is_err());
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Intermediates {
    /// Oldest first.
    links: VecDeque<Link>,
    limit: usize,
}

/// That the key of one certificate signed another: SHA-256 of the DER form of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) issuer: Sha256Digest,
    pub(crate) certificate: Sha256Digest,
}

impl Intermediates {
    /// At most `limit` signatures are remembered, 64 bytes each; the oldest are forgotten first. They are searched one by
    /// one: some hundreds are plenty, a region has a handful.
    pub const fn new(limit: usize) -> Self {
        Self { links: VecDeque::new(), limit }
    }

    /// The same as [`Evidence::verify`].
    ///
    /// # Errors
    /// The same.
    pub fn verify(
        &mut self,
        evidence: Evidence<Unverified>,
        roots: &Roots,
        live: &Live<'_>,
        expected: &Expected<'_>,
    ) -> Result<Verified, VerifyError> {
        evidence.check(roots, &Question::live(live, expected), self)
    }

    /// The same as [`Evidence::verify_archived`].
    ///
    /// # Errors
    /// The same.
    pub fn verify_archived(
        &mut self,
        evidence: Evidence<Unverified>,
        roots: &Roots,
        archived: &Archived<'_>,
        expected: &Expected<'_>,
    ) -> Result<Verified, VerifyError> {
        let question = Question::archived(&evidence, archived, expected);
        evidence.check(roots, &question, self)
    }

    /// Whether this very pair was checked before.
    pub(crate) fn know(&self, link: &Link) -> bool {
        self.links.contains(link)
    }

    /// Remembers a pair whose signature holds.
    pub(crate) fn remember(&mut self, link: Link) {
        if self.limit == 0 || self.know(&link) {
            return;
        }
        if self.links.len() >= self.limit {
            self.links.pop_front();
        }
        self.links.push_back(link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    fn link(issuer: u8, certificate: u8) -> Link {
        Link { issuer: Sha256Digest::new([issuer; 32]), certificate: Sha256Digest::new([certificate; 32]) }
    }

    #[test]
    fn pairs_are_known_as_pairs_and_the_oldest_are_forgotten() {
        let mut intermediates = Intermediates::new(2);
        intermediates.remember(link(1, 2));
        intermediates.remember(link(2, 3));
        intermediates.remember(link(1, 2));
        assert!(intermediates.know(&link(1, 2)) && intermediates.know(&link(2, 3)));
        assert!(!intermediates.know(&link(1, 3)) && !intermediates.know(&link(2, 1)));
        intermediates.remember(link(3, 4));
        assert!(!intermediates.know(&link(1, 2)));
        assert!(intermediates.know(&link(2, 3)) && intermediates.know(&link(3, 4)));
        assert_eq!(intermediates.links.len(), 2);
    }

    #[test]
    fn nothing_is_remembered_without_room() {
        let mut intermediates = Intermediates::new(0);
        intermediates.remember(link(1, 2));
        assert!(!intermediates.know(&link(1, 2)));
    }

    /// A vector's document and root.
    fn vector(name: &str) -> (Evidence<Unverified>, Roots) {
        let path = format!("{}/../../specs/vectors/attest/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let vector: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let bytes =
            |key: &str| data_encoding::BASE64.decode(vector[key].as_str().unwrap().as_bytes()).unwrap();
        (Evidence::parse(&bytes("document")).unwrap(), Roots::dev_root(&bytes("root")).unwrap())
    }

    /// Asks the vector's document at its own time.
    fn ask(known: &mut Intermediates, name: &str) -> Result<Verified, VerifyError> {
        let (evidence, roots) = vector(name);
        known.verify_archived(evidence, &roots, &Archived::default(), &Expected::default())
    }

    #[test]
    fn the_three_intermediates_of_a_chain_are_remembered_and_not_its_leaf() {
        let mut known = Intermediates::new(64);
        let chain = ask(&mut known, "ok-at-its-own-time").unwrap().chain().to_vec();
        let pairs = chain.windows(2).take(3);
        let links = pairs.map(|pair| Link { issuer: pair[0].sha256, certificate: pair[1].sha256 });
        assert_eq!(known.links.clone().into_iter().collect::<Vec<_>>(), links.collect::<Vec<_>>());
        ask(&mut known, "ok-at-its-own-time").unwrap();
        assert_eq!(known.links.len(), 3);
    }

    /// So a signature that is known really is not checked again.
    #[test]
    fn what_is_remembered_is_believed() {
        let mut known = Intermediates::new(64);
        let refusal = ask(&mut known, "certificate-flipped-signature").unwrap_err();
        let VerifyError::Certificate { position: Position::Bundle(at), .. } = refusal else {
            panic!("{refusal}")
        };
        let bundle = vector("certificate-flipped-signature").0.unverified_fields().cabundle.clone();
        let digest = |at: u8| Sha256Digest::of(&bundle[usize::from(at)]);
        let forged = Link { issuer: digest(at - 1), certificate: digest(at) };
        assert!(!known.know(&forged));
        known.remember(forged);
        assert_ne!(ask(&mut known, "certificate-flipped-signature").err(), Some(refusal));
    }
}
