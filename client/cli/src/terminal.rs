//! How the command talks: results on stdout, progress and advice on stderr, quiet when not watched.

use crate::error::CliError;
use caution_appspec::printable;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

/// Output wishes, passed to every command.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about the two streams")]
pub(crate) struct Terminal {
    /// Machine-readable results.
    pub json: bool,
    /// Engine output and other details on stderr.
    pub verbose: bool,
    color_out: bool,
    color_err: bool,
    moving: bool,
}

/// What a word should look like. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Worth reading twice.
    Caution,
    /// Secondary.
    Faint,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "1;32",
            Self::Bad => "1;31",
            Self::Caution => "1;33",
            Self::Faint => "2",
        }
    }
}

impl Terminal {
    /// Decides from flags, `NO_COLOR` and what the streams are.
    pub(crate) fn new(no_color: bool, json: bool, verbose: bool) -> Self {
        let err_tty = std::io::stderr().is_terminal();
        Self {
            json,
            verbose,
            color_out: !no_color && std::io::stdout().is_terminal(),
            color_err: !no_color && err_tty,
            moving: err_tty && !json,
        }
    }

    /// Text for stdout in this look.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        paint(self.color_out, look, text)
    }

    /// Writes a result to stdout. A closed pipe (`caution … | head`) is the reader's wish, not an error.
    pub(crate) fn result(self, text: &str) {
        let _ = self.one_of_many(text);
    }

    /// Writes one of several results to stdout: `false` when nobody reads there any more.
    #[expect(clippy::unused_self, reason = "every word of a command goes through its terminal")]
    pub(crate) fn one_of_many(self, text: &str) -> bool {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        !written.is_err_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Whether results go to a terminal.
    #[expect(clippy::unused_self, reason = "every word of a command goes through its terminal")]
    pub(crate) fn shows_results(self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Writes bytes to stdout as they are; `false` once nobody reads them (`caution … | head`).
    #[expect(clippy::unused_self, reason = "every word of a command goes through its terminal")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> std::io::Result<bool> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a JSON result to stdout.
    pub(crate) fn json_result(self, value: &serde_json::Value) {
        self.result(&format!("{}\n", ascii_controls(&format!("{value:#}"))));
    }

    /// Writes a JSON value to stdout, on one line: `false` when nobody reads there any more.
    pub(crate) fn json_line(self, value: &serde_json::Value) -> bool {
        self.one_of_many(&format!("{}\n", ascii_controls(&value.to_string())))
    }

    /// Says that a step began; replaced by [`Terminal::step`] when somebody watches.
    pub(crate) fn begin(self, name: &str) {
        self.progress(name, "…");
    }

    /// Says how far a step is, to who watches.
    pub(crate) fn progress(self, name: &str, detail: &str) {
        if self.moving {
            advice(&format!("{CLEAR_LINE}  {name:<11} {}", plain(detail)));
        }
    }

    /// Says that a step is done.
    pub(crate) fn step(self, name: &str, detail: &str, elapsed: Duration) {
        if self.json {
            return;
        }
        let (name, detail) = (format!("{name:<11}"), plain(detail));
        self.say(&format!(
            "  {} {detail:<66} {}",
            paint(self.color_err, Look::Faint, &name),
            paint(self.color_err, Look::Faint, &format!("{:>6.1} s", elapsed.as_secs_f64()))
        ));
    }

    /// A line of detail from a tool; shown with `--verbose` only.
    pub(crate) fn detail(self, line: &str) {
        if self.verbose && !self.json {
            self.say(&format!("    {}", paint(self.color_err, Look::Faint, &plain(line))));
        }
    }

    /// A sentence about what happens; not shown with `--json`.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            self.say(&plain(text));
        }
    }

    /// Advice.
    pub(crate) fn warning(self, text: &str, fix: Option<&str>) {
        self.say(&format!("{}: {}", paint(self.color_err, Look::Caution, "warning"), plain(text)));
        if let Some(fix) = fix {
            advice(&format!("  fix: {}\n", plain(fix)));
        }
    }

    /// The failure that ends the command.
    pub(crate) fn error(self, error: &CliError) {
        if self.json {
            return self.json_result(&error.to_json());
        }
        // Words of documents, enclaves and engines reach messages and causes.
        let shown = CliError {
            exit: error.exit,
            message: plain(&error.message),
            causes: error.causes.iter().map(|cause| plain(cause)).collect(),
            hint: error.hint.as_deref().map(plain),
        };
        self.say(shown.to_text(&paint(self.color_err, Look::Bad, "error")).trim_end_matches('\n'));
    }

    /// A line on stderr, in place of one that [`Terminal::begin`] left open.
    fn say(self, line: &str) {
        advice(&format!("{}{line}\n", if self.moving { CLEAR_LINE } else { "" }));
    }
}

/// Writes to stderr. Nobody listening there is no reason to stop: `eprint!` would panic.
fn advice(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Text that no terminal obeys, line by line.
fn plain(text: &str) -> String {
    text.split('\n').map(|line| printable(&line.replace('\t', "    "))).collect::<Vec<_>>().join("\n")
}

/// JSON in which what a terminal obeys or hides is escaped beyond JSON's own rule (U+0000 to U+001F).
fn ascii_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let one = c.to_string();
        if c == '\n' || printable(&one) == one {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

/// A word as the shell takes it, for commands that are shown to be copied.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if word.chars().all(plain) && !word.starts_with('-') {
        word.to_owned()
    } else {
        format!("'{}'", printable(word).replace('\'', r"'\''"))
    }
}

/// To the line's beginning, and erase it.
const CLEAR_LINE: &str = "\r\x1b[K";

fn paint(color: bool, look: Look, text: &str) -> String {
    if color { format!("\x1b[{}m{text}\x1b[0m", look.code()) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_file_name_is_one_word_of_the_shell() {
        assert_eq!(shell_word("out/enclave.eif"), "out/enclave.eif");
        assert_eq!(shell_word("my image's.eif"), r"'my image'\''s.eif'");
        assert_eq!(shell_word("$(x)"), "'$(x)'");
    }
}
