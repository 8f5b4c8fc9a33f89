//! Every failure the command can end with: an exit code, a sentence, its causes, what to do next.

use caution_appspec::printable;
use serde::Serialize;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

/// Exit codes; stable, documented in `docs/src/commands.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// Anything without a class of its own.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The evidence is malformed, from an unknown root, expired, or answers another nonce.
    EvidenceInvalid = 10,
    /// The enclave runs in debug mode.
    DebugMode = 11,
    /// A PCR is not the expected one.
    MeasurementMismatch = 12,
    /// The source or plan is not the one the enclave claims.
    SourceMismatch = 13,
    /// What answers does not hold the attested key.
    ChannelNotBound = 14,
    /// No evidence could be fetched.
    Unreachable = 15,
    /// This machine lacks what a rebuild needs.
    CannotReproduce = 16,
    /// Nobody knows whether the request ran.
    MayHaveRun = 17,
    /// The platform does not know who asks, or they may not do that.
    NotAllowed = 18,
    /// The platform has no such thing, or none that one may see.
    NotFound = 19,
    /// What the platform has, or is doing, stands in the way.
    Conflict = 20,
    /// A build or deployment failed; what was live goes on.
    JobFailed = 21,
}

impl Exit {
    /// The process exit code.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// A failure, in words.
#[derive(Debug)]
pub(crate) struct CliError {
    /// Its class.
    pub exit: Exit,
    /// One whole sentence, or several lines for a list.
    pub message: String,
    /// Causes, outermost first.
    pub causes: Vec<String>,
    /// What to do next, preferably a command.
    pub hint: Option<String>,
}

impl CliError {
    /// An error without causes.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Adds advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure under another exit code.
    #[must_use]
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// An error whose words are a library error's, with its chain of causes.
    pub(crate) fn from_error(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        // Errors that only pass another one on say the same words again.
        let mut said = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if said.last() != Some(&text) {
                said.push(text);
            }
            source = cause.source();
        }
        let message = sentence(&said.remove(0));
        Self { exit, message, causes: said, hint: None }
    }

    /// A file operation that failed.
    pub(crate) fn io(what: &str, path: &Path, cause: &std::io::Error) -> Self {
        Self {
            exit: Exit::Other,
            message: format!("{what}: {}", path.display()),
            causes: vec![cause.to_string()],
            hint: None,
        }
    }

    /// What stands on the terminal, without colour codes around the word `error`.
    pub(crate) fn to_text(&self, error_word: &str) -> String {
        let mut text = format!("{error_word}: {}\n", self.message.trim_end());
        for cause in &self.causes {
            let _ = writeln!(text, "  because: {}", indent(cause));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "  fix: {}", indent(hint));
        }
        text
    }

    /// Message and causes on one line.
    pub(crate) fn summary(&self) -> String {
        let causes: String = self.causes.iter().map(|cause| format!(" ({cause})")).collect();
        printable(&format!("{}{causes}", self.message))
    }

    /// The `--json` form.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "kind": self.exit,
                "exit_code": self.exit.code(),
                "message": self.message,
                "causes": self.causes,
                "hint": self.hint,
            }
        })
    }
}

/// Begins with a capital and ends with a full stop, as a sentence does; a name in backquotes or a path
/// stays as it is, and so does the end of several lines.
fn sentence(text: &str) -> String {
    let is_name = text.split(' ').next().unwrap_or_default().contains(['.', '/', ':', '_']);
    let mut chars = text.chars();
    let mut sentence = match chars.next() {
        Some(first) if first.is_ascii_lowercase() && !is_name => {
            first.to_ascii_uppercase().to_string() + chars.as_str()
        }
        _ => text.to_owned(),
    };
    if !sentence.contains('\n') && !sentence.ends_with(['.', '!', '?', ':', '…']) {
        sentence.push('.');
    }
    sentence
}

/// Further lines of a text stand under its first.
fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}

/// Library errors with advice of their own.
macro_rules! from_library_with_fix {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self { hint: error.fix(), ..Self::from_error(Exit::Other, &error) }
            }
        }
    )*};
}
from_library_with_fix!(
    caution_build::BuildError,
    caution_build::git::GitError,
    caution_build::git::RemoteError,
    caution_compare::ExtractError,
    caution_compare::SideError,
    caution_enclaveos::EnclaveOsError,
    caution_enclaveos::KnownError,
    caution_enclaveos::ReleaseError,
    caution_enclaveos::SignedListError,
    caution_host::HostError,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("The kernel could not be fetched.")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_and_hint_stand_below_the_sentence() {
        let error = Outer(std::io::Error::other("mirror answered 404"));
        let shown = CliError::from_error(Exit::Other, &error).hint("line one\nline two").to_text("error");
        assert_eq!(
            shown,
            "error: The kernel could not be fetched.\n  because: mirror answered 404\n  fix: line one\n       line two\n"
        );
    }

    #[test]
    fn fragments_of_libraries_become_sentences() {
        assert_eq!(sentence("no ramdisk is in it"), "No ramdisk is in it.");
        for name_first in
            ["`git` is not installed.", "caution.hcl has 1 problem.", "eif-stage/x cannot be read."]
        {
            assert_eq!(sentence(name_first), name_first);
        }
        assert_eq!(sentence("It failed:\n\n    why\n"), "It failed:\n\n    why\n");
    }

    #[test]
    fn json_carries_the_documented_code() {
        let json = CliError::new(Exit::DebugMode, "x").to_json();
        assert_eq!(json["error"]["exit_code"], 11);
        assert_eq!(json["error"]["kind"], "debug_mode");
    }
}
