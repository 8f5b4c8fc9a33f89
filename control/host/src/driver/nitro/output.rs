//! What nitro-cli prints, read strictly.
//!
//! Its versions 1.0 to 1.4 print progress and errors on stderr, and exactly one JSON value on stdout.
//! Fields were added over time (`EnclaveName`, `Measurements`, `Metadata`) and will be, so unknown ones
//! are let pass; those that are used must be there, once, and of their type. Nothing of this is trusted by a
//! verifier: it shows mistakes, and the enclave's own document is the proof.

use super::error::NitroError;
use caution_measure::{ImagePcrs, Pcr};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What an enclave is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) cid: u32,
    pub(super) cpus: u32,
    pub(super) memory_mib: u32,
    pub(super) debug: bool,
    pub(super) pcrs: ImagePcrs,
}

/// The name of an enclave on its parent: `i-` instance `-enc` number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct EnclaveId(String);

impl EnclaveId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EnclaveId {
    type Error = String;

    /// It becomes an argument again, so it may be nothing else.
    fn try_from(text: String) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if plain && text.starts_with("i-") && text.contains("-enc") && text.len() <= 80 {
            Ok(Self(text))
        } else {
            Err(format!("`{}` is no enclave id", text.escape_debug()))
        }
    }
}

/// The answer of `run-enclave`.
#[derive(Debug, Deserialize)]
pub(super) struct Started {
    #[serde(rename = "EnclaveID")]
    pub(super) id: EnclaveId,
    /// The process that holds the enclave: it ends with it, and the enclave with the process.
    #[serde(rename = "ProcessID")]
    pub(super) process: i32,
    #[serde(rename = "EnclaveCID")]
    cid: u64,
    #[serde(rename = "NumberOfCPUs")]
    cpus: u64,
    #[serde(rename = "MemoryMiB")]
    memory_mib: u64,
}

impl Started {
    pub(super) fn parse(stdout: &[u8]) -> Result<Self, NitroError> {
        parse("run-enclave", stdout)
    }

    /// Whether it is what was asked for. Memory comes in huge pages, and may be more.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), NitroError> {
        same("CID", asked.cid.into(), self.cid)?;
        same("number of CPUs", asked.cpus.into(), self.cpus)?;
        if self.memory_mib < asked.memory_mib.into() {
            return same("memory in MiB", asked.memory_mib.into(), self.memory_mib);
        }
        Ok(())
    }
}

/// One enclave of `describe-enclaves`.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    #[serde(rename = "EnclaveID")]
    pub(super) id: EnclaveId,
    #[serde(rename = "ProcessID")]
    pub(super) process: i32,
    #[serde(rename = "EnclaveCID")]
    pub(super) cid: u64,
    #[serde(rename = "State")]
    state: String,
    #[serde(rename = "Flags")]
    flags: String,
    /// Versions before 1.1 have none.
    #[serde(rename = "Measurements")]
    measurements: Option<Measured>,
}

/// Registers as nitro-cli computes them from the image; in debug mode too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Measured {
    pcr0: Pcr,
    pcr1: Pcr,
    pcr2: Pcr,
    pcr8: Option<Pcr>,
}

impl Described {
    pub(super) fn parse(stdout: &[u8]) -> Result<Vec<Self>, NitroError> {
        parse("describe-enclaves", stdout)
    }

    /// Whether it runs as it was asked for, with the registers of our image.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), NitroError> {
        let flags = if asked.debug { "DEBUG_MODE" } else { "NONE" };
        same("CID", asked.cid.into(), self.cid)?;
        same_text("state", "RUNNING", &self.state)?;
        same_text("flags", flags, &self.flags)?;
        let Some(measured) = &self.measurements else { return Ok(()) };
        let ours = asked.pcrs.measurements;
        for (what, ours, theirs) in [
            ("PCR0", ours.pcr0, measured.pcr0),
            ("PCR1", ours.pcr1, measured.pcr1),
            ("PCR2", ours.pcr2, measured.pcr2),
        ] {
            same_text(what, &ours.to_string(), &theirs.to_string())?;
        }
        match (asked.pcrs.pcr8, measured.pcr8) {
            (Some(ours), Some(theirs)) => same_text("PCR8", &ours.to_string(), &theirs.to_string()),
            _ => Ok(()),
        }
    }
}

fn parse<T: DeserializeOwned>(command: &'static str, stdout: &[u8]) -> Result<T, NitroError> {
    if stdout.trim_ascii().is_empty() {
        return Err(NitroError::Answer { command, why: "it printed nothing".to_owned() });
    }
    // One value and white space; anything behind it is an error.
    serde_json::from_slice(stdout).map_err(|e| NitroError::Answer { command, why: e.to_string() })
}

fn same(what: &'static str, asked: u64, found: u64) -> Result<(), NitroError> {
    same_text(what, &asked.to_string(), &found.to_string())
}

fn same_text(what: &'static str, asked: &str, found: &str) -> Result<(), NitroError> {
    if asked == found {
        return Ok(());
    }
    let found: String = found.chars().take(120).flat_map(char::escape_debug).collect();
    Err(NitroError::Other { what, asked: asked.to_owned(), found })
}

/// What a failed command says: its first code, which is the cause of those behind it, and that line.
pub(super) fn refusal(command: &'static str, stderr: &str, status: &str) -> NitroError {
    let coded = stderr.lines().find_map(|line| {
        let (code, said) = line.trim().strip_prefix("[ ")?.split_once(" ] ")?;
        let digits = code.strip_prefix('E')?;
        let is_code = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        is_code.then(|| (code.to_owned(), said.trim().to_owned()))
    });
    let last = || stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    let (code, said) = match coded {
        Some((code, said)) => (Some(code.clone()), format!("{code}, {said}")),
        None => (None, last().unwrap_or_else(|| status.to_owned())),
    };
    let mut said: String = said.chars().take(400).collect();
    if !said.ends_with('.') {
        said.push('.');
    }
    NitroError::Refused { command, code, said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_measure::Measurements;

    /// As the user guide and reports of users show it, versions 1.0 and 1.2.
    const OLD: &str = r#"{
  "EnclaveID": "i-04e1bfe628305b166-enc17aab64b3f7703d",
  "ProcessID": 7885,
  "EnclaveCID": 16,
  "NumberOfCPUs": 2,
  "CPUIDs": [
    1,
    9
  ],
  "MemoryMiB": 1024
}
"#;
    const NEW: &str = r#"{
  "EnclaveName": "hello",
  "EnclaveID": "i-05ae2f9bb4b9ccd99-enc1813e8fc9f03c8d",
  "ProcessID": 6110,
  "EnclaveCID": 16,
  "NumberOfCPUs": 2,
  "CPUIDs": [1, 3],
  "MemoryMiB": 512
}
"#;

    fn asked() -> Asked {
        let pcr = |byte| Pcr::new([byte; 48]);
        let measurements = Measurements { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) };
        Asked {
            cid: 16,
            cpus: 2,
            memory_mib: 512,
            debug: false,
            pcrs: ImagePcrs { measurements, pcr8: None },
        }
    }

    fn described(flags: &str, measurements: &str) -> String {
        format!(
            r#"[ {{ "EnclaveName": "hello", "EnclaveID": "i-05ae2f9bb4b9ccd99-enc1813e8fc9f03c8d", "ProcessID": 6110,
            "EnclaveCID": 16, "NumberOfCPUs": 2, "CPUIDs": [1, 3], "MemoryMiB": 512, "State": "RUNNING",
            "Flags": "{flags}"{measurements} }} ]"#
        )
    }

    #[test]
    fn what_versions_of_nitro_cli_print_is_read() {
        for text in [OLD, NEW] {
            let started = Started::parse(text.as_bytes()).unwrap();
            started.check(&asked()).unwrap();
            assert!(started.id.as_str().contains("-enc") && started.process > 6000);
        }
        assert!(Described::parse(b"[]\n").unwrap().is_empty());
        let row = |byte: u8| format!("{byte:02x}").repeat(48);
        let measured = |pcr2: u8| {
            format!(
                r#", "Measurements": {{ "HashAlgorithm": "Sha384 {{ ... }}", "PCR0": "{}", "PCR1": "{}", "PCR2": "{}" }}"#,
                row(1),
                row(2),
                row(pcr2)
            )
        };
        let first = |text: String| Described::parse(text.as_bytes()).unwrap().remove(0);
        first(described("NONE", "")).check(&asked()).unwrap();
        first(described("NONE", &measured(3))).check(&asked()).unwrap();
        first(described("DEBUG_MODE", "")).check(&Asked { debug: true, ..asked() }).unwrap();
        let other = first(described("NONE", &measured(4))).check(&asked()).unwrap_err();
        assert!(matches!(other, NitroError::Other { what: "PCR2", .. }), "{other}");
        let debug = first(described("DEBUG_MODE", "")).check(&asked()).unwrap_err();
        assert_eq!(
            debug.to_string(),
            "nitro-cli started an enclave whose flags is DEBUG_MODE, and NONE was asked for; it was ended."
        );
    }

    #[test]
    fn answers_that_are_not_quite_right_are_refused() {
        for (text, why) in [
            (String::new(), "it printed nothing"),
            ("Start allocating memory...\n".to_owned() + NEW, "expected value"),
            (NEW.to_owned() + "{}", "trailing characters"),
            (NEW.replace("\"ProcessID\": 6110,", ""), "missing field `ProcessID`"),
            (NEW.replace("6110", "\"6110\""), "invalid type"),
            (NEW.replace("16,", "-16,"), "invalid value"),
            (NEW.replace("\"EnclaveCID\"", "\"EnclaveCID\": 16, \"EnclaveCID\""), "duplicate field"),
            (NEW.replace("i-05ae2f9bb4b9ccd99-enc", "--all "), "is no enclave id"),
        ] {
            let refused = Started::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let other = Started::parse(NEW.replace("16,", "17,").as_bytes()).unwrap().check(&asked());
        assert!(matches!(other, Err(NitroError::Other { what: "CID", .. })));
        let less = Started::parse(NEW.replace("512", "256").as_bytes()).unwrap().check(&asked());
        assert!(matches!(less, Err(NitroError::Other { what: "memory in MiB", .. })));
    }

    #[test]
    fn the_first_code_is_the_cause_and_names_the_way_out() {
        let stderr = "Start allocating memory...\n\
            [ E27 ] Insufficient memory available. User provided `memory` is 3072 MB, which is more than the available \
            hugepage memory.\n\nFor more details, please visit the user guide.\nFailed connections: 1\n\
            [ E39 ] Enclave process connection failure. Such error appears when the enclave manager fails to connect.\n";
        let error = refusal("run-enclave", stderr, "exit status: 39");
        assert!(error.to_string().starts_with(
            "`nitro-cli run-enclave` failed: E27, Insufficient memory available. User provided `memory` is 3072 MB"
        ));
        assert!(error.fix().unwrap().contains("`memory_mib` in /etc/nitro_enclaves/allocator.yaml"));
        let cpus = refusal("run-enclave", "[ E22 ] Insufficient CPUs available in the pool.", "");
        assert!(cpus.fix().unwrap().contains("`cpu_count`"));
        let bare = refusal("describe-enclaves", "", "exit status: 1");
        assert_eq!(bare.to_string(), "`nitro-cli describe-enclaves` failed: exit status: 1.");
        assert_eq!(bare.fix(), None);
    }
}
