//! Five certificates in a row, as in Nitro: root, region, zone, instance, enclave.

use super::certificate::Certificate;
use p384::ecdsa::SigningKey;

/// The keys of a chain, root first.
pub struct Keys {
    /// The root's.
    pub root: SigningKey,
    /// The intermediate authorities', in order: Nitro has three.
    pub intermediates: Vec<SigningKey>,
    /// The enclave's, which signs documents.
    pub leaf: SigningKey,
}

/// When a chain is valid. Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First and last second of the root.
    pub root: (u64, u64),
    /// First and last second of every other certificate.
    pub others: (u64, u64),
}

/// A chain of signed certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// DER certificates, root first, the leaf's issuer last: a document's `cabundle`.
    pub bundle: Vec<Vec<u8>>,
    /// The DER certificate of the key that signs the document.
    pub leaf: Vec<u8>,
}

impl Chain {
    /// Issues a chain whose enclave is called `module_id`.
    pub(crate) fn issue(keys: &Keys, window: Window, module_id: &str) -> Self {
        Self::issue_with(keys, window, module_id, |_, _| {})
    }

    /// Issues a chain; `adjust` sees every certificate, by its place, before it is signed. The
    /// root has place 0, the leaf the last.
    pub fn issue_with(
        keys: &Keys,
        window: Window,
        module_id: &str,
        mut adjust: impl FnMut(usize, &mut Certificate),
    ) -> Self {
        let intermediates = keys.intermediates.len();
        let mut issuer = (&keys.root, root_certificate(keys.root.verifying_key(), window.root));
        adjust(0, &mut issuer.1);
        let mut bundle = vec![issuer.1.sign(&keys.root)];
        for (index, key) in keys.intermediates.iter().enumerate() {
            let what = ["region", "zone", "instance"].get(index).copied().unwrap_or("authority");
            // Nitro's are 2, 1 and 0: as many authorities as do follow.
            let below = u8::try_from(intermediates - index - 1).ok();
            let certificate = Certificate::authority(&labelled(what), key.verifying_key(), below);
            let certificate = linked(certificate, &issuer.1, window.others, index + 1, &mut adjust);
            bundle.push(certificate.sign(issuer.0));
            issuer = (key, certificate);
        }
        let leaf = Certificate::leaf(&labelled(module_id), keys.leaf.verifying_key());
        let leaf = linked(leaf, &issuer.1, window.others, intermediates + 1, &mut adjust);
        Self { bundle, leaf: leaf.sign(issuer.0) }
    }
}

/// The root's certificate before it is signed, by itself.
pub(crate) fn root_certificate(key: &p384::ecdsa::VerifyingKey, window: (u64, u64)) -> Certificate {
    let (not_before, not_after) = window;
    let unnamed = Certificate::authority("", key, None);
    let id = data_encoding::HEXLOWER.encode(&unnamed.serial[..4]);
    let name = super::name(&labelled(&format!("root {id}")));
    Certificate { issuer: name.clone(), subject: name, not_before, not_after, ..unnamed }
}

fn linked(
    certificate: Certificate,
    issuer: &Certificate,
    (not_before, not_after): (u64, u64),
    place: usize,
    adjust: &mut impl FnMut(usize, &mut Certificate),
) -> Certificate {
    let mut certificate =
        Certificate { issuer: issuer.subject.clone(), not_before, not_after, ..certificate };
    adjust(place, &mut certificate);
    certificate
}

/// Every name says what it is.
fn labelled(what: &str) -> String {
    format!("DEVELOPMENT, not hardware: {what}")
}
