//! Reading a document: bytes to fields, nothing believed.

use crate::cbor::Reader;
use crate::{Malformed, UnixMillis, excerpt};
use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use caution_measure::{Pcr, PcrIndex};

/// What is read at most, in bytes unless it says otherwise.
pub mod limits {
    /// A whole document. The NSM's answer is at most 12,288 bytes (kernel `drivers/misc/nsm.c`);
    /// real documents measure 4 to 8 KiB.
    pub const DOCUMENT: usize = 16 * 1024;
    /// One certificate; the limit of AWS's description. Real ones measure 471 to 815.
    pub const CERTIFICATE: usize = 1024;
    /// `cabundle`, in certificates. Real ones have 4.
    pub const CABUNDLE: u64 = 8;
    /// Each of `user_data`, `nonce` and `public_key`: AWS's texts say 512 or 1024 for the first
    /// two, and real documents carry 1024.
    pub const CALLER_FIELD: usize = 1024;
    /// `module_id`.
    pub const MODULE_ID: usize = 256;
    /// `digest`.
    pub const DIGEST: usize = 32;
    /// The COSE protected header.
    pub const PROTECTED: usize = 64;
    /// The COSE signature.
    pub const SIGNATURE: usize = 256;
    /// The name of a field.
    pub const FIELD_NAME: usize = 64;
    /// The payload, in fields: more than any document has.
    pub const FIELDS: u64 = 16;
    /// `pcrs`, in registers.
    pub const PCRS: u64 = 32;
}

/// An attestation document in state `S`: [`Unverified`], or authenticated (see [`crate::Verified`]).
#[derive(Debug, Clone)]
pub struct Evidence<S> {
    pub(crate) fields: UnverifiedFields,
    pub(crate) state: S,
}

/// The state of a document that nobody has vouched for.
#[derive(Debug, Clone)]
pub struct Unverified {
    pub(crate) protected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// What a document says. Before verification anybody can have written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedFields {
    /// The module's name: `i-<instance>-enc<enclave>`.
    pub module_id: String,
    /// When the document was signed, by the module's clock.
    pub timestamp: UnixMillis,
    /// The registers' hash function, always `SHA384`.
    pub digest: String,
    /// The registers present.
    pub pcrs: BTreeMap<PcrIndex, Pcr>,
    /// The DER certificate whose key signs the document.
    pub certificate: Vec<u8>,
    /// DER certificates, root first, issuer of `certificate` last.
    pub cabundle: Vec<Vec<u8>>,
    /// A key the enclave wants to be known by.
    pub public_key: Option<Vec<u8>>,
    /// What the enclave's program has to say.
    pub user_data: Option<Vec<u8>>,
    /// The challenge the document answers.
    pub nonce: Option<Vec<u8>>,
}

impl Evidence<Unverified> {
    /// Reads a document: an untagged or tagged (18) COSE_Sign1 structure around Nitro's payload.
    ///
    /// # Errors
    /// The first thing wrong with the bytes, see [`Malformed`]. Certificates are not looked into.
    pub fn parse(document: &[u8]) -> Result<Self, Malformed> {
        if document.len() > limits::DOCUMENT {
            return Err(Malformed::TooLong { found: document.len(), limit: limits::DOCUMENT });
        }
        let mut cose = Reader::new(document, 0);
        if cose.peek().is_some_and(|initial| initial >> 5 == 6) {
            match cose.tag()? {
                18 => {}
                found => return Err(Malformed::Tag { found }),
            }
        }
        match cose.array()? {
            4 => {}
            found => return Err(Malformed::CoseLength { found }),
        }
        let protected = cose.bytes("the protected header", limits::PROTECTED)?;
        empty_map(&mut cose)?;
        let payload = cose.bytes("the payload", limits::DOCUMENT)?;
        let payload_at = cose.offset() - payload.len();
        let signature = cose.bytes("the signature", limits::SIGNATURE)?;
        cose.finish("the document")?;

        let fields = UnverifiedFields::parse(payload, payload_at)?;
        let state = Unverified {
            protected: protected.to_vec(),
            payload: payload.to_vec(),
            signature: signature.to_vec(),
        };
        Ok(Self { fields, state })
    }

    /// What the document says, for display. Nobody vouches for it: anybody can have written it.
    pub fn unverified_fields(&self) -> &UnverifiedFields {
        &self.fields
    }
}

/// The unprotected header: exactly `a0`, so that nothing unsigned is ever carried along.
fn empty_map(cose: &mut Reader<'_>) -> Result<(), Malformed> {
    if cose.peek() == Some(0xa0) {
        cose.map("the unprotected header", 0).map(drop)
    } else {
        Err(Malformed::UnprotectedHeader { at: cose.offset(), found: excerpt::hex(cose.rest()) })
    }
}

/// The payload's fields while they are being found.
#[expect(clippy::option_option, reason = "absent and null mean the same, but null twice is a duplicate")]
#[derive(Default)]
struct Found {
    module_id: Option<String>,
    timestamp: Option<UnixMillis>,
    digest: Option<String>,
    pcrs: Option<BTreeMap<PcrIndex, Pcr>>,
    certificate: Option<Vec<u8>>,
    cabundle: Option<Vec<Vec<u8>>>,
    public_key: Option<Option<Vec<u8>>>,
    user_data: Option<Option<Vec<u8>>>,
    nonce: Option<Option<Vec<u8>>>,
}

impl UnverifiedFields {
    fn parse(payload: &[u8], base: usize) -> Result<Self, Malformed> {
        let mut cbor = Reader::new(payload, base);
        let mut found = Found::default();
        let mut entries = cbor.map("the payload", limits::FIELDS)?;
        while cbor.another(&mut entries)? {
            found.entry(&mut cbor)?;
        }
        cbor.finish("the payload")?;
        found.complete()
    }
}

impl Found {
    fn entry(&mut self, cbor: &mut Reader<'_>) -> Result<(), Malformed> {
        match cbor.text("a field name", limits::FIELD_NAME)? {
            "module_id" => {
                let text = cbor.text("module_id", limits::MODULE_ID)?;
                set(&mut self.module_id, "module_id", text.to_owned())
            }
            "timestamp" => set(&mut self.timestamp, "timestamp", UnixMillis(cbor.uint()?)),
            "digest" => {
                let text = cbor.text("digest", limits::DIGEST)?;
                set(&mut self.digest, "digest", text.to_owned())
            }
            "pcrs" => set(&mut self.pcrs, "pcrs", pcrs(cbor)?),
            "certificate" => {
                let der = cbor.bytes("certificate", limits::CERTIFICATE)?;
                set(&mut self.certificate, "certificate", der.to_vec())
            }
            "cabundle" => set(&mut self.cabundle, "cabundle", cabundle(cbor)?),
            "public_key" => set(&mut self.public_key, "public_key", caller_field(cbor, "public_key")?),
            "user_data" => set(&mut self.user_data, "user_data", caller_field(cbor, "user_data")?),
            "nonce" => set(&mut self.nonce, "nonce", caller_field(cbor, "nonce")?),
            "nitrotpm_pcrs" => Err(Malformed::NitroTpm),
            other => Err(Malformed::UnknownField { field: other.to_owned() }),
        }
    }

    fn complete(self) -> Result<UnverifiedFields, Malformed> {
        fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Malformed> {
            value.ok_or(Malformed::MissingField { field })
        }
        Ok(UnverifiedFields {
            module_id: required(self.module_id, "module_id")?,
            timestamp: required(self.timestamp, "timestamp")?,
            digest: required(self.digest, "digest")?,
            pcrs: required(self.pcrs, "pcrs")?,
            certificate: required(self.certificate, "certificate")?,
            cabundle: required(self.cabundle, "cabundle")?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        })
    }
}

fn set<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::DuplicateField { field }),
    }
}

fn caller_field(cbor: &mut Reader<'_>, field: &'static str) -> Result<Option<Vec<u8>>, Malformed> {
    Ok(cbor.optional_bytes(field, limits::CALLER_FIELD)?.map(<[u8]>::to_vec))
}

fn pcrs(cbor: &mut Reader<'_>) -> Result<BTreeMap<PcrIndex, Pcr>, Malformed> {
    let mut pcrs = BTreeMap::new();
    let mut entries = cbor.map("pcrs", limits::PCRS)?;
    while cbor.another(&mut entries)? {
        let number = cbor.uint()?;
        let register = PcrIndex::try_from(number).map_err(|_| Malformed::PcrIndex { found: number })?;
        let value = cbor.bytes("a register", limits::CALLER_FIELD)?;
        let value =
            Pcr::try_from(value).map_err(|_| Malformed::PcrLength { register, found: value.len() })?;
        if pcrs.insert(register, value).is_some() {
            return Err(Malformed::DuplicatePcr { register });
        }
    }
    Ok(pcrs)
}

fn cabundle(cbor: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    match cbor.array()? {
        0 => Err(Malformed::EmptyCabundle),
        count if count > limits::CABUNDLE => {
            Err(Malformed::TooManyEntries { field: "cabundle", limit: limits::CABUNDLE })
        }
        count => (0..count)
            .map(|_| cbor.bytes("a certificate of cabundle", limits::CERTIFICATE).map(<[u8]>::to_vec))
            .collect(),
    }
}
