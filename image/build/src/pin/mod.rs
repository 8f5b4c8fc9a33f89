//! `Containerfile.eif`: the Containerfile with its base images pinned, and the EnclaveOS release.

mod moved;
#[cfg(test)]
mod tests;
mod text;

use crate::containerfile::{Containerfile, DigestFault, ImageUse, MAX_BYTES, parse};
use crate::git::{CommitId, GitError, Repository};
use caution_appspec::excerpt;
use caution_assemble::Arguments;
use caution_enclaveos::ASSEMBLER_IMAGE;
use caution_measure::{Pcr, Sha256Digest};
pub use moved::{Move, Moved};
use text::first_difference;
pub(crate) use text::{Source, replacement, without_build};

/// The file's name in the repository's root and in `eif-stage/`.
pub const FILE_NAME: &str = "Containerfile.eif";

/// The EnclaveOS release a commit asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The release's identity.
    pub id: Sha256Digest,
    /// Its measurement.
    pub pcr1: Pcr,
}

/// Why a committed `Containerfile.eif` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// It has no line that names a release.
    #[error(
        "`Containerfile.eif` in commit {commit} has no line `{PIN_PREFIX}<64 hex digits> pcr1 <96 hex digits>`."
    )]
    Absent {
        /// The commit.
        commit: CommitId,
    },
    /// Its line is not of the form.
    #[error("Containerfile.eif:{line}: `{found}` is not `{PIN_PREFIX}<64 hex digits> pcr1 <96 hex digits>`.")]
    Malformed {
        /// One-based line.
        line: usize,
        /// The line's beginning.
        found: String,
    },
    /// It has two such lines.
    #[error("Containerfile.eif:{line}: the EnclaveOS release is pinned a second time.")]
    Twice {
        /// One-based line of the second one.
        line: usize,
    },
    /// It is not text.
    #[error("`Containerfile.eif` in commit {commit} is not UTF-8 text.")]
    NotText {
        /// The commit.
        commit: CommitId,
    },
    /// A base image's digest is not one.
    #[error("Containerfile.eif:{line}: the digest of `{image}` {fault}; a SHA-256 digest has 64 hex digits.")]
    Digest {
        /// One-based line.
        line: usize,
        /// The image as written.
        image: String,
        /// What is wrong with it.
        fault: DigestFault,
    },
    /// It was not made from the Containerfile beside it.
    #[error(
        "Containerfile.eif:{line}: `{found}` does not follow from {name} of the same commit, which gives `{expected}`."
    )]
    Stale {
        /// One-based line.
        line: usize,
        /// The line.
        found: String,
        /// The Containerfile it should follow from.
        name: String,
        /// What that gives.
        expected: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl PinError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Git(error) => error.fix(),
            _ => Some("caution apps pin, then commit the Containerfile.eif it writes".into()),
        }
    }
}

/// A `Containerfile.eif` as a commit has it.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The EnclaveOS release it names.
    pub(crate) release: Pin,
    /// The assembler image it names.
    pub(crate) assembler: Option<Sha256Digest>,
    text: String,
    /// Where the assembler's part begins in the text.
    assembly_at: usize,
    /// What stands before.
    parsed: Containerfile,
}

impl Committed {
    /// The commit's file; `None` when it has none.
    pub(crate) fn read(repo: &Repository, commit: &CommitId) -> Result<Option<Self>, PinError> {
        let Some(bytes) = repo.read_file(commit, FILE_NAME, 2 * MAX_BYTES)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| PinError::NotText { commit: commit.clone() })?;
        let release = release(&text)?.ok_or_else(|| PinError::Absent { commit: commit.clone() })?;
        Self::parse(text, release).map(Some)
    }

    fn parse(text: String, release: Pin) -> Result<Self, PinError> {
        let whole = parse(&text);
        for image in &whole.images {
            if let Some(fault) = image.digest_fault() {
                let shown = excerpt(&image.written, 200);
                return Err(PinError::Digest { line: image.line, image: shown, fault });
            }
        }
        // Without a digest it is a stage like any other, and so one that no Containerfile gives.
        let assembler = whole.images.iter().find_map(|image| {
            let digest = image.digest().filter(|_| image.repository() == Some(ASSEMBLER_IMAGE))?;
            Some((image, digest.strip_prefix("sha256:")?.parse().ok()?))
        });
        let start = |image: &ImageUse| text[..image.span.start].rfind('\n').map_or(0, |at| at + 1);
        let assembly_at = assembler.map_or(text.len(), |(image, _)| start(image));
        let parsed = parse(&text[..assembly_at]);
        Ok(Self { release, assembler: assembler.map(|(_, digest)| digest), text, assembly_at, parsed })
    }

    /// The digests it gives to the images of a Containerfile, in order.
    ///
    /// # Errors
    /// [`PinError::Stale`] when it is not that Containerfile with digests put in. Comments and empty lines
    /// play no part, but for parser directives and what may be in a heredoc.
    pub(crate) fn digests(
        &self,
        name: &str,
        text: &str,
        parsed: &Containerfile,
    ) -> Result<Vec<Option<Sha256Digest>>, PinError> {
        let (found, expected) = (directives(&self.parsed), directives(parsed));
        if found != expected {
            return Err(PinError::Stale { line: 1, found, name: name.to_owned(), expected });
        }
        let mut pinned = self.parsed.images.iter();
        let digests: Vec<_> = parsed
            .images
            .iter()
            .map(|image| {
                let pinned = pinned.next().filter(|pinned| pinned.repository() == image.repository())?;
                pinned.digest()?.strip_prefix("sha256:")?.parse().ok().filter(|_| image.digest().is_none())
            })
            .collect();
        let source = Source { name, text, parsed, digests: &digests };
        same(&self.text[..self.assembly_at], 1, &source.stages(), name)?;
        Ok(digests)
    }

    /// Refuses a file that builds something, where nothing is built: nobody would have looked at it.
    pub(crate) fn check_builds_nothing(&self, image: &str) -> Result<(), PinError> {
        same(&self.text, 1, "", image)
    }

    /// Whether its last part makes the enclave image that the commit gives; without arguments none does.
    ///
    /// # Errors
    /// [`PinError::Stale`] when it has another boot plan.
    pub(crate) fn check_assembly(
        &self,
        source: Source<'_>,
        arguments: Option<&Arguments>,
    ) -> Result<(), PinError> {
        let Some(assembler) = &self.assembler else { return Ok(()) };
        let first = 1 + self.text[..self.assembly_at].lines().count();
        let expected = arguments.map(|told| source.assembly(assembler, told)).unwrap_or_default();
        same(&self.text[self.assembly_at..], first, &expected, "the configuration and container image")
    }

    /// Whether it says exactly this.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// The EnclaveOS release that the commit's `Containerfile.eif` names; `None` when it has no such file.
pub(crate) fn enclaveos_pin(repo: &Repository, commit: &CommitId) -> Result<Option<Pin>, PinError> {
    Ok(Committed::read(repo, commit)?.map(|committed| committed.release))
}

/// The directives that decide how the rest is read: comments to everyone but a parser.
fn directives(parsed: &Containerfile) -> String {
    let escape = format!("# escape={}", parsed.escape);
    match &parsed.frontend {
        Some(frontend) => format!("{escape} # syntax={}", excerpt(&frontend.written, 200)),
        None => escape,
    }
}

fn same(found: &str, first: usize, expected: &str, name: &str) -> Result<(), PinError> {
    match first_difference(found, first, expected) {
        None => Ok(()),
        Some((line, found, expected)) => {
            Err(PinError::Stale { line, found, name: name.to_owned(), expected })
        }
    }
}

fn release(text: &str) -> Result<Option<Pin>, PinError> {
    let mut pin = None;
    for (line, found) in (1..).zip(text.lines()) {
        let Some(rest) = found.strip_prefix(PIN_PREFIX) else { continue };
        let parsed = match rest.split(' ').collect::<Vec<_>>()[..] {
            [id, "pcr1", pcr1] => match (id.parse(), pcr1.parse()) {
                (Ok(id), Ok(pcr1)) => Some(Pin { id, pcr1 }),
                _ => None,
            },
            _ => None,
        };
        let parsed = parsed.ok_or_else(|| PinError::Malformed { line, found: excerpt(found, 80) })?;
        if pin.replace(parsed).is_some() {
            return Err(PinError::Twice { line });
        }
    }
    Ok(pin)
}

/// How the line that pins EnclaveOS begins.
const PIN_PREFIX: &str = "# caution-enclaveos: ";
