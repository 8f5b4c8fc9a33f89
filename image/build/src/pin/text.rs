//! The text of `Containerfile.eif`, and how two such texts are compared.

use super::{PIN_PREFIX, Pin};
use crate::containerfile::{Containerfile, ImageUse};
use caution_appspec::excerpt;
use caution_assemble::Arguments;
use caution_enclaveos::ASSEMBLER_IMAGE;
use caution_measure::Sha256Digest;

/// What `Containerfile.eif` is made from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The Containerfile's name.
    pub(crate) name: &'a str,
    /// Its text.
    pub(crate) text: &'a str,
    /// What was read out of it.
    pub(crate) parsed: &'a Containerfile,
    /// The digests of its images, in order.
    pub(crate) digests: &'a [Option<Sha256Digest>],
}

/// The text of `Containerfile.eif` where nothing is built: the release alone.
pub(crate) fn without_build(image: &str, pin: &Pin) -> String {
    format!(
        "\
# Written by `caution apps build` from {image}: there is no Containerfile,
# and so no base image to pin. Commit this file to keep the EnclaveOS release under version control:
# building and verifying then stop unless the release in use is the one named here.
#
{PIN_PREFIX}{} pcr1 {}
",
        pin.id, pin.pcr1
    )
}

impl Source<'_> {
    /// The text of `Containerfile.eif`; without an assembler it gives the application's image alone.
    pub(crate) fn containerfile_eif(
        &self,
        pin: &Pin,
        assembly: Option<(&Sha256Digest, &Arguments)>,
    ) -> String {
        // No image is named in the directives, so they stay as long as they are.
        let stages = self.stages();
        let (directives, body) = stages.split_at(self.parsed.after_directives);
        let mut out = directives.to_owned();
        end_line(&mut out);
        out.push_str(&header(self.name, pin));
        out.push_str(body);
        if let Some((digest, arguments)) = assembly {
            end_line(&mut out);
            out.push_str(&self.assembly(digest, arguments));
        }
        out
    }

    /// The Containerfile with digests put in; every line keeps its number.
    pub(crate) fn with_digests(&self) -> String {
        self.edited(None)
    }

    /// The same, its last stage has a name, and what is put behind it begins an instruction of its own.
    pub(super) fn stages(&self) -> String {
        let last = &self.parsed.last_stage;
        let mut text = self.edited(last.name.is_none().then_some(last.end));
        // Engines accept a last line that says it goes on. Two of the character say that it does not.
        let end = text.trim_end_matches(WHITE_SPACE);
        let kept = end.strip_suffix(self.parsed.escape).filter(|kept| !kept.ends_with(self.parsed.escape));
        if let Some(kept) = kept.map(str::len) {
            text.truncate(kept);
        }
        text
    }

    /// The stages that make the enclave image.
    pub(super) fn assembly(&self, assembler: &Sha256Digest, arguments: &Arguments) -> String {
        let app = self.parsed.last_stage.name.as_deref().unwrap_or(APP_STAGE);
        let run = arguments.to_instruction("/caution-assemble", self.parsed.escape);
        format!(
            "
# From here on: the enclave image, by an engine alone. The image that `caution enclaveos build` made
# packs the last stage above as `caution apps build` does. What a mounted stage does not show, its
# command, environment and user, is in the boot plan below.
FROM {ASSEMBLER_IMAGE}@sha256:{assembler} AS {ASSEMBLER_STAGE}
RUN --mount=type=bind,from={app},source=/,target=/app {run}

FROM scratch
COPY --from={ASSEMBLER_STAGE} /output/ /
"
        )
    }

    fn edited(&self, name_at: Option<usize>) -> String {
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        let mut put = |out: &mut String, range: std::ops::Range<usize>, new: &str| {
            out.push_str(&self.text[at..range.start]);
            out.push_str(new);
            at = range.end;
        };
        let mut name_at = name_at;
        for (image, digest) in self.parsed.images.iter().zip(self.digests) {
            if let Some(end) = name_at.take_if(|end| *end <= image.span.start) {
                put(&mut out, end..end, NAMED);
            }
            if let Some(replacement) = replacement(image, *digest) {
                put(&mut out, image.span.clone(), &replacement);
            }
        }
        if let Some(end) = name_at {
            put(&mut out, end..end, NAMED);
        }
        out.push_str(&self.text[at..]);
        out
    }
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// `name@sha256:…` for an image that is not pinned yet and whose digest is known.
pub(crate) fn replacement(image: &ImageUse, digest: Option<Sha256Digest>) -> Option<String> {
    match (image.digest(), image.repository(), digest) {
        (None, Some(repository), Some(digest)) => Some(format!("{repository}@sha256:{digest}")),
        _ => None,
    }
}

/// The first line of `found`, the first of which has the number `first`, that is not the one of `expected` at
/// the same place: its number, itself and the other. Comments, empty lines and white space at the end of
/// lines play no part before the first `<<`, behind which they may be the text of a heredoc, and at the end.
pub(super) fn first_difference(found: &str, first: usize, expected: &str) -> Option<(usize, String, String)> {
    let (mut found_lines, mut expected_lines) = (significant(found), significant(expected));
    let shown = |line: Option<&str>| line.map_or("the end of the file".to_owned(), |line| excerpt(line, 200));
    loop {
        let expected_line = expected_lines.next().map(|(_, line)| line);
        let found_line = match expected_line {
            Some(_) => found_lines.next(),
            None => found_lines.find(|(_, line)| !is_remark(line)),
        };
        match found_line {
            None if expected_line.is_none() => return None,
            Some((_, line)) if Some(line) == expected_line => {}
            _ => {
                let at = found_line.map_or(found.lines().count(), |(number, _)| number) + first - 1;
                return Some((at, shown(found_line.map(|(_, line)| line)), shown(expected_line)));
            }
        }
    }
}

fn significant(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut exact = false;
    (1..).zip(text.split_terminator('\n')).filter_map(move |(number, line)| {
        if exact {
            return Some((number, line));
        }
        exact = line.contains("<<") && !is_remark(line);
        // What engines take for white space, and no more: another character behind a `\` ends the instruction.
        (!is_remark(line)).then(|| (number, line.trim_end_matches([' ', '\t', '\r'])))
    })
}

fn is_remark(line: &str) -> bool {
    let text = line.trim_matches([' ', '\t', '\r']);
    text.is_empty() || text.starts_with('#')
}

fn header(name: &str, pin: &Pin) -> String {
    format!(
        "\
# Written by `caution apps build` and `caution apps pin`: {name} of the same commit, with every base
# image replaced by the digest it resolved to. `caution apps pin` renews it.
#
# Where it is committed, building and verifying use exactly these base images and the EnclaveOS
# release that is named here, and stop where the commit no longer gives this file. A container engine
# that has the image of the last stages makes the same enclave image from this file alone:
#
#     buildah build -f Containerfile.eif --output out .      (in a fresh clone; podman does as well)
#
{PIN_PREFIX}{} pcr1 {}

",
        pin.id, pin.pcr1
    )
}

/// What ends a line, and what engines skip before it.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
/// The name of a last stage that has none of its own, and how it is put behind its `FROM`.
const APP_STAGE: &str = "caution-app";
const NAMED: &str = " AS caution-app";
const ASSEMBLER_STAGE: &str = "caution-enclaveos";
