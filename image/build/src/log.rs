//! `build.log`: everything the engine printed.

use std::fs::File;
use std::io::{BufWriter, Write as _};

/// A log with a limit. What cannot be written is left out: a log must not stop a build.
pub(crate) struct Log {
    file: BufWriter<File>,
    left: usize,
}

impl Log {
    pub(crate) fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), left: MAX_BYTES }
    }

    pub(crate) fn line(&mut self, line: &str) {
        if self.left == 0 {
            return;
        }
        let line = if line.len() < self.left { line } else { "… (the log ends here: 64 MiB)" };
        self.left = self.left.saturating_sub(line.len() + 1);
        if self.left < 64 {
            self.left = 0;
        }
        let _ = writeln!(self.file, "{line}").and_then(|()| self.file.flush());
    }
}

const MAX_BYTES: usize = 64 << 20;
