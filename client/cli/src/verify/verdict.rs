//! What `caution verify` concludes, as one screen and as stable JSON (`specs/verdict.md`).

use super::explain::Differences;
use crate::egress::can_reach;
use crate::error::Exit;
use crate::terminal::{Look, Terminal};
use caution_abi::e2e::E2e;
use caution_abi::egress::EgressRule;
use caution_appspec::{excerpt, printable};
use caution_attest::RootKind;
use caution_measure::{Measurements, Sha256Digest};
use serde::Serialize;
use std::fmt::Write as _;

/// The schema's name and version in the JSON form.
pub(crate) const SCHEMA: &str = "caution.verdict/1";
/// The longest headline, detail or line, in characters.
const MAX_LINE: usize = 1000;

/// A conclusion and everything it rests on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Whether every check that was due held.
    pub verified: bool,
    /// The class of the first check that failed.
    pub failure: Option<Exit>,
    /// The process exit code.
    pub exit_code: u8,
    /// One sentence for people.
    pub headline: String,
    /// What stops nothing but must be seen.
    pub warnings: Vec<Warning>,
    /// Whether a running enclave was asked, or evidence that was kept.
    pub mode: Mode,
    /// When the checks below were made.
    pub checked_at: jiff::Timestamp,
    /// Whose root vouched for the evidence; absent when none did.
    pub root: Option<Root>,
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
    /// The commit the application was compared with, full hex.
    pub commit: Option<String>,
    /// The release below the application; absent before its check holds.
    pub enclaveos: Option<EnclaveOs>,
    /// What the reviewed source measures.
    pub expected: Option<Measurements>,
    /// Whether what the app writes leaves the enclave; absent before the build check holds.
    pub logs: Option<bool>,
    /// What encrypts in front of the app, once its image is known to be the rebuilt one.
    pub e2e: Option<E2e>,
    /// What the enclave attested.
    pub attested: Option<Measurements>,
    /// What the app can reach outside, once its image is known to be the rebuilt one.
    pub can_reach: Option<Vec<EgressRule>>,
    /// Where the registers differ and the deployed image can be had: which files do (left: rebuilt, right: running).
    pub differences: Option<Differences>,
    /// When the evidence was made, RFC 3339.
    pub evidence_time: Option<String>,
    /// Until when its leaf certificate is valid, RFC 3339.
    pub evidence_valid_until: Option<String>,
    /// Where `trusted_hashes.json` was written.
    pub saved: Option<String>,
    /// Where the evidence bundle was written.
    pub saved_evidence: Option<String>,
    /// Of evidence that was kept: what the bundle says about the time when it was made.
    pub recorded: Option<Recorded>,
}

/// Whom the question went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A running enclave, which answered a fresh nonce.
    Live,
    /// A bundle; nothing is known about now.
    Archived,
}

/// Something that stops nothing but must be seen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Warning {
    /// `rollback`, `other_history` or `rollback_unknown`.
    pub kind: &'static str,
    /// A sentence.
    pub message: String,
    /// Further lines.
    pub lines: Vec<String>,
}

/// What a bundle says about itself. Nobody vouches for it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Recorded {
    /// When it was checked.
    pub checked_at: jiff::Timestamp,
    /// By which program.
    pub tool: String,
    /// Whether the verdict was "verified" then.
    pub verified: bool,
    /// Its headline.
    pub headline: String,
    /// SHA-256 of the image that was rebuilt then.
    pub rebuilt_eif_sha256: Option<Sha256Digest>,
}

/// The release that the platform check found, and why it is believed in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EnclaveOs {
    /// Why.
    pub basis: Basis,
    /// Whether the reviewed commit says that it has to be this one.
    pub pinned: bool,
    /// Its version, where that is known.
    pub version: Option<String>,
    /// Version of its kernel's source package, likewise.
    pub kernel_version: Option<String>,
    /// The commit of Caution's repository that it is built from, of known releases.
    pub source_commit: Option<String>,
}

/// Why a release is believed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Basis {
    /// It is on the list of known releases.
    Known,
    /// It was built from source on this machine.
    BuiltHere,
    /// The caller named it.
    Allowed,
}

/// Whose root vouched for the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Root {
    /// AWS Nitro Enclaves Root-G1: genuine hardware.
    AwsNitro,
    /// A development root: no hardware vouches for anything.
    Development,
    /// A root the caller named.
    Other,
}

impl From<RootKind> for Root {
    fn from(kind: RootKind) -> Self {
        match kind {
            RootKind::Aws => Self::AwsNitro,
            RootKind::Dev => Self::Development,
            RootKind::Other => Self::Other,
        }
    }
}

/// One line of the verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// Which.
    pub name: CheckName,
    /// How it went.
    pub status: Status,
    /// What was seen, in words.
    pub detail: String,
    /// Further lines: values side by side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// The checks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CheckName {
    /// Signature, chain, freshness, nonce, debug mode.
    Evidence,
    /// The commit and what the manifest claims about it.
    Source,
    /// EnclaveOS: PCR1.
    Platform,
    /// The rebuilt image: PCR0 to PCR2.
    Build,
    /// Whether the connection ends inside the enclave.
    Channel,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It held.
    Ok,
    /// It failed.
    Failed,
    /// It was not made; the detail says why.
    NotChecked,
}

impl Verdict {
    /// A verdict before any check.
    pub(crate) fn new(mode: Mode, checked_at: jiff::Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            verified: false,
            failure: None,
            exit_code: Exit::Other.code(),
            headline: String::new(),
            warnings: Vec::new(),
            mode,
            checked_at,
            root: None,
            checks: Vec::new(),
            commit: None,
            enclaveos: None,
            expected: None,
            logs: None,
            e2e: None,
            can_reach: None,
            differences: None,
            attested: None,
            evidence_time: None,
            evidence_valid_until: None,
            saved: None,
            saved_evidence: None,
            recorded: None,
        }
    }

    /// Notes a check that held.
    pub(crate) fn ok(&mut self, name: CheckName, detail: impl Into<String>) {
        self.push(name, Status::Ok, &detail.into(), &[]);
    }

    /// Notes a check that was not made.
    pub(crate) fn not_checked(&mut self, name: CheckName, detail: impl Into<String>) {
        self.push(name, Status::NotChecked, &detail.into(), &[]);
    }

    /// Notes a check that failed; the first failure decides the exit code.
    pub(crate) fn failed(
        &mut self,
        exit: Exit,
        name: CheckName,
        detail: impl Into<String>,
        lines: &[String],
    ) {
        self.failure.get_or_insert(exit);
        self.push(name, Status::Failed, &detail.into(), lines);
    }

    /// Notes what stops nothing but must be seen.
    pub(crate) fn warn(&mut self, kind: &'static str, message: impl Into<String>, lines: &[String]) {
        let lines = lines.iter().map(|line| printable(line)).collect();
        self.warnings.push(Warning { kind, message: printable(&message.into()), lines });
    }

    /// Words of a manifest, document or bundle reach the verdict inside headline, details and lines: none
    /// of them may steer a terminal, or fill it until a screen of theirs is what is left to see.
    fn push(&mut self, name: CheckName, status: Status, detail: &str, lines: &[String]) {
        let lines = lines.iter().map(|line| excerpt(line, MAX_LINE)).collect();
        self.checks.push(Check { name, status, detail: excerpt(detail, MAX_LINE), lines });
    }

    /// Draws the conclusion: verified when no check failed. Every path that could not make a check
    /// that was due notes it as failed first; what comes after that one is noted as not made.
    pub(crate) fn conclude(&mut self, headline: impl Into<String>) {
        for name in CheckName::IN_ORDER {
            if self.failure.is_some() && self.checks.iter().all(|check| check.name != name) {
                self.not_checked(name, "not reached: an earlier check failed");
            }
        }
        self.verified = self.failure.is_none();
        self.exit_code = self.failure.map_or(0, Exit::code);
        self.headline = excerpt(&headline.into(), MAX_LINE);
    }

    /// Prints it, as one screen or as JSON.
    pub(crate) fn print(&self, terminal: Terminal) {
        if terminal.json {
            match serde_json::to_value(self) {
                Ok(value) => terminal.json_result(&value),
                Err(cause) => terminal.note(&format!("The verdict has no JSON form: {cause}")),
            }
        } else {
            terminal.result(&self.to_text(terminal));
        }
    }

    /// The verdict's word and its headline.
    pub(crate) fn first_line(&self, terminal: Terminal) -> String {
        let word = match (self.verified, self.root) {
            (true, Some(Root::Development)) => {
                terminal.paint(Look::Caution, "VERIFIED (development root, not hardware)")
            }
            (true, _) => terminal.paint(Look::Good, "VERIFIED"),
            (false, _) => terminal.paint(Look::Bad, "NOT VERIFIED"),
        };
        format!("{word}  {}", self.headline)
    }

    /// The one screen.
    pub(crate) fn to_text(&self, terminal: Terminal) -> String {
        let mut text = self.first_line(terminal) + "\n\n";
        for Warning { message, lines, .. } in &self.warnings {
            let _ = writeln!(text, "  {} {message}", terminal.paint(Look::Caution, "!"));
            for line in lines {
                let _ = writeln!(text, "      {line}");
            }
            text.push('\n');
        }
        for check in &self.checks {
            let (mark, look) = match check.status {
                Status::Ok => ("✓", Look::Good),
                Status::Failed => ("✗", Look::Bad),
                Status::NotChecked => ("–", Look::Faint),
            };
            let name = check.name.word();
            let _ = writeln!(text, "  {} {name:<9}  {}", terminal.paint(look, mark), check.detail);
            for line in &check.lines {
                let _ = writeln!(text, "              {line}");
            }
        }
        if let Some(logs) = self.logs {
            let _ = writeln!(text, "\n    logs       {}", caution_plan::logs_in_words(logs));
        }
        if let Some(rules) = &self.can_reach {
            text.push_str(&can_reach(rules, "    "));
        }
        if let Some(Differences { text: files, command, .. }) = &self.differences {
            let _ = writeln!(text, "\n{}\n\n  whole report: {command}", files.trim_matches('\n'));
        }
        let saved: Vec<&str> =
            [&self.saved, &self.saved_evidence].into_iter().flatten().map(String::as_str).collect();
        if !saved.is_empty() {
            let _ = writeln!(text, "\n    saved      {}", saved.join(" · "));
        }
        if let Some(recorded) = &self.recorded {
            let Recorded { checked_at, tool, headline, verified, rebuilt_eif_sha256 } = recorded;
            let word = if *verified { "VERIFIED" } else { "NOT VERIFIED" };
            let _ = writeln!(
                text,
                "\n    then       {checked_at:.0}, {}: {word}  {}",
                printable(tool),
                printable(headline)
            );
            if let Some(digest) = rebuilt_eif_sha256 {
                let _ = writeln!(text, "               rebuilt image sha256 {digest}");
            }
            let _ = writeln!(text, "               (the bundle says so; nobody vouches for these lines)");
        }
        text
    }
}

impl CheckName {
    /// As they are made and shown.
    const IN_ORDER: [Self; 5] = [Self::Evidence, Self::Source, Self::Platform, Self::Build, Self::Channel];

    const fn word(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Source => "source",
            Self::Platform => "platform",
            Self::Build => "build",
            Self::Channel => "channel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        Verdict::new(Mode::Live, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_a_failure_left_unchecked_is_said() {
        let mut verdict = verdict();
        verdict.ok(CheckName::Evidence, "fresh");
        verdict.failed(Exit::SourceMismatch, CheckName::Source, "another commit", &[]);
        verdict.conclude("No.");
        let statuses: Vec<_> = verdict.checks.iter().map(|check| (check.name, check.status)).collect();
        let expected =
            [Status::Ok, Status::Failed, Status::NotChecked, Status::NotChecked, Status::NotChecked];
        assert_eq!(statuses, CheckName::IN_ORDER.into_iter().zip(expected).collect::<Vec<_>>());
        assert_eq!((verdict.verified, verdict.exit_code), (false, 13));
    }

    #[test]
    fn words_of_the_enclave_cannot_steer_the_terminal() {
        let mut verdict = verdict();
        let line = "claimed \u{1b}[2J".to_owned();
        verdict.failed(Exit::SourceMismatch, CheckName::Source, "version `\u{202e}`", &[line]);
        assert_eq!(verdict.checks[0].detail, r"version `\u{202e}`");
        assert_eq!(verdict.checks[0].lines, [r"claimed \u{1b}[2J"]);
        verdict.not_checked(CheckName::Build, format!("{}VERIFIED", " ".repeat(60_000)));
        assert_eq!(verdict.checks[1].detail.trim_start(), "…");
        verdict.conclude("\u{1b}[2JVERIFIED\n  ✓ evidence");
        assert_eq!(verdict.headline, r"\u{1b}[2JVERIFIED\u{a}  ✓ evidence");
    }
}
