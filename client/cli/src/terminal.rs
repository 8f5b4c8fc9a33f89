//! How the command talks: results on stdout, progress and advice on stderr, quiet when not watched.

use crate::config::Config;
use crate::error::CliError;
use std::io::{IsTerminal as _, Write as _};
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
    pub(crate) fn new(config: &Config, json: bool, verbose: bool) -> Self {
        let err_tty = std::io::stderr().is_terminal();
        Self {
            json,
            verbose,
            color_out: !config.no_color && std::io::stdout().is_terminal(),
            color_err: !config.no_color && err_tty,
            moving: err_tty && !json,
        }
    }

    /// Text for stdout in this look.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        paint(self.color_out, look, text)
    }

    /// Writes a result to stdout.
    #[expect(clippy::unused_self, reason = "every word of a command goes through its terminal")]
    pub(crate) fn result(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe (`caution … | head`) is the reader's wish, not an error.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Writes a JSON result to stdout.
    pub(crate) fn json_result(self, value: &serde_json::Value) {
        self.result(&format!("{value:#}\n"));
    }

    /// Says that a step began; replaced by [`Terminal::step`] when somebody watches.
    pub(crate) fn begin(self, name: &str) {
        if self.moving {
            eprint!("\r\x1b[K  {name:<11} …");
            let _ = std::io::stderr().flush();
        }
    }

    /// Says that a step is done.
    pub(crate) fn step(self, name: &str, detail: &str, elapsed: Duration) {
        if self.json {
            return;
        }
        if self.moving {
            eprint!("\r\x1b[K");
        }
        let name = format!("{name:<11}");
        eprintln!(
            "  {} {detail:<66} {}",
            paint(self.color_err, Look::Faint, &name),
            paint(self.color_err, Look::Faint, &format!("{:>6.1} s", elapsed.as_secs_f64()))
        );
    }

    /// A line of detail from a tool; shown with `--verbose` only.
    pub(crate) fn detail(self, line: &str) {
        if self.verbose && !self.json {
            if self.moving {
                eprint!("\r\x1b[K");
            }
            eprintln!("    {}", paint(self.color_err, Look::Faint, line));
        }
    }

    /// A sentence about what happens; not shown with `--json`.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            if self.moving {
                eprint!("\r\x1b[K");
            }
            eprintln!("{text}");
        }
    }

    /// Advice.
    pub(crate) fn warning(self, text: &str, fix: Option<&str>) {
        if self.moving {
            eprint!("\r\x1b[K");
        }
        eprintln!("{}: {text}", paint(self.color_err, Look::Caution, "warning"));
        if let Some(fix) = fix {
            eprintln!("  fix: {fix}");
        }
    }

    /// The failure that ends the command.
    pub(crate) fn error(self, error: &CliError) {
        if self.moving {
            eprint!("\r\x1b[K");
        }
        if self.json {
            self.json_result(&error.to_json());
        } else {
            eprint!("{}", error.to_text(&paint(self.color_err, Look::Bad, "error")));
        }
    }
}

fn paint(color: bool, look: Look, text: &str) -> String {
    if color { format!("\x1b[{}m{text}\x1b[0m", look.code()) } else { text.to_owned() }
}

/// Bytes in the unit a person reads: `6.4 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let size = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", size / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", size / 1_048_576.0),
        _ => format!("{:.1} GiB", size / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::human_size;

    #[test]
    fn sizes_read_naturally() {
        assert_eq!(human_size(1023), "1023 B");
        assert_eq!(human_size(1536), "1.5 KiB");
        assert_eq!(human_size(6_710_886), "6.4 MiB");
        assert_eq!(human_size(3 << 30), "3.0 GiB");
    }
}
