//! The text of `Containerfile.eif`, and how two such texts are compared.

use super::{PIN_PREFIX, Pin};
use crate::containerfile::{Containerfile, ImageUse};
use caution_appspec::excerpt;
use caution_measure::Sha256Digest;

/// The text of `Containerfile.eif`. `digests` belong to the images of `parsed`, in order.
pub(crate) fn pinned(
    text: &str,
    parsed: &Containerfile,
    digests: &[Option<Sha256Digest>],
    name: &str,
    pin: &Pin,
) -> String {
    // No image is named in the directives, so they stay as long as they are.
    let body = with_digests(text, parsed, digests);
    let (directives, body) = body.split_at(parsed.after_directives);
    let mut out = directives.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&header(name, pin));
    out.push_str(body);
    out
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

/// The Containerfile with digests put in; every line keeps its number.
pub(crate) fn with_digests(text: &str, parsed: &Containerfile, digests: &[Option<Sha256Digest>]) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (image, digest) in parsed.images.iter().zip(digests) {
        if let Some(replacement) = replacement(image, *digest) {
            out.push_str(&text[at..image.span.start]);
            out.push_str(&replacement);
            at = image.span.end;
        }
    }
    out.push_str(&text[at..]);
    out
}

/// `name@sha256:…` for an image that is not pinned yet and whose digest is known.
pub(crate) fn replacement(image: &ImageUse, digest: Option<Sha256Digest>) -> Option<String> {
    match (image.digest(), image.repository(), digest) {
        (None, Some(repository), Some(digest)) => Some(format!("{repository}@sha256:{digest}")),
        _ => None,
    }
}

/// The first line of `found` that is not the one of `expected` at the same place: its number, itself and
/// the other. Comments, empty lines and white space at the end of lines play no part.
pub(super) fn first_difference(found: &str, expected: &str) -> Option<(usize, String, String)> {
    let (mut found_lines, mut expected_lines) = (significant(found), significant(expected));
    let shown = |line: Option<&str>| line.map_or("the end of the file".to_owned(), |line| excerpt(line, 200));
    loop {
        let (found_line, expected_line) = (found_lines.next(), expected_lines.next());
        let expected_line = expected_line.map(|(_, line)| line);
        match found_line {
            None if expected_line.is_none() => return None,
            Some((_, line)) if Some(line) == expected_line => {}
            _ => {
                let at = found_line.map_or(found.lines().count(), |(number, _)| number);
                return Some((at, shown(found_line.map(|(_, line)| line)), shown(expected_line)));
            }
        }
    }
}

fn significant(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim_end));
    lines.filter(|(_, line)| !line.is_empty() && !line.trim_start().starts_with('#'))
}

fn header(name: &str, pin: &Pin) -> String {
    format!(
        "\
# Written by `caution apps build` and `caution apps pin`: {name} of the same commit, with every base
# image replaced by the digest it resolved to. `caution apps pin` renews it.
#
# Where it is committed, building and verifying use exactly these base images and the EnclaveOS
# release that is named here, and stop where {name} no longer gives this file. An engine that
# builds this file gives the application's container image, not the enclave image.
#
{PIN_PREFIX}{} pcr1 {}

",
        pin.id, pin.pcr1
    )
}
