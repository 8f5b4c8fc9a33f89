//! Whose word counts: the roots a verifier trusts.

use crate::certificate::Certificate;
use crate::error::RootError;
use alloc::vec;
use alloc::vec::Vec;
use caution_measure::Sha256Digest;

/// Who vouched for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootKind {
    /// The AWS Nitro Enclaves root: genuine hardware.
    Aws,
    /// A development root of some machine: no hardware, proves nothing to anyone else.
    Dev,
    /// A root the caller brought.
    Other,
}

/// SHA-256 of the DER form of the AWS Nitro Enclaves Root-G1 certificate.
///
/// Source: AWS Nitro Enclaves user guide, "Verifying the root of trust", which publishes it.
pub const AWS_ROOT_G1_SHA256: Sha256Digest = Sha256Digest::new([
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e,
    0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
]);

/// The certificates a chain may start from, compared byte for byte.
#[derive(Debug, Clone)]
pub struct Roots {
    roots: Vec<(RootKind, Vec<u8>)>,
}

impl Roots {
    /// The AWS Nitro Enclaves root alone: what production verifiers use.
    pub fn aws() -> Self {
        Self { roots: vec![(RootKind::Aws, AWS_ROOT_G1.to_vec())] }
    }

    /// Roots the caller brings, as DER certificates. AWS's own is recognised as such.
    ///
    /// # Errors
    /// - [`RootError::NoRoots`] when the list is empty;
    /// - [`RootError::Certificate`] when an entry is no DER certificate.
    pub fn from_der(certificates: &[&[u8]]) -> Result<Self, RootError> {
        if certificates.is_empty() {
            return Err(RootError::NoRoots);
        }
        let roots = certificates.iter().enumerate();
        let roots: Result<_, _> = roots.map(|(index, der)| root(RootKind::Other, index, der)).collect();
        Ok(Self { roots: roots? })
    }

    /// A development root, as a DER certificate. Nothing it vouches for has anything to do with
    /// hardware.
    ///
    /// # Errors
    /// [`RootError::Certificate`] when it is no DER certificate.
    pub fn dev_root(certificate: &[u8]) -> Result<Self, RootError> {
        Ok(Self { roots: vec![root(RootKind::Dev, 0, certificate)?] })
    }

    /// Both these and `others`.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.roots.extend(others.roots);
        self
    }

    /// The kind of the root with exactly these bytes. The first added wins.
    pub(crate) fn kind_of(&self, der: &[u8]) -> Option<RootKind> {
        self.roots.iter().find(|(_, root)| root == der).map(|(kind, _)| *kind)
    }
}

fn root(kind: RootKind, index: usize, der: &[u8]) -> Result<(RootKind, Vec<u8>), RootError> {
    Certificate::parse(der).map_err(|cause| RootError::Certificate { index, cause })?;
    let kind = if der == AWS_ROOT_G1 { RootKind::Aws } else { kind };
    Ok((kind, der.to_vec()))
}

/// AWS Nitro Enclaves Root-G1, valid 2019-10-28 to 2049-10-28; published by AWS as
/// `AWS_NitroEnclaves_Root-G1.zip`.
const AWS_ROOT_G1: &[u8] = include_bytes!("aws_root_g1.der");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aws_root_has_its_published_fingerprint() {
        assert_eq!(Sha256Digest::of(AWS_ROOT_G1), AWS_ROOT_G1_SHA256);
        assert_eq!(
            AWS_ROOT_G1_SHA256.to_string(),
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
        assert_eq!(Roots::aws().kind_of(AWS_ROOT_G1), Some(RootKind::Aws));
    }

    #[test]
    fn a_root_is_what_it_is_whatever_it_is_called() {
        assert_eq!(Roots::dev_root(AWS_ROOT_G1).map(|r| r.kind_of(AWS_ROOT_G1)), Ok(Some(RootKind::Aws)));
        assert_eq!(Roots::from_der(&[AWS_ROOT_G1]).map(|r| r.kind_of(AWS_ROOT_G1)), Ok(Some(RootKind::Aws)));
    }

    #[test]
    fn roots_that_are_none_are_refused() {
        assert_eq!(Roots::from_der(&[]).err(), Some(RootError::NoRoots));
        let cut = &AWS_ROOT_G1[..AWS_ROOT_G1.len() - 1];
        assert!(matches!(Roots::from_der(&[AWS_ROOT_G1, cut]), Err(RootError::Certificate { index: 1, .. })));
        assert!(matches!(Roots::dev_root(b""), Err(RootError::Certificate { index: 0, .. })));
    }
}
