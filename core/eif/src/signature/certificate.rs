//! The certificate: its key and its validity. Who issued it is for whoever compares PCR8 to know.

use super::{SignatureError, SigningCertificate, pcr8, pem};
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagMode, TagNumber};
use p384::ecdsa::VerifyingKey;
use zeroize::Zeroizing;

/// Reads the one certificate of a PEM file.
pub(super) fn read(text: &[u8]) -> Result<(VerifyingKey, SigningCertificate), SignatureError> {
    let der = der(text)?;
    let (kind, point, (valid_from, valid_until)) =
        parse(&der).map_err(|source| SignatureError::Der { file: "certificate", source })?;
    kind.map_err(|found| SignatureError::CertificateKind { found: found.to_string() })?;
    let point = point.as_bytes().unwrap_or_default();
    let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| SignatureError::CertificatePoint)?;
    Ok((key, SigningCertificate { pcr8: pcr8(&der), valid_from, valid_until }))
}

/// The DER form of the one certificate of a PEM file, unread.
///
/// One block of any kind and no more: readers differ in which of several they take.
pub(super) fn der(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, SignatureError> {
    let mut blocks = pem::blocks("certificate", text)?;
    if blocks.len() > 1 {
        return Err(SignatureError::SeveralCertificates { found: blocks.len() });
    }
    match blocks.pop() {
        Some(block) if block.label == "CERTIFICATE" && !block.has_headers => Ok(block.content),
        _ => Err(SignatureError::NoCertificate),
    }
}

/// Key and validity, in seconds since 1970, of a certificate (RFC 5280 section 4.1) of any version:
/// OpenSSL 3.0 writes version 1 where no extensions are asked for.
fn parse(der: &[u8]) -> der::Result<(Kind, BitStringRef<'_>, (u64, u64))> {
    whole(der, |r| {
        let body = SliceReader::new(r.tlv_bytes()?);
        let (_algorithm, _signature) = (r.tlv_bytes()?, BitStringRef::decode(r)?);
        body?.sequence(|r| {
            r.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?;
            let (_serial, _algorithm, _issuer) = (r.tlv_bytes()?, r.tlv_bytes()?, r.tlv_bytes()?);
            let valid = r.sequence(|r| Ok::<_, der::Error>((seconds(r)?, seconds(r)?)))?;
            let _subject = r.tlv_bytes()?;
            let (kind, point) =
                r.sequence(|r| Ok::<_, der::Error>((key_kind(r)?, BitStringRef::decode(r)?)))?;
            skip(r)?;
            Ok((kind, point, valid))
        })
    })
}

/// Whether a key is of P-384; its algorithm or curve if not.
pub(super) type Kind = Result<(), ObjectIdentifier>;

/// `AlgorithmIdentifier` of a key (RFC 5480).
pub(super) fn key_kind(r: &mut SliceReader<'_>) -> der::Result<Kind> {
    let (algorithm, parameters) = r.sequence(|r| {
        let algorithm = ObjectIdentifier::decode(r)?;
        let parameters = if r.is_finished() { None } else { Some(AnyRef::decode(r)?) };
        Ok::<_, der::Error>((algorithm, parameters))
    })?;
    let curve = parameters.and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
    Ok(match curve {
        Some(P384) if algorithm == EC_PUBLIC_KEY => Ok(()),
        Some(curve) if algorithm == EC_PUBLIC_KEY => Err(curve),
        _ => Err(algorithm),
    })
}

/// Reads one sequence that is all of `der`; elements that `read` leaves over may be anything.
pub(super) fn whole<'a, T>(
    der: &'a [u8],
    read: impl FnOnce(&mut SliceReader<'a>) -> der::Result<T>,
) -> der::Result<T> {
    let mut reader = SliceReader::new(der)?;
    let found = reader.sequence(|r| {
        let found = read(r)?;
        skip(r)?;
        Ok::<_, der::Error>(found)
    })?;
    reader.finish()?;
    Ok(found)
}

fn skip(r: &mut SliceReader<'_>) -> der::Result<()> {
    while !r.is_finished() {
        AnyRef::decode(r)?;
    }
    Ok(())
}

fn seconds(r: &mut SliceReader<'_>) -> der::Result<u64> {
    let since_1970 = match Tag::peek(r)? {
        Tag::UtcTime => UtcTime::decode(r)?.to_unix_duration(),
        _ => GeneralizedTime::decode(r)?.to_unix_duration(),
    };
    Ok(since_1970.as_secs())
}

/// RFC 5480.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480: secp384r1.
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
