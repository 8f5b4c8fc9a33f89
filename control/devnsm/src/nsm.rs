//! The emulated security module of one enclave.

use crate::document::{Chain, Document, Keys, Payload, Window};
use crate::root::{DevRoot, DevRootError, random_key};
use caution_abi::nsm::{MAX_REQUEST, Request, Response};
use caution_measure::{ImagePcrs, Measurements, Pcr};
use p384::ecdsa::SigningKey;

/// How long an enclave's certificate lives, in seconds: three hours, as on Nitro.
pub const LEAF_LIFETIME_SECONDS: u64 = 3 * 60 * 60;

/// A security module that answers one enclave's requests and proves no hardware.
pub struct DevNsm {
    root_key: SigningKey,
    module_id: String,
    /// PCR0 to PCR15 as attested.
    pcrs: [Pcr; 16],
    now_ms: Box<dyn Fn() -> u64 + Send>,
    issued: Issued,
}

/// A chain and the key at its end.
struct Issued {
    chain: Chain,
    leaf_key: SigningKey,
    /// First and last second of the leaf's validity.
    valid: (u64, u64),
}

impl DevNsm {
    /// A module for an enclave with these registers; PCR8 is zero when nobody signed the image. Debug
    /// mode attests all of them as zero, whatever was measured.
    ///
    /// `module_id` is the name documents carry, 1 to 200 bytes are sensible; `now_ms` tells
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// [`DevRootError::Random`] when the operating system has no random numbers for keys.
    pub fn new(
        root: &DevRoot,
        image: ImagePcrs,
        debug: bool,
        module_id: impl Into<String>,
        now_ms: impl Fn() -> u64 + Send + 'static,
    ) -> Result<Self, DevRootError> {
        let mut pcrs = [Pcr::ZERO; 16];
        if !debug {
            for (register, pcr) in image.iter() {
                pcrs[usize::from(register.get())] = pcr;
            }
        }
        let (root_key, module_id) = (root.key().clone(), module_id.into());
        let issued = Issued::new(&root_key, &module_id, now_ms() / 1000)?;
        Ok(Self { root_key, module_id, pcrs, now_ms: Box::new(now_ms), issued })
    }

    /// Answers one request, both as CBOR; see [`caution_abi::nsm`]. Whatever is wrong with it is
    /// answered with an error code of the real module.
    pub fn handle(&mut self, request: &[u8]) -> Vec<u8> {
        self.answer(request).unwrap_or_else(|code| Response::Error(code.to_owned())).to_bytes()
    }

    fn answer(&mut self, request: &[u8]) -> Result<Response, &'static str> {
        if request.len() > MAX_REQUEST {
            return Err("InputTooLarge");
        }
        match Request::from_bytes(request).map_err(|_| "InvalidOperation")? {
            Request::Attestation { user_data, nonce, public_key } => {
                let document = self.attest(user_data, nonce, public_key)?;
                Ok(Response::Attestation { document })
            }
            Request::DescribePcr { index } => match index {
                // Nitro locks the registers it fills; the others are the enclave's to extend.
                0..=15 => {
                    let data = self.pcrs[usize::from(index)].as_bytes().to_vec();
                    Ok(Response::DescribePcr { lock: true, data })
                }
                16..=31 => Ok(Response::DescribePcr { lock: false, data: vec![0; 48] }),
                _ => Err("InvalidIndex"),
            },
            Request::GetRandom => {
                let mut random = vec![0; 256];
                getrandom::fill(&mut random).map_err(|_| "InternalError")?;
                Ok(Response::GetRandom { random })
            }
        }
    }

    fn attest(
        &mut self,
        user_data: Option<&[u8]>,
        nonce: Option<&[u8]>,
        public_key: Option<&[u8]>,
    ) -> Result<Vec<u8>, &'static str> {
        let too_long = |field: Option<&[u8]>, limit| field.is_some_and(|bytes| bytes.len() > limit);
        if too_long(user_data, 512) || too_long(nonce, 512) || too_long(public_key, 1024) {
            return Err("InputTooLarge");
        }
        let timestamp_ms = (self.now_ms)();
        self.renew(timestamp_ms / 1000).map_err(|_| "InternalError")?;
        let payload = Payload {
            module_id: self.module_id.clone(),
            timestamp_ms,
            pcrs: (0..).zip(self.pcrs.iter().map(|pcr| pcr.as_bytes().to_vec())).collect(),
            chain: self.issued.chain.clone(),
            public_key: public_key.map(<[u8]>::to_vec),
            user_data: user_data.map(<[u8]>::to_vec),
            nonce: nonce.map(<[u8]>::to_vec),
        };
        Ok(Document::new(payload.to_bytes()).sign(&self.issued.leaf_key))
    }

    /// Issues a new chain when the present one is near its end, or not valid yet because the clock
    /// was set back.
    fn renew(&mut self, now: u64) -> Result<(), DevRootError> {
        let (from, until) = self.issued.valid;
        if now < from || now + RENEW_BEFORE_END > until {
            self.issued = Issued::new(&self.root_key, &self.module_id, now)?;
        }
        Ok(())
    }
}

/// A document as [`DevNsm`] signs it, except that it did so on 2025-01-01: every check but that of
/// its certificates' validity passes. For tests of verifiers.
pub fn expired_document(
    root: &DevRoot,
    measurements: &Measurements,
    nonce: &[u8],
    user_data: &[u8],
) -> Vec<u8> {
    let new_year = || 1_735_689_600_000;
    let image = ImagePcrs { measurements: *measurements, pcr8: None };
    let nsm = DevNsm::new(root, image, false, "i-expired-enc0", new_year);
    nsm.expect("tests run where there are random numbers")
        .attest(Some(user_data), Some(nonce), None)
        .expect("tests stay within the module's limits")
}

impl std::fmt::Debug for DevNsm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevNsm").field("module_id", &self.module_id).finish_non_exhaustive()
    }
}

impl Issued {
    fn new(root_key: &SigningKey, module_id: &str, now: u64) -> Result<Self, DevRootError> {
        let keys = Keys {
            root: root_key.clone(),
            intermediates: vec![random_key()?, random_key()?, random_key()?],
            leaf: random_key()?,
        };
        let from = now.saturating_sub(BACKDATED);
        let valid = (from, from + LEAF_LIFETIME_SECONDS);
        let window = Window { root: crate::root::LIFETIME, others: valid };
        Ok(Self { chain: Chain::issue(&keys, window, module_id), leaf_key: keys.leaf, valid })
    }
}

/// A verifier's clock may be behind this one: certificates start this many seconds early.
const BACKDATED: u64 = 5 * 60;
/// Documents are always signed by a certificate with at least this many seconds left, so that who
/// asked has time to verify.
const RENEW_BEFORE_END: u64 = 60 * 60;
