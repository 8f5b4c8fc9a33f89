//! What is wrong with a file, and where.

use crate::{AppSpec, Config, ConfigFile, MAX_PROBLEMS};
use std::fmt;

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// A whole sentence with the value that is wrong.
    pub message: String,
    /// What to do about it; a question (`did you mean …?`) where that is a guess.
    pub fix: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ", self.line, self.column)?;
        self.write_text(f, 2)
    }
}

impl Problem {
    /// Message and fix; a fix that is no question stands on its own line after `indent` spaces.
    fn write_text(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.fix {
            None => Ok(()),
            Some(question) if question.ends_with('?') => write!(f, "  {question}"),
            Some(fix) => write!(f, "\n{:indent$}fix: {fix}", ""),
        }
    }
}

/// Every problem of a file, by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// Which file.
    pub file: ConfigFile,
    /// At least one, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.file_name();
        let count = self.problems.len();
        writeln!(f, "{file} has {count} problem{}.\n", if count == 1 { "" } else { "s" })?;
        let places: Vec<String> =
            self.problems.iter().map(|p| format!("{file}:{}:{}", p.line, p.column)).collect();
        let width = places.iter().map(String::len).max().unwrap_or(0);
        for (place, problem) in places.iter().zip(&self.problems) {
            write!(f, "  {place:width$} ")?;
            problem.write_text(f, width + 3)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Why a value cannot be: a predicate without its subject (`has no dot`) and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) predicate: String,
    pub(crate) fix: Option<String>,
}

impl Fault {
    pub(crate) fn new(predicate: impl Into<String>) -> Self {
        Self { predicate: predicate.into(), fix: None }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// The outcome of checking one value.
pub(crate) type Checked<T> = Result<T, Fault>;

/// Collects the problems of one text. Places are byte offsets into it.
pub(crate) struct Report<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
    not_supported_yet: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self { text, line_starts, problems: Vec::new(), not_supported_yet: Vec::new() }
    }

    pub(crate) const fn text(&self) -> &'t str {
        self.text
    }

    /// Whether no further problem will be listed, so that looking for one is idle work.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    pub(crate) fn problem(&mut self, at: usize, message: String, fix: Option<String>) {
        if !self.is_full() {
            let problem = self.place(at, message, fix);
            push_bounded(&mut self.problems, problem);
        }
    }

    /// A problem whose sentence is `subject predicate.`
    pub(crate) fn fault(&mut self, at: usize, subject: &str, fault: Fault) {
        self.problem(at, format!("{subject} {}.", fault.predicate), fault.fix);
    }

    /// The value, or its fault reported.
    pub(crate) fn check<T>(&mut self, at: usize, subject: &str, checked: Checked<T>) -> Option<T> {
        checked.map_err(|fault| self.fault(at, subject, fault)).ok()
    }

    /// Something well-formed that this version does not act on.
    pub(crate) fn not_yet(&mut self, at: usize, what: &str, fix: &str) {
        let message = format!("{what} is understood but not supported yet.");
        let problem = self.place(at, message, Some(fix.to_owned()));
        push_bounded(&mut self.not_supported_yet, problem);
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    pub(crate) fn finish(mut self, file: ConfigFile, spec: AppSpec) -> Result<Config, ConfigErrors> {
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.not_supported_yet.sort_by_key(|p| (p.line, p.column));
        if self.problems.is_empty() {
            Ok(Config { spec, not_supported_yet: self.not_supported_yet })
        } else {
            Err(ConfigErrors { file, problems: self.problems })
        }
    }

    fn place(&self, at: usize, message: String, fix: Option<String>) -> Problem {
        let at = self.text.floor_char_boundary(at);
        let line = self.line_of(at);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Problem { line: bounded(line), column: bounded(column), message, fix }
    }
}

/// Past the limit the last place says so instead.
fn push_bounded(problems: &mut Vec<Problem>, mut problem: Problem) {
    if problems.len() < MAX_PROBLEMS {
        if problems.len() + 1 == MAX_PROBLEMS {
            "There are more problems than are listed here.".clone_into(&mut problem.message);
            problem.fix = None;
        }
        problems.push(problem);
    }
}

/// A text from a file as messages show it.
pub(crate) fn shown(text: &str) -> String {
    excerpt(text, 80)
}

/// [`printable`] of at most `longest` characters; `…` stands for the rest.
pub fn excerpt(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => printable(text),
        Some((end, _)) => printable(&text[..end]) + "…",
    }
}

/// A text from elsewhere as it may be printed: what a terminal would obey or hide is escaped.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder or hide their neighbours, or are there unseen: zero width, bidirectional controls, line
/// separators, byte-order mark, soft hyphens, annotations, tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
