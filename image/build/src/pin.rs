//! `Containerfile.eif`: the Containerfile with its base images pinned, and the EnclaveOS release.

use crate::containerfile::{Containerfile, ImageUse};
use crate::git::{CommitId, GitError, Repository};
use caution_appspec::excerpt;
use caution_measure::{Pcr, Sha256Digest};

/// The file's name in the repository's root and in `eif-stage/`.
pub(crate) const FILE_NAME: &str = "Containerfile.eif";

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
    /// The file cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl PinError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Git(error) => error.fix(),
            _ => Some(
                "git rm Containerfile.eif, then `caution apps build` and commit the new one it writes".into(),
            ),
        }
    }
}

/// The EnclaveOS release that the commit's `Containerfile.eif` names; `None` when it has no such file.
pub(crate) fn enclaveos_pin(repo: &Repository, commit: &CommitId) -> Result<Option<Pin>, PinError> {
    let Some(bytes) = repo.read_file(commit, FILE_NAME, crate::containerfile::MAX_BYTES)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
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
    pin.map(Some).ok_or_else(|| PinError::Absent { commit: commit.clone() })
}

/// The text of `Containerfile.eif`. `digests` belong to the images of `parsed`, in order.
pub(crate) fn pinned(
    text: &str,
    parsed: &Containerfile,
    digests: &[Option<Sha256Digest>],
    name: &str,
    pin: &Pin,
) -> String {
    let (directives, body) = text.split_at(parsed.after_directives);
    let mut out = directives.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&header(name, pin));
    let mut at = 0;
    for (image, digest) in parsed.images.iter().zip(digests) {
        if let Some(replacement) = replacement(image, *digest) {
            let span = image.span.start - directives.len()..image.span.end - directives.len();
            out.push_str(&body[at..span.start]);
            out.push_str(&replacement);
            at = span.end;
        }
    }
    out.push_str(&body[at..]);
    out
}

/// `name@sha256:…` for an image that is not pinned yet and whose digest is known.
pub(crate) fn replacement(image: &ImageUse, digest: Option<Sha256Digest>) -> Option<String> {
    match (image.digest(), image.repository(), digest) {
        (None, Some(repository), Some(digest)) => Some(format!("{repository}@sha256:{digest}")),
        _ => None,
    }
}

fn header(name: &str, pin: &Pin) -> String {
    format!(
        "\
# Written by `caution apps build`: {name} of the same commit, with every base image replaced by the
# digest it resolved to. Commit this file to keep the digests under version control.
#
# What it does in this version of caution: where it is committed, building and verifying stop unless
# the EnclaveOS release in use is the one named here. The application itself is still built from
# {name}; an engine that builds this file gives the application's container image, not the EIF.
#
{PIN_PREFIX}{} pcr1 {}

",
        pin.id, pin.pcr1
    )
}

/// How the line that pins EnclaveOS begins.
const PIN_PREFIX: &str = "# caution-enclaveos: ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerfile::parse;
    use crate::testing::Scratch;

    fn pin() -> Pin {
        Pin { id: Sha256Digest::new([3; 32]), pcr1: Pcr::new([7; 48]) }
    }

    fn committed(text: &str) -> Result<Option<Pin>, PinError> {
        let scratch = Scratch::new();
        scratch.write(FILE_NAME, text);
        scratch.commit();
        let repository = Repository::discover(scratch.path())?;
        enclaveos_pin(&repository, &repository.head()?)
    }

    #[test]
    fn every_resolved_base_image_is_pinned_and_the_rest_stays() {
        let text = "# syntax=x\nARG B=debian:12\nFROM ${B} AS build\nFROM rust@sha256:00\nCOPY --from=busybox:1 /a /a\n\
                    FROM ${NO}\n# end";
        let digest = Sha256Digest::new([0xab; 32]);
        let digests = [Some(digest), Some(digest), None, Some(digest)];
        let out = pinned(text, &parse(text), &digests, "Containerfile", &pin());
        let hex = "ab".repeat(32);
        assert!(out.starts_with("# syntax=x\n# Written by"), "{out}");
        assert!(
            out.ends_with(&format!(
                "\n\nARG B=debian:12\nFROM debian@sha256:{hex} AS build\nFROM rust@sha256:00\n\
                 COPY --from=busybox:1 /a /a\nFROM ${{NO}}\n# end"
            )),
            "{out}"
        );
        assert_eq!(committed(&out).expect("reads back"), Some(pin()));
    }

    #[test]
    fn commits_without_the_file_pin_nothing() {
        let scratch = Scratch::new();
        scratch.write("a", "x");
        scratch.commit();
        let repository = Repository::discover(scratch.path()).expect("is a repository");
        let head = repository.head().expect("has a head");
        assert_eq!(enclaveos_pin(&repository, &head).expect("reads"), None);
    }

    #[test]
    fn a_pin_that_cannot_be_read_is_an_error_and_not_an_absent_pin() {
        assert!(matches!(committed("FROM scratch\n"), Err(PinError::Absent { .. })));
        let (id, pcr) = ("0".repeat(64), "0".repeat(96));
        for bad in ["", "x pcr1 00", &id, &format!("{id} pcr2 {pcr}"), &format!("{id} pcr1 {pcr}0")] {
            let result = committed(&format!("\n{PIN_PREFIX}{bad}\n"));
            assert!(matches!(result, Err(PinError::Malformed { line: 2, .. })), "{bad}: {result:?}");
        }
        let line = format!("{PIN_PREFIX}{id} pcr1 {pcr}\n");
        assert!(matches!(committed(&line.repeat(2)), Err(PinError::Twice { line: 2 })));
    }
}
