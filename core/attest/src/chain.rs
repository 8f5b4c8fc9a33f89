//! The certificate path: from a trusted root to the key that signs the document.

use crate::certificate::Certificate;
use crate::intermediates::{Intermediates, Link};
use crate::names;
use crate::signature::Key;
use crate::{CertificateError, CertificateSummary, Position, RootKind, Roots, UnixMillis, VerifyError};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use caution_measure::Sha256Digest;

/// A path whose every link holds, at no particular time.
pub(crate) struct Chain<'a> {
    /// Root first, leaf last; at least two.
    certificates: Vec<Certificate<'a>>,
    pub(crate) root: RootKind,
    pub(crate) leaf_key: Key,
}

impl<'a> Chain<'a> {
    /// Checks every link from `bundle[0]`, which must be a trusted root, to `leaf`. Of intermediate certificates that
    /// are `known` only the signature is not checked again.
    pub(crate) fn check(
        bundle: &'a [Vec<u8>],
        leaf: &'a [u8],
        roots: &Roots,
        known: &mut Intermediates,
    ) -> Result<Self, VerifyError> {
        let root_der = bundle.first().map_or(&[][..], Vec::as_slice);
        let root = roots
            .kind_of(root_der)
            .ok_or_else(|| VerifyError::UnknownRoot { sha256: Sha256Digest::of(root_der) })?;

        let length = bundle.len() + 1;
        let all = bundle.iter().map(Vec::as_slice).chain([leaf]);
        let mut certificates: Vec<Certificate<'a>> = Vec::with_capacity(length);
        for (index, der) in all.enumerate() {
            let refuse = |cause| VerifyError::Certificate { position: position(index, length), cause };
            certificates.push(Certificate::parse(der).map_err(refuse)?);
        }

        let mut issuer: Option<(&Certificate<'_>, Key)> = None;
        for (index, certificate) in certificates.iter().enumerate() {
            let refuse = |cause| VerifyError::Certificate { position: position(index, length), cause };
            check_role(certificate, index, length).map_err(refuse)?;
            let key = certificate.public_key().map_err(refuse)?;
            if let Some((issuer, issuer_key)) = &issuer {
                if certificate.issuer != issuer.subject {
                    let (found, expected) = names::apart(certificate.issuer, issuer.subject);
                    return Err(refuse(CertificateError::IssuerName { found, expected }));
                }
                let link = Link { issuer: issuer.sha256, certificate: certificate.sha256 };
                if !known.know(&link) {
                    certificate.check_signature(issuer_key).map_err(refuse)?;
                }
                if position(index, length) != Position::Leaf {
                    known.remember(link);
                }
            }
            issuer = Some((certificate, key));
        }
        let leaf_key = issuer.map(|(_, key)| key).expect("a chain has at least the leaf");
        Ok(Self { certificates, root, leaf_key })
    }

    /// Checks that every certificate is valid at `at`, both ends included. A refusal names the
    /// certificate that bounds the whole chain's validity on that side.
    pub(crate) fn check_validity(&self, at: UnixMillis) -> Result<(), VerifyError> {
        let length = self.certificates.len();
        let all = || self.certificates.iter().enumerate();
        if let Some((index, last)) = all().max_by_key(|(_, c)| c.not_before)
            && at < last.not_before
        {
            let (position, from) = (position(index, length), last.not_before);
            return Err(VerifyError::NotYetValid { position, from, at });
        }
        if let Some((index, first)) = all().min_by_key(|(_, c)| c.not_after)
            && at > first.not_after
        {
            let (position, until) = (position(index, length), first.not_after);
            return Err(VerifyError::Expired { position, until, at });
        }
        Ok(())
    }

    /// The certificate that signs the document.
    pub(crate) fn leaf(&self) -> &Certificate<'a> {
        self.certificates.last().expect("a chain has at least the leaf")
    }

    pub(crate) fn summaries(&self) -> Vec<CertificateSummary> {
        self.certificates.iter().map(Certificate::summary).collect()
    }
}

/// Whether a certificate is entitled to its place. Signatures and names are checked elsewhere.
fn check_role(certificate: &Certificate<'_>, index: usize, length: usize) -> Result<(), CertificateError> {
    certificate.check_algorithm()?;
    let extensions = &certificate.extensions;
    if let Some(oid) = extensions.unknown_critical {
        return Err(CertificateError::UnknownCriticalExtension { oid: oid.to_string() });
    }
    if index + 1 == length {
        return match extensions {
            leaf if leaf.is_ca => Err(CertificateError::LeafIsCa),
            leaf if !leaf.may_sign_data => Err(CertificateError::NoDigitalSignature),
            _ => Ok(()),
        };
    }
    if !extensions.is_ca {
        return Err(CertificateError::NotCa);
    }
    if !extensions.may_sign_certificates {
        return Err(CertificateError::NoCertSign);
    }
    // Certificate authorities strictly between this one and the leaf; at most 7 by the reader's limit.
    let below = u8::try_from(length - index - 2).unwrap_or(u8::MAX);
    match extensions.path_length {
        Some(allowed) if below > allowed => Err(CertificateError::PathLength { allowed, found: below }),
        _ => Ok(()),
    }
}

fn position(index: usize, length: usize) -> Position {
    if index + 1 == length {
        Position::Leaf
    } else {
        Position::Bundle(u8::try_from(index).unwrap_or(u8::MAX))
    }
}
