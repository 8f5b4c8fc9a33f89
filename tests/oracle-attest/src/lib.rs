//! Verifiers of Nitro documents that others wrote, asked as ours is.

use caution_attest::{Archived, DebugPolicy, Evidence, Expected, Intermediates, Roots, UnixMillis};
use nsm_nitro_enclave_utils::api::nsm::AttestationDoc;
use nsm_nitro_enclave_utils::time::Time;
use nsm_nitro_enclave_utils::verify::AttestationDocVerifierExt as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A document, the root that vouches for it, and a time at which to ask.
pub struct Case {
    pub name: String,
    pub document: Vec<u8>,
    pub root: Vec<u8>,
    pub at: UnixMillis,
}

/// What a verifier reads from a document that it accepts; byte strings in hex, empty ones not told from absent ones.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fields {
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    pub pcrs: BTreeMap<u16, String>,
    pub nonce: String,
    pub user_data: String,
    pub public_key: String,
}

/// The fields, or the name of the refusal.
pub fn ours(case: &Case, known: &mut Intermediates) -> Result<Fields, &'static str> {
    let roots = Roots::from_der(&[&case.root]).map_err(|_| "root")?;
    let expected = Expected { debug: DebugPolicy::Allow, ..Expected::default() };
    let archived = Archived { at: Some(case.at), nonce: None };
    let evidence = Evidence::parse(&case.document).map_err(|refusal| refusal.name())?;
    let verified = known.verify_archived(evidence, &roots, &archived, &expected);
    let verified = verified.map_err(|refusal| refusal.name())?;
    Ok(Fields {
        module_id: verified.module_id().to_owned(),
        timestamp: verified.timestamp().0,
        pcrs: verified.pcrs().map(|(register, pcr)| (u16::from(register.get()), pcr.to_string())).collect(),
        nonce: hex(verified.nonce()),
        user_data: hex(verified.user_data()),
        public_key: hex(verified.public_key()),
    })
}

/// `nitro_attest`, which asks for AWS's root and no other, and gives seconds, and registers that are not zero.
pub fn nitro_attest(case: &Case) -> Result<Fields, String> {
    let seconds = case.at.seconds().try_into().map_err(|_| "time")?;
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| error.to_string())?;
    let document = nitro_attest::UnparsedAttestationDoc::from(case.document.as_slice());
    let verified = document.parse_and_verify(at).map_err(|error| error.to_string())?;
    let bytes = |field: &Option<nitro_attest::ByteBuf>| hex(field.as_ref().map(|bytes| bytes.as_slice()));
    Ok(Fields {
        timestamp: u64::try_from(verified.timestamp.unix_timestamp()).map_err(|_| "time")? * 1000,
        pcrs: verified.pcrs.iter().map(|(register, pcr)| (*register, hex(Some(&pcr.value)))).collect(),
        nonce: bytes(&verified.nonce),
        user_data: bytes(&verified.user_data),
        public_key: bytes(&verified.public_key),
        module_id: verified.module_id,
    })
}

/// `nsm-nitro-enclave-utils`.
pub fn nsm_utils(case: &Case) -> Result<Fields, String> {
    let at = case.at.0;
    let verified = AttestationDoc::from_cose(&case.document, &case.root, Time::new(Box::new(move || at)));
    let verified = verified.map_err(|error| format!("{:?}", error.kind()))?;
    let register = |(register, pcr): (&usize, &_)| {
        let pcr: &Vec<u8> = pcr;
        Some((u16::try_from(*register).ok()?, hex(Some(pcr))))
    };
    let pcrs: Option<_> = verified.pcrs.iter().map(|(index, pcr)| register((index, &pcr.to_vec()))).collect();
    Ok(Fields {
        timestamp: verified.timestamp,
        pcrs: pcrs.ok_or("a register's number is out of range")?,
        nonce: hex(verified.nonce.as_ref().map(|bytes| bytes.as_slice())),
        user_data: hex(verified.user_data.as_ref().map(|bytes| bytes.as_slice())),
        public_key: hex(verified.public_key.as_ref().map(|bytes| bytes.as_slice())),
        module_id: verified.module_id,
    })
}

/// AWS's root, and the folder of real documents (`CAUTION_VECTORS`, or `../shared/vectors` beside the checkout); `None`,
/// loudly, when there is none.
pub fn real_documents() -> Option<Vec<Case>> {
    #[derive(Deserialize)]
    struct Row {
        file: String,
        verify_at_unix_ms: Option<u64>,
    }
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors"));
    let folder = std::env::var_os("CAUTION_VECTORS").map_or_else(beside, PathBuf::from);
    let Ok(index) = std::fs::read(folder.join("nitro/index.json")) else {
        println!(
            "SKIPPED: NO OUTSIDE VECTORS IN {} (set CAUTION_VECTORS); REAL DOCUMENTS WERE NOT TESTED",
            folder.display()
        );
        return None;
    };
    let read = |name: &str| std::fs::read(folder.join(name)).expect("the index names files that exist");
    let root = read("nitro/root/AWS_NitroEnclaves_Root-G1.der");
    let rows: Vec<Row> = serde_json::from_slice(&index).expect("the index is a list");
    let case = |row: Row| Case {
        document: read(&row.file),
        root: root.clone(),
        // The time of those that were made from a valid one, too.
        at: UnixMillis(row.verify_at_unix_ms.unwrap_or(1_713_379_906_000)),
        name: row.file,
    };
    Some(rows.into_iter().map(case).collect())
}

/// How long one call takes.
pub fn duration(call: impl FnOnce()) -> Duration {
    let started = std::time::Instant::now();
    call();
    started.elapsed()
}

pub fn hex(bytes: Option<&[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.unwrap_or_default())
}
