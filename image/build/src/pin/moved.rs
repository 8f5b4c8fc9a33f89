//! What differs between the committed `Containerfile.eif` and a new one.

use super::{Committed, Pin};
use crate::containerfile::{Containerfile, parse};
use std::collections::BTreeMap;

/// What a new `Containerfile.eif` pins, and what the committed one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Every base image, sorted by name.
    pub images: Vec<Move>,
    /// The release that the committed file names, where there is one that can be read.
    pub release_before: Option<Pin>,
    /// The release of the new file.
    pub release: Pin,
    /// Whether the new file differs from the committed one at all, be it in comments.
    pub file_changed: bool,
}

/// A base image before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The name without tag and digest.
    pub image: String,
    /// What the committed file pins; `None` when it does not name the image.
    pub before: Option<String>,
    /// What the new file pins; `None` when it does not name the image any more.
    pub after: Option<String>,
}

impl Moved {
    /// Compares a new file with the committed one.
    pub(crate) fn between(before: Option<&Committed>, text: &str, release: Pin) -> Self {
        // One name may stand with several digests: they are compared in file order.
        let mut names = BTreeMap::<String, (Vec<String>, Vec<String>)>::new();
        for (name, digest) in before.map(|committed| images(&parse(&committed.text))).unwrap_or_default() {
            push_new(&mut names.entry(name).or_default().0, digest);
        }
        for (name, digest) in images(&parse(text)) {
            push_new(&mut names.entry(name).or_default().1, digest);
        }
        let mut moves = Vec::new();
        for (image, (before, after)) in names {
            for at in 0..before.len().max(after.len()) {
                let (before, after) = (before.get(at).cloned(), after.get(at).cloned());
                moves.push(Move { image: image.clone(), before, after });
            }
        }
        Self {
            images: moves,
            release_before: before.map(|committed| committed.release),
            release,
            file_changed: before.is_none_or(|committed| !committed.is(text)),
        }
    }
}

/// Name and digest of each pinned image, in file order.
fn images(parsed: &Containerfile) -> Vec<(String, String)> {
    let pinned = parsed.images.iter();
    pinned.filter_map(|image| Some((image.repository()?.to_owned(), image.digest()?.to_owned()))).collect()
}

fn push_new(digests: &mut Vec<String>, digest: String) {
    if !digests.contains(&digest) {
        digests.push(digest);
    }
}
