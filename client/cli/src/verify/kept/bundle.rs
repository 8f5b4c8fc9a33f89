//! Evidence that was kept, to be checked again offline (`specs/verdict.md`).
//!
//! A bundle is not signed. What can be checked again is the document in it and the manifest that the
//! document vouches for; everything else is a record of what this program said then.

use super::super::Asked;
use super::super::fetch::{Fetched, MAX_SHOWN, shown};
use super::super::verdict::{Recorded, Verdict};
use crate::error::{CliError, Exit};
use crate::files::{self, Found, read_limited};
use crate::own_folder;
use caution_abi::manifest::Manifest;
use caution_appspec::excerpt;
use caution_attest::limits;
use caution_build::git::CommitId;
use caution_measure::{Nonce, Sha256Digest};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The schema's name and version.
const SCHEMA: &str = "caution.evidence/1";
/// Inside `.caution/`.
const FOLDER: &str = "evidence";
/// How many bundles of the folder are looked at, the newest.
const MAX_LOOKED_AT: usize = 10_000;
/// How many bundles of one second are kept.
const MAX_A_SECOND: usize = 1000;
/// The longest bundle, in bytes: an answer of 1 MiB whose every other character is escaped, and what was said about it.
const MAX_BYTES: usize = 4 << 20;

/// What was asked, answered and concluded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::verify) struct Bundle {
    schema: String,
    /// When it was checked.
    pub(crate) checked_at: jiff::Timestamp,
    /// The program that checked it, with its version.
    pub(crate) tool: String,
    /// Whom it asked: the address, and the name of it: of an enclave on that machine, else the host's.
    pub(crate) url: String,
    pub(crate) name: String,
    nonce: Nonce,
    /// The document, base64.
    document: String,
    /// The manifest's text, exactly as it was hashed.
    manifest: Option<String>,
    /// SHA-256 of the boot plan's canonical bytes, from the rebuilt image.
    pub(crate) boot_plan_sha256: Option<Sha256Digest>,
    /// SHA-256 of the rebuilt image's file.
    pub(crate) rebuilt_eif_sha256: Option<Sha256Digest>,
    /// The verdict, as `caution verify --json` printed it.
    pub(crate) verdict: serde_json::Value,
}

/// What a rebuild adds to a bundle.
#[derive(Debug, Clone, Copy)]
pub(in crate::verify) struct RebuiltDigests {
    /// Of the boot plan's canonical bytes.
    pub(in crate::verify) boot_plan: Sha256Digest,
    /// Of the image's file.
    pub(in crate::verify) eif: Sha256Digest,
}

impl Bundle {
    pub(super) fn new(
        asked: &Asked,
        rebuilt: Option<RebuiltDigests>,
        verdict: &Verdict,
    ) -> Result<Self, CliError> {
        let (answer, checked_at) = (&asked.answer, verdict.checked_at);
        // Where things lie on this machine is nobody else's.
        let verdict = Verdict { saved: None, saved_evidence: None, ..verdict.clone() };
        let verdict = serde_json::to_value(verdict).map_err(|e| CliError::from_error(Exit::Other, &e))?;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            checked_at,
            tool: concat!("caution ", env!("CARGO_PKG_VERSION")).to_owned(),
            url: shown(&asked.target.url),
            name: asked.target.name.clone(),
            nonce: answer.nonce,
            document: BASE64.encode(&answer.document),
            manifest: answer.manifest.clone(),
            boot_plan_sha256: rebuilt.map(|rebuilt| rebuilt.boot_plan),
            rebuilt_eif_sha256: rebuilt.map(|rebuilt| rebuilt.eif),
            verdict,
        })
    }

    /// Reads a bundle of the caller's choice.
    pub(in crate::verify) fn read(path: &Path) -> Result<Self, CliError> {
        Self::from_bytes(&read_limited(path, MAX_BYTES)?).map_err(|cause| CliError {
            exit: Exit::EvidenceInvalid,
            message: format!("{} is no evidence bundle.", path.display()),
            causes: vec![cause],
            hint: Some("caution verify writes them to .caution/evidence/; a document alone: caution attestation verify FILE --at TIME".into()),
        })
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let bundle: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if bundle.schema != SCHEMA {
            return Err(format!("its schema is `{}`, not `{SCHEMA}`", bundle.schema));
        }
        Ok(bundle)
    }

    /// The answer in it, as unauthenticated as one from the network.
    pub(in crate::verify) fn answer(&self) -> Result<Fetched, CliError> {
        let wrong = |cause: String| CliError {
            exit: Exit::EvidenceInvalid,
            message: "The bundle holds no document.".into(),
            causes: vec![cause],
            hint: None,
        };
        // Base64 has four digits for three bytes; what is longer cannot be a document.
        if self.document.len() > limits::DOCUMENT.div_ceil(3) * 4 {
            return Err(wrong(format!("it has more than {} bytes", limits::DOCUMENT)));
        }
        let document = BASE64.decode(self.document.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        Ok(Fetched { nonce: self.nonce, document, manifest: self.manifest.clone() })
    }

    /// What it says about itself.
    pub(in crate::verify) fn summary(&self) -> Recorded {
        Recorded {
            checked_at: self.checked_at,
            tool: excerpt(&self.tool, MAX_SHOWN),
            verified: self.verdict["verified"] == true,
            headline: excerpt(self.verdict["headline"].as_str().unwrap_or_default(), MAX_SHOWN),
            rebuilt_eif_sha256: self.rebuilt_eif_sha256,
        }
    }

    /// The commit that its manifest claims; of an enclave that claimed none, the one that it was compared with.
    pub(super) fn commit(&self) -> Option<CommitId> {
        let manifest = self.manifest.as_deref().and_then(|text| Manifest::from_bytes(text.as_bytes()).ok());
        let claimed = manifest.and_then(|manifest| manifest.app_source).map(|source| source.commit);
        claimed.as_deref().or_else(|| self.verdict["commit"].as_str())?.parse().ok()
    }

    /// Whether the verdict then was "verified", without a warning.
    fn was_verified_without_warning(&self) -> bool {
        let none = |value: &serde_json::Value| value.as_array().is_none_or(Vec::is_empty);
        self.verdict["verified"] == true && none(&self.verdict["warnings"])
    }

    /// Its bytes: indented JSON with a final newline.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CliError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| CliError::from_error(Exit::Other, &e))?;
        Ok((text + "\n").into_bytes())
    }

    /// Writes it below a checkout's `.caution/`; returns the path. Others of the same second stay: several enclaves
    /// can be verified from one checkout at once.
    pub(super) fn save(&self, checkout: &Path) -> Result<PathBuf, CliError> {
        let folder = own_folder::open_below(checkout, FOLDER)?;
        let (time, bytes) = (own_folder::file_safe(&format!("{:.0}", self.checked_at)), self.to_bytes()?);
        let names = (2..=MAX_A_SECOND).map(|number| format!("{time}-{number}.json"));
        for name in std::iter::once(format!("{time}.json")).chain(names) {
            let path = folder.join(name);
            if files::write_new(&path, &bytes)? {
                return Ok(path);
            }
        }
        let message = format!("{} has {MAX_A_SECOND} bundles of {time}.", folder.display());
        Err(CliError::new(Exit::Other, message))
    }

    /// The newest bundle of a checkout about an enclave of this name that was verified, without a warning.
    ///
    /// Files that are something else are passed over: a checkout can hold anything. Each run with a warning leaves a
    /// bundle as well, so the one that is looked for can lie far below.
    pub(super) fn last_verified(checkout: &Path, name: &str) -> Option<Self> {
        let folder = own_folder::existing_below(checkout, FOLDER)?;
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            names.insert(entry.path());
            if names.len() > MAX_LOOKED_AT {
                names.pop_first();
            }
        }
        names
            .iter()
            .rev()
            .filter_map(|path| match files::look_at(path, MAX_BYTES) {
                Ok(Found::File(bytes)) => Self::from_bytes(&bytes).ok(),
                _ => None,
            })
            .find(|bundle| bundle.name == name && bundle.was_verified_without_warning())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bundle(time: &str, name: &str, verdict: serde_json::Value) -> Bundle {
        Bundle {
            schema: SCHEMA.to_owned(),
            checked_at: time.parse().unwrap(),
            tool: "caution 0".to_owned(),
            url: String::new(),
            name: name.to_owned(),
            nonce: Nonce::new([7; 32]),
            document: BASE64.encode(b"document"),
            manifest: None,
            boot_plan_sha256: None,
            rebuilt_eif_sha256: None,
            verdict,
        }
    }

    #[test]
    fn a_bundle_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let written = bundle("2026-11-20T09:12:44Z", "https://a.b/attestation", json!({"verified": true}));
        let path = written.save(dir.path()).unwrap();
        assert_eq!(path, dir.path().join(".caution/evidence/2026-11-20T09-12-44Z.json"));
        let answer = Bundle::read(&path).unwrap().answer().unwrap();
        assert_eq!((answer.document.as_slice(), answer.nonce), (&b"document"[..], Nonce::new([7; 32])));

        for (text, said) in [
            ("{}", "missing field"),
            ("no JSON", "expected"),
            (
                &String::from_utf8(written.to_bytes().unwrap()).unwrap().replace("evidence/1", "evidence/9"),
                "schema",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let refusal = Bundle::read(&path).unwrap_err();
            assert_eq!(refusal.exit, Exit::EvidenceInvalid);
            assert!(refusal.causes[0].contains(said), "{:?}", refusal.causes);
        }
        // Another enclave, verified at the same time: nothing that was kept is lost.
        let other = Bundle { name: "there".into(), ..written.clone() };
        let second = other.save(dir.path()).unwrap();
        assert_eq!(second, dir.path().join(".caution/evidence/2026-11-20T09-12-44Z-2.json"));
        assert_eq!(Bundle::read(&second).unwrap().name, "there");

        // What a lying enclave may send can be kept, so it can be read again.
        let manifest = Some("\"".repeat(1 << 20));
        std::fs::write(&path, Bundle { manifest, ..written.clone() }.to_bytes().unwrap()).unwrap();
        assert!(Bundle::read(&path).is_ok());
        let long = Bundle { document: "A".repeat(24_000), ..written };
        assert!(long.answer().err().unwrap().causes[0].contains("16384"));
    }

    #[test]
    fn the_last_verified_bundle_is_the_newest_without_warnings() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Bundle::last_verified(dir.path(), "here").is_none());
        for (time, name, verdict) in [
            ("2026-11-20T09:00:00Z", "here", json!({"verified": true})),
            ("2026-11-20T10:00:00Z", "here", json!({"verified": true, "warnings": []})),
            ("2026-11-20T11:00:00Z", "here", json!({"verified": true, "warnings": [{}]})),
            ("2026-11-20T12:00:00Z", "here", json!({"verified": false})),
            ("2026-11-20T13:00:00Z", "there", json!({"verified": true})),
        ] {
            bundle(time, name, verdict).save(dir.path()).unwrap();
        }
        std::fs::write(dir.path().join(".caution/evidence/zzz"), "something else").unwrap();
        let last = Bundle::last_verified(dir.path(), "here").unwrap();
        assert_eq!(last.checked_at.to_string(), "2026-11-20T10:00:00Z");

        // However often somebody looks at a warning, it does not go away by itself.
        let warned = json!({"verified": true, "warnings": [{}]});
        for second in 0..300 {
            let time = format!("2026-11-21T00:{:02}:{:02}Z", second / 60, second % 60);
            bundle(&time, "here", warned.clone()).save(dir.path()).unwrap();
        }
        let last = Bundle::last_verified(dir.path(), "here").unwrap();
        assert_eq!(last.checked_at.to_string(), "2026-11-20T10:00:00Z");
    }

    /// A host need not hand over a manifest: what it was compared with then is remembered all the same.
    #[test]
    fn the_commit_of_a_bundle_is_known_without_a_manifest() {
        let id = "c0".repeat(20);
        let none = bundle("2026-11-20T09:00:00Z", "here", json!({"verified": true, "commit": id}));
        assert_eq!(none.commit().unwrap().as_str(), id);
        let odd = bundle("2026-11-20T09:00:00Z", "here", json!({"verified": true, "commit": "--all"}));
        assert!(odd.commit().is_none());
    }
}
