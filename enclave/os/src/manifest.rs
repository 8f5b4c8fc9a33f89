//! The manifest, as the parent handed it over.

use caution_abi::evidence::UserData;
use caution_abi::manifest::MAX_BYTES;
use caution_abi::ports::PARENT_MANIFEST;
use caution_enclave_sys::vsock;
use caution_measure::Sha256Digest;
use serde_json::value::RawValue;
use std::io::{self, Read};
use std::time::Duration;

/// A manifest's text and what binds it. Its meaning is the verifier's matter.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// One JSON value, as received.
    pub(crate) text: Box<RawValue>,
    digest: Sha256Digest,
}

/// Why what the parent sent is not a manifest. The enclave does not start with half of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ManifestError {
    /// The stream broke after it had begun.
    #[error("the manifest from the parent broke off after {received} bytes")]
    Cut {
        /// Bytes that did arrive.
        received: usize,
        /// Why no more came.
        #[source]
        source: io::Error,
    },
    /// More bytes than any manifest.
    #[error("the manifest from the parent has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Not exactly one JSON value.
    #[error("the manifest from the parent is not one JSON value without white space around it")]
    NotJson,
}

/// Asks the parent. None where nobody listens, or nothing comes.
pub(crate) fn fetch(parent_cid: u32) -> Result<Option<Manifest>, ManifestError> {
    let Ok(stream) = vsock::connect(parent_cid, PARENT_MANIFEST, CONNECT_TIMEOUT) else { return Ok(None) };
    // A failure leaves a read without a limit to a host that can stop the enclave anyway.
    let _ = stream.set_read_timeout(Some(READ_TIMEOUT));
    receive(stream)
}

/// Reads until end of file.
fn receive(stream: impl Read) -> Result<Option<Manifest>, ManifestError> {
    let mut bytes = Vec::new();
    if let Err(source) = stream.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)
        && !bytes.is_empty()
    {
        return Err(ManifestError::Cut { received: bytes.len(), source });
    }
    match bytes.len() {
        0 => Ok(None),
        length if length > MAX_BYTES => Err(ManifestError::TooLong),
        _ => Manifest::new(bytes).map(Some),
    }
}

impl Manifest {
    /// The manifest of these bytes, at most [`MAX_BYTES`].
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, ManifestError> {
        let digest = Sha256Digest::of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| ManifestError::NotJson)?;
        let raw: Box<RawValue> = serde_json::from_str(&text).map_err(|_| ManifestError::NotJson)?;
        // RawValue leaves white space around the value out, and the digest would not be of its text.
        if raw.get().len() == text.len() {
            Ok(Self { text: raw, digest })
        } else {
            Err(ManifestError::NotJson)
        }
    }

    /// SHA-256 of its text.
    pub(crate) fn digest(&self) -> &Sha256Digest {
        &self.digest
    }

    /// What goes into `user_data`.
    pub(crate) fn user_data(manifest: Option<&Self>) -> UserData {
        UserData { manifest_sha256: manifest.map(|m| m.digest) }
    }
}

/// A listening parent accepts at once; an absent one refuses at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const READ_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_kept_byte_for_byte() {
        let text = "{\n  \"version\": \"2\",\"x\":1e5\n}";
        let manifest = receive(text.as_bytes()).unwrap().unwrap();
        assert_eq!(manifest.text.get(), text);
        let digest = Some(Sha256Digest::of(text.as_bytes()));
        assert_eq!(Manifest::user_data(Some(&manifest)).manifest_sha256, digest);
    }

    #[test]
    fn nothing_is_no_manifest() {
        assert!(receive(io::empty()).unwrap().is_none());
        assert!(receive(Broken(b"")).unwrap().is_none());
    }

    #[test]
    fn anything_but_one_json_value_is_refused() {
        for bad in [&b"{}\n"[..], b" {}", b"{", b"{}{}", b"\xff", b"\"\xff\""] {
            assert!(matches!(receive(bad), Err(ManifestError::NotJson)), "{bad:?}");
        }
        let long = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(receive(long.as_slice()), Err(ManifestError::TooLong)));
        assert!(matches!(receive(Broken(b"{}")), Err(ManifestError::Cut { received: 2, .. })));
    }

    /// Gives its bytes, then times out.
    struct Broken(&'static [u8]);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        }
    }
}
