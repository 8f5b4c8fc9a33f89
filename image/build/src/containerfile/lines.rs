//! A Containerfile as instructions, which may go on over several lines.

/// One instruction, its words with their place in the text.
pub(super) struct Instruction<'t> {
    pub(super) line: usize,
    pub(super) words: Vec<(&'t str, usize, usize)>,
}

impl<'t> Instruction<'t> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.words.first().is_some_and(|(word, ..)| word.eq_ignore_ascii_case(name))
    }

    /// The words behind the flags, a line each, continued by a backslash.
    pub(super) fn script(&self) -> Vec<(usize, String)> {
        let mut lines: Vec<(usize, String)> = Vec::new();
        for (word, _, line) in &self.words[1 + self.flags().count()..] {
            if let Some((last, text)) = lines.last_mut() {
                text.push(' ');
                if last == line {
                    text.push_str(word);
                    continue;
                }
                text.push('\\');
            }
            lines.push((*line, (*word).to_owned()));
        }
        lines
    }

    /// All of it on one line.
    pub(super) fn text(&self) -> String {
        self.words.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn flags(&self) -> impl Iterator<Item = &(&'t str, usize, usize)> {
        self.words[1..].iter().take_while(|(word, ..)| word.starts_with("--"))
    }
}

pub(super) struct Lines<'t> {
    text: &'t str,
    at: usize,
    number: usize,
    escape: char,
}

impl<'t> Lines<'t> {
    pub(super) const fn new(text: &'t str, escape: char) -> Self {
        Self { text, at: 0, number: 0, escape }
    }

    fn line(&mut self) -> Option<(&'t str, usize)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let start = self.at;
        self.at += length;
        self.number += 1;
        Some((rest[..length].trim_end_matches(['\n', '\r']), start))
    }

    /// The next instruction with its continuation lines; comments between them do not end it.
    pub(super) fn instruction(&mut self) -> Option<Instruction<'t>> {
        let mut found: Option<Instruction<'t>> = None;
        while let Some((line, start)) = self.line() {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let continued = line.trim_end().strip_suffix(self.escape);
            let instruction =
                found.get_or_insert_with(|| Instruction { line: self.number, words: Vec::new() });
            let number = self.number;
            instruction.words.extend(words(continued.unwrap_or(line), start).map(|(w, at)| (w, at, number)));
            if continued.is_none() {
                break;
            }
        }
        found
    }

    /// The lines of a heredoc with their numbers.
    pub(super) fn heredoc(&mut self, end: &Heredoc) -> Vec<(usize, String)> {
        let mut body = Vec::new();
        while let Some((line, _)) = self.line() {
            if (if end.tabs { line.trim_start_matches('\t') } else { line }) == end.word {
                break;
            }
            body.push((self.number, line.to_owned()));
        }
        body
    }
}

fn words(line: &str, start: usize) -> impl Iterator<Item = (&str, usize)> {
    line.split_ascii_whitespace().map(move |word| {
        // Words are slices of the line, so their distance from its start is their place.
        (word, start + (word.as_ptr() as usize - line.as_ptr() as usize))
    })
}

pub(super) struct Heredoc {
    word: String,
    tabs: bool,
}

/// `<<WORD`, `<<-WORD`, `<<"WORD"` in instructions that take them.
pub(super) fn heredocs(instruction: &Instruction<'_>) -> Vec<Heredoc> {
    if !["RUN", "COPY", "ADD"].iter().any(|name| instruction.is(name)) {
        return Vec::new();
    }
    let words = instruction.words.iter().filter_map(|(word, ..)| {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let word = rest.trim_matches(['"', '\'']);
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        plain.then(|| Heredoc { word: word.to_owned(), tabs })
    });
    words.collect()
}
