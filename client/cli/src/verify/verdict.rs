//! What `caution verify` concludes, as one screen and as stable JSON (`specs/verdict.md`).

use crate::error::Exit;
use crate::terminal::{Look, Terminal};
use caution_appspec::printable;
use caution_measure::Measurements;
use serde::Serialize;
use std::fmt::Write as _;

/// The schema's name and version in the JSON form.
pub(crate) const SCHEMA: &str = "caution.verdict/1";

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
    /// Whose root vouched for the evidence; absent when none did.
    pub root: Option<Root>,
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
    /// The commit the application was compared with, full hex.
    pub commit: Option<String>,
    /// What the reviewed source measures.
    pub expected: Option<Measurements>,
    /// What the enclave attested.
    pub attested: Option<Measurements>,
    /// When the evidence was made, RFC 3339.
    pub evidence_time: Option<String>,
    /// Until when its leaf certificate is valid, RFC 3339.
    pub evidence_valid_until: Option<String>,
    /// Where `trusted_hashes.json` was written.
    pub saved: Option<String>,
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
    pub(crate) fn new() -> Self {
        Self {
            schema: SCHEMA,
            verified: false,
            failure: None,
            exit_code: Exit::Other.code(),
            headline: String::new(),
            root: None,
            checks: Vec::new(),
            commit: None,
            expected: None,
            attested: None,
            evidence_time: None,
            evidence_valid_until: None,
            saved: None,
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

    /// Words of a manifest or document reach the verdict inside details and lines: none of them may
    /// steer a terminal.
    fn push(&mut self, name: CheckName, status: Status, detail: &str, lines: &[String]) {
        let lines = lines.iter().map(|line| printable(line)).collect();
        self.checks.push(Check { name, status, detail: printable(detail), lines });
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
        self.headline = headline.into();
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

    /// The one screen.
    pub(crate) fn to_text(&self, terminal: Terminal) -> String {
        let word = match (self.verified, self.root) {
            (true, Some(Root::Development)) => {
                terminal.paint(Look::Caution, "VERIFIED (development root, not hardware)")
            }
            (true, _) => terminal.paint(Look::Good, "VERIFIED"),
            (false, _) => terminal.paint(Look::Bad, "NOT VERIFIED"),
        };
        let mut text = format!("{word}  {}\n\n", self.headline);
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
        if let Some(saved) = &self.saved {
            let _ = writeln!(text, "\n    saved      {saved}");
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

    #[test]
    fn what_a_failure_left_unchecked_is_said() {
        let mut verdict = Verdict::new();
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
        let mut verdict = Verdict::new();
        let line = "claimed \u{1b}[2J".to_owned();
        verdict.failed(Exit::SourceMismatch, CheckName::Source, "version `\u{202e}`", &[line]);
        assert_eq!(verdict.checks[0].detail, r"version `\u{202e}`");
        assert_eq!(verdict.checks[0].lines, [r"claimed \u{1b}[2J"]);
    }
}
