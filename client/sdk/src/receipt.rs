//! What was verified, for the record.

use crate::policy::Trust;
use crate::session::Established;
use caution_attest::RootKind;
use caution_measure::{Pcr, Sha256Digest};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What stands behind an exchange: the evidence, who was trusted and why, and which exchange of which session it was. It
/// holds no secret.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// `steve3`.
    pub protocol: &'static str,
    /// The suite's name.
    pub suite: &'static str,
    /// Host and port.
    pub authority: String,
    /// Why the enclave was trusted.
    pub trust: Trust,
    /// Who vouches for the evidence: `aws`, `dev` or `other`.
    #[serde(serialize_with = "root")]
    pub root: RootKind,
    /// The attested registers that are not zero.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// The attestation document.
    pub evidence_sha256: Sha256Digest,
    /// The manifest, as attested. It says where the source is.
    pub manifest_sha256: Sha256Digest,
    /// The attested list of keys.
    pub key_configs_sha256: Sha256Digest,
    /// Which running enclave it is, 32 hex digits.
    pub instance: String,
    /// Whether the enclave lets requests without encryption through to its application.
    pub plaintext_fallback: bool,
    /// The session, 32 hex digits.
    pub session_id: String,
    /// The handshake: both sides have the same, or no session.
    pub transcript_sha256: Sha256Digest,
    /// The exchange of the session; absent before there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeReceipt>,
}

/// One exchange.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct ExchangeReceipt {
    /// Its number, from 1.
    pub number: u64,
    /// Bytes that were sent, sealed.
    pub sent: u64,
    /// Bytes that came, sealed.
    pub received: u64,
    /// Whether the response is there to its authentic end.
    pub complete: bool,
}

impl Receipt {
    pub(crate) fn new(established: &Established, exchange: Option<ExchangeReceipt>) -> Self {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let (claims, verified) = (&established.attested.claims, &established.attested.verified);
        let pcrs =
            verified.pcrs().filter(|(_, pcr)| !pcr.is_zero()).map(|(n, pcr)| (n.get(), *pcr)).collect();
        Self {
            protocol: "steve3",
            suite: established.suite.name(),
            authority: established.authority.clone(),
            trust: established.trust,
            root: verified.root(),
            pcrs,
            evidence_sha256: established.attested.document,
            manifest_sha256: Sha256Digest::new(claims.manifest_hash),
            key_configs_sha256: Sha256Digest::new(claims.key_configs_hash),
            instance: hex(&claims.instance),
            plaintext_fallback: claims.flags.plaintext_fallback,
            session_id: hex(&established.session.0),
            transcript_sha256: Sha256Digest::new(established.transcript_hash),
            exchange,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn root<S: Serializer>(root: &RootKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match root {
        RootKind::Aws => "aws",
        RootKind::Dev => "dev",
        RootKind::Other => "other",
    })
}

impl Serialize for Trust {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pinned => f.write_str("pinned"),
            Self::TofuEnrolled => f.write_str("tofu-enrolled"),
            Self::TofuMatched => f.write_str("tofu-matched"),
            Self::Signed { version } => write!(f, "signed-release-{version}"),
        }
    }
}
