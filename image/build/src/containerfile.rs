//! Just enough of the Containerfile language to name and pin the images a build starts from.
//!
//! Source: the Dockerfile reference. Anything not understood here is left to the engine.

mod lines;
mod steps;
mod variables;

use lines::{Instruction, Lines, heredocs};
use std::collections::BTreeMap;
use std::ops::Range;
pub(crate) use steps::{Stage, Step};
use variables::{substitute, unquoted};

/// The longest Containerfile anyone reads, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// What a build looks for, in this order, where the configuration names no file.
pub const CONTAINERFILE_NAMES: [&str; 2] = ["Containerfile", "Dockerfile"];

/// The names under which a build looks for its Containerfile: the configured one, else the usual ones.
pub fn containerfile_names(configured: Option<&str>) -> Vec<&str> {
    configured.map_or_else(|| CONTAINERFILE_NAMES.to_vec(), |name| vec![name])
}

/// What a Containerfile says about images.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Containerfile {
    /// Number of `FROM` instructions.
    pub(crate) stages: usize,
    /// Images from outside, in file order.
    pub(crate) images: Vec<ImageUse>,
    /// Line of the first heredoc.
    pub(crate) heredoc: Option<usize>,
    /// `RUN` instructions, in file order.
    pub(crate) runs: Vec<Run>,
    /// The words of `ADD` instructions, flags included, with their lines.
    pub(crate) adds: Vec<(usize, Vec<String>)>,
    /// The other parser that a `# syntax=` directive names, which BuildKit fetches.
    pub(crate) frontend: Option<ImageUse>,
    /// Where comments may first be put: parser directives stand before everything else.
    pub(crate) after_directives: usize,
    /// What continues a line: a backslash, unless a directive says otherwise.
    pub(crate) escape: char,
    /// The last `FROM`, which begins the stage that becomes the image.
    pub(crate) last_stage: LastStage,
    /// Where each stage begins.
    pub(crate) begins: Vec<Stage>,
    /// What can leave a layer, in file order: `RUN`, `COPY`, `ADD` and `WORKDIR`.
    pub(crate) steps: Vec<Step>,
}

/// The stage that becomes the image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LastStage {
    /// Its name, as written.
    pub(crate) name: Option<String>,
    /// Where the words of its `FROM` end in the text.
    pub(crate) end: usize,
}

/// A `RUN` instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// One-based line.
    pub(crate) line: usize,
    /// The value of `--network=`, and the flag's bytes in the text.
    pub(crate) network: Option<(String, Range<usize>)>,
    /// Index of the stage it belongs to.
    pub(crate) stage: usize,
    /// What the shell runs: each line with its number, without flags, heredocs included.
    pub(crate) script: Vec<(usize, String)>,
}

impl Run {
    /// Whether the step asks for no network.
    pub(crate) fn is_offline(&self) -> bool {
        self.network.as_ref().is_some_and(|(mode, _)| mode == "none")
    }
}

/// A place that names an image from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUse {
    /// One-based line.
    pub(crate) line: usize,
    /// The bytes of the name in the text.
    pub(crate) span: Range<usize>,
    /// The name with global ARG defaults put in; `None` when a variable has no default here.
    pub(crate) reference: Option<String>,
    /// The name as written.
    pub(crate) written: String,
}

impl ImageUse {
    /// What stands after `@`, if anything does.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.reference.as_deref()?.split_once('@').map(|(_, digest)| digest)
    }

    /// What keeps the digest from being one; engines fail in words that do not name it.
    pub(crate) fn digest_fault(&self) -> Option<DigestFault> {
        let Some(digits) = self.digest()?.strip_prefix("sha256:") else {
            return Some(DigestFault::Algorithm);
        };
        let wrong = |c: &char| !matches!(c, '0'..='9' | 'a'..='f');
        match (digits.chars().count(), digits.chars().find(wrong)) {
            (64, None) => None,
            (64, Some(wrong)) => Some(DigestFault::Character(wrong)),
            (found, _) => Some(DigestFault::Length(found)),
        }
    }

    /// The name without tag and digest.
    pub(crate) fn repository(&self) -> Option<&str> {
        let name = self.reference.as_deref()?.split('@').next()?;
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        Some(name[slash..].find(':').map_or(name, |at| &name[..slash + at]))
    }
}

/// Why the digest of a base image is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestFault {
    /// It is too short or too long.
    #[error("has {0} characters after `sha256:`")]
    Length(usize),
    /// A character is no lower-case hex digit.
    #[error("holds `{}`", .0.escape_default())]
    Character(char),
    /// It is of another kind.
    #[error("does not begin with `sha256:`")]
    Algorithm,
}

/// Reads a Containerfile. Never fails: judging the language is the engine's job.
pub(crate) fn parse(text: &str) -> Containerfile {
    let mut reader = Reader { found: Containerfile::default(), names: Vec::new(), args: BTreeMap::new() };
    let Directives { escape, frontend, end } = directives(text);
    reader.found.after_directives = end;
    reader.found.frontend = frontend;
    reader.found.escape = escape;
    let mut lines = Lines::new(text, escape);
    while let Some(instruction) = lines.instruction() {
        reader.instruction(&instruction);
        for end in heredocs(&instruction) {
            reader.found.heredoc.get_or_insert(instruction.line);
            let body = lines.heredoc(&end);
            if let Some(run) = reader.found.runs.last_mut().filter(|_| instruction.is("RUN")) {
                run.script.extend(body);
            }
        }
    }
    reader.found
}

/// Parser directives, which stand at the very top.
struct Directives {
    escape: char,
    frontend: Option<ImageUse>,
    /// Where they end.
    end: usize,
}

fn directives(text: &str) -> Directives {
    let mut found = Directives { escape: '\\', frontend: None, end: 0 };
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        // BuildKit looks past a first line for the kernel, and past keys it does not know.
        let is_shebang = found.end == 0 && line.starts_with("#!");
        match line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) {
            _ if is_shebang => {}
            Some((key, value)) if is_key(key.trim()) => match key.trim().to_ascii_lowercase().as_str() {
                "escape" => found.escape = value.trim().chars().next().unwrap_or(found.escape),
                "syntax" => found.frontend = Some(frontend(number, text, value)),
                _ => {}
            },
            _ => break,
        }
        found.end += line.len();
    }
    found
}

/// The image that a directive on this line names; `value` is a part of the text.
fn frontend(line: usize, text: &str, value: &str) -> ImageUse {
    // Only the first word is its name, the others are arguments of it (`GetSyntax` of BuildKit).
    let name = value.split_ascii_whitespace().next().unwrap_or_default();
    let start = name.as_ptr() as usize - text.as_ptr() as usize;
    let written = name.to_owned();
    ImageUse { line, span: start..start + name.len(), reference: Some(written.clone()), written }
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

struct Reader {
    found: Containerfile,
    /// Names of the stages so far, lower case.
    names: Vec<String>,
    /// Global ARGs that have a value.
    args: BTreeMap<String, String>,
}

impl Reader {
    fn instruction(&mut self, instruction: &Instruction<'_>) {
        self.found.steps.extend(Step::of(instruction, self.found.stages));
        if instruction.is("ARG") && self.found.stages == 0 {
            for (word, ..) in &instruction.words[1..] {
                if let Some((name, value)) = word.split_once('=')
                    && let Some(value) = substitute(unquoted(value), &self.args)
                {
                    self.args.insert(name.to_owned(), value);
                }
            }
        } else if instruction.is("FROM") {
            self.from(instruction);
        } else if instruction.is("COPY") || instruction.is("ADD") {
            self.copy(instruction);
        } else if instruction.is("RUN") {
            let network = instruction.flags().find_map(|&(word, at, _)| {
                let mode = word.strip_prefix("--network=")?;
                Some((mode.to_owned(), at..at + word.len()))
            });
            let (stage, script) = (self.found.stages.saturating_sub(1), instruction.script());
            self.found.runs.push(Run { line: instruction.line, network, stage, script });
            self.mounts(instruction);
        }
    }

    fn from(&mut self, instruction: &Instruction<'_>) {
        let mut words = instruction.words[1..].iter().filter(|(word, ..)| !word.starts_with("--"));
        if let Some(&(word, at, line)) = words.next() {
            self.image(word, at, line);
        }
        let begins = Stage {
            line: instruction.line,
            written: instruction.text(),
            below: self.stage_below(instruction),
        };
        self.found.begins.push(begins);
        let name = match words.next() {
            Some((word, ..)) if word.eq_ignore_ascii_case("AS") => words.next().map(|(word, ..)| *word),
            _ => None,
        };
        self.names.push(name.map(str::to_lowercase).unwrap_or_default());
        let end = instruction.words.last().map_or(0, |(word, at, _)| at + word.len());
        self.found.last_stage = LastStage { name: name.map(str::to_owned), end };
        self.found.stages += 1;
    }

    /// The earlier stage that one begins with.
    fn stage_below(&self, from: &Instruction<'_>) -> Option<usize> {
        let (word, ..) = from.words[1..].iter().find(|(word, ..)| !word.starts_with("--"))?;
        let name = substitute(unquoted(word), &self.args)?.to_lowercase();
        self.names.iter().rposition(|known| *known == name)
    }

    fn copy(&mut self, instruction: &Instruction<'_>) {
        if instruction.is("ADD") {
            let words = instruction.words[1..].iter().map(|(word, ..)| (*word).to_owned()).collect();
            self.found.adds.push((instruction.line, words));
        }
        for &(word, at, line) in instruction.flags() {
            if let Some(name) = word.strip_prefix("--from=") {
                self.image_or_stage(name, at + "--from=".len(), line);
            }
        }
    }

    /// `RUN --mount=type=bind,from=NAME,…`.
    fn mounts(&mut self, instruction: &Instruction<'_>) {
        for &(word, at, line) in instruction.flags() {
            let Some(options) = word.strip_prefix("--mount=") else { continue };
            for option in options.split(',') {
                if let Some(name) = option.strip_prefix("from=") {
                    // Options are slices of the word, so their distance from its start is their place.
                    let inside = name.as_ptr() as usize - word.as_ptr() as usize;
                    self.image_or_stage(name, at + inside, line);
                }
            }
        }
    }

    /// Where a stage may be named by its number too.
    fn image_or_stage(&mut self, name: &str, at: usize, line: usize) {
        if !name.parse::<usize>().is_ok_and(|number| number < self.found.stages) {
            self.image(name, at, line);
        }
    }

    fn image(&mut self, written: &str, at: usize, line: usize) {
        let inner = unquoted(written);
        let reference = substitute(inner, &self.args);
        let stage = |name: &str| self.names.contains(&name.to_lowercase());
        if reference.as_deref().is_some_and(|name| name == "scratch" || stage(name)) {
            return;
        }
        let span = at..at + written.len();
        self.found.images.push(ImageUse { line, span, reference, written: written.to_owned() });
    }
}

#[cfg(test)]
mod tests;
