//! Is the evidence authentic, fresh and not debug; and which manifest does it vouch for?

use super::causes;
use super::fetch::Fetched;
use super::verdict::{CheckName, Root, Verdict};
use crate::commands::unix_millis;
use crate::error::Exit;
use caution_abi::evidence::UserData;
use caution_abi::manifest::Manifest;
use caution_attest::{Archived, Blame, Evidence, Expected, Live, Roots, Verified, VerifyError};
use caution_measure::{ImagePcrs, Pcr, PcrIndex, Sha256Digest};

/// How a document is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// Was it made just now, for this nonce? At this time by the clock.
    Live(jiff::Timestamp),
    /// Was it authentic, with the nonce that was kept beside it? At this time, or at its own.
    Archived(Option<jiff::Timestamp>),
}

/// What authentic evidence says.
pub(super) struct Authenticated {
    /// The registers an image decides; PCR8 is zero where nobody signed it.
    pub(super) pcrs: ImagePcrs,
    /// What the document's `user_data` is: EnclaveOS' map, another form, or absent.
    user_data: Option<UserData>,
    /// The manifest's text as it was sent along, not part of the document.
    sent_manifest: Option<String>,
}

/// Authenticates what was fetched; `None` means that the check failed and the verdict is concluded.
pub(super) fn authenticate(
    fetched: &Fetched,
    roots: &Roots,
    question: Question,
    registers: &[(PcrIndex, Pcr)],
    verdict: &mut Verdict,
) -> Option<Authenticated> {
    let verified = match ask(fetched, roots, question, registers) {
        Ok(verified) => verified,
        Err(refusal) => {
            refused(&refusal, verdict);
            return None;
        }
    };
    let until = verified.leaf_valid_until();
    let root = Root::from(verified.root());
    let signer = match root {
        Root::AwsNitro => "signed by AWS Nitro (chain to Root-G1",
        Root::Development => "signed by this machine's development root (no hardware",
        Root::Other => "signed under the root you named (no known hardware",
    };
    verdict.root = Some(root);
    verdict.evidence_time = Some(verified.timestamp().to_string());
    verdict.evidence_valid_until = Some(until.to_string());
    let when = match question {
        Question::Live(_) => "fresh nonce".to_owned(),
        Question::Archived(None) => format!("authentic at its own time, {}", verified.timestamp()),
        Question::Archived(Some(at)) => format!("authentic at the time given, {at:.0}"),
    };
    let named: Vec<String> =
        registers.iter().map(|(register, _)| format!(", {}", meaning(*register))).collect();
    let named = named.concat();
    verdict.ok(CheckName::Evidence, format!("{when}, {signer}, leaf valid until {until}), not debug{named}"));
    let pcr8 = verified.pcr(PcrIndex::SIGNER).copied().unwrap_or(Pcr::ZERO);
    Some(Authenticated {
        pcrs: ImagePcrs { measurements: verified.measurements(), pcr8: Some(pcr8) },
        user_data: verified.user_data().and_then(|bytes| UserData::from_bytes(bytes).ok()),
        sent_manifest: fetched.manifest.clone(),
    })
}

fn ask(
    fetched: &Fetched,
    roots: &Roots,
    question: Question,
    registers: &[(PcrIndex, Pcr)],
) -> Result<Verified, VerifyError> {
    let evidence = Evidence::parse(&fetched.document)?;
    let expected = Expected { registers, ..Expected::default() };
    let nonce = fetched.nonce.as_bytes();
    match question {
        Question::Live(now) => {
            let live = Live { now: unix_millis(now), nonce, max_age_ms: MAX_AGE_MS };
            evidence.verify(roots, &live, &expected)
        }
        Question::Archived(at) => {
            let archived = Archived { at: at.map(unix_millis), nonce: Some(nonce) };
            evidence.verify_archived(roots, &archived, &expected)
        }
    }
}

/// What it proves that a register is the one the caller named.
fn meaning(register: PcrIndex) -> String {
    match register.get() {
        3 => "PCR3 as named: the parent instance has this IAM role".to_owned(),
        4 => "PCR4 as named: on this parent instance and no other".to_owned(),
        8 => "PCR8 as named: the image was signed with this certificate".to_owned(),
        _ => format!("{register} as named"),
    }
}

fn refused(refusal: &VerifyError, verdict: &mut Verdict) {
    let (exit, headline) = match refusal.kind() {
        Blame::Debug => (
            Exit::DebugMode,
            "The enclave runs in debug mode, which proves nothing: its host can read its console, and its measurements are zero.",
        ),
        Blame::Mismatch => {
            (Exit::MeasurementMismatch, "The evidence is authentic, and a register is not the one you named.")
        }
        _ => (Exit::EvidenceInvalid, "The evidence is not valid, so nothing is known about what runs."),
    };
    verdict.failed(exit, CheckName::Evidence, refusal.to_string(), &causes(refusal));
    verdict.conclude(headline);
}

impl Authenticated {
    /// The manifest the enclave vouched for, or `Some(None)` when it vouches that it has none; `None`
    /// means that the check failed and the verdict is concluded.
    #[expect(clippy::option_option, reason = "outer: did the check hold; inner: is there a manifest")]
    pub(super) fn bound_manifest(&self, verdict: &mut Verdict) -> Option<Option<Manifest>> {
        let sent = self.sent_manifest.as_deref();
        let received = sent.map(|text| Sha256Digest::of(text.as_bytes()));
        let problem = match self.user_data {
            Some(bound) if bound.manifest_sha256 == received => None,
            Some(_) if received.is_none() => Some("the enclave vouches for a manifest, but none was sent"),
            Some(_) => Some("the manifest that was sent is not the one the enclave vouches for"),
            None => Some("the document was not made by EnclaveOS: its user_data has another form"),
        };
        if let Some(problem) = problem {
            verdict.failed(Exit::SourceMismatch, CheckName::Source, problem, &[]);
            verdict.conclude("The answer does not belong to the evidence in it.");
            return None;
        }
        match sent.map(|text| Manifest::from_bytes(text.as_bytes())).transpose() {
            Ok(manifest) => Some(manifest),
            Err(cause) => {
                verdict.failed(Exit::SourceMismatch, CheckName::Source, cause.to_string(), &causes(&cause));
                verdict.conclude("The enclave's manifest cannot be read.");
                None
            }
        }
    }
}

/// A live document may be this old: the request's own time-out with slack for clocks.
const MAX_AGE_MS: u64 = 5 * 60 * 1000;
