//! Layers with layers, entries with entries.

use super::{Aspect, Difference, Sides, Status};
use crate::cause::Cause;
use crate::entry::Kind;
use crate::side::{Facts, Layer, LayerFacts, LayerName, Listed};
use std::collections::{BTreeMap, HashMap};

/// A layer and its counterpart, by their indexes.
pub(super) struct Pair {
    pub(super) left: Option<usize>,
    pub(super) right: Option<usize>,
    /// Whether they are stored as the same bytes.
    pub(super) same_bytes: bool,
}

impl Pair {
    pub(super) const fn needs_listing(&self) -> bool {
        self.left.is_some() && self.right.is_some() && !self.same_bytes
    }
}

/// Which layer is compared with which: those of one name; where a side has a single one, like a folder, with
/// the application; else by number.
pub(super) fn layers(left: &[LayerFacts], right: &[LayerFacts]) -> Vec<Pair> {
    let position = |layers: &[LayerFacts], name| layers.iter().position(|layer| layer.name == name);
    let application = |layers: &[LayerFacts]| {
        position(layers, LayerName::Application).or_else(|| layers.len().checked_sub(1))
    };
    let by_name = left.iter().any(|layer| position(right, layer.name).is_some());
    let partner = |index: usize| -> Option<usize> {
        if by_name {
            position(right, left[index].name)
        } else if left.len() == 1 {
            application(right)
        } else if right.len() == 1 {
            (application(left) == Some(index)).then_some(0)
        } else {
            (index < right.len()).then_some(index)
        }
    };
    let mut pairs: Vec<Pair> = (0..left.len())
        .map(|index| {
            let partner = partner(index);
            let stored = |layers: &[LayerFacts], index: usize| layers[index].stored;
            let same =
                |partner| stored(left, index).is_some() && stored(left, index) == stored(right, partner);
            Pair { left: Some(index), right: partner, same_bytes: partner.is_some_and(same) }
        })
        .collect();
    for index in 0..right.len() {
        if !pairs.iter().any(|pair| pair.right == Some(index)) {
            pairs.push(Pair { left: None, right: Some(index), same_bytes: false });
        }
    }
    pairs
}

/// What can be compared between these two sides.
pub(super) struct Looks {
    /// Archives have times and an order of their own; folders have those of whoever unpacked them.
    archives: bool,
    /// A folder that somebody unpacked without privileges is all theirs.
    owners: bool,
    /// Both have entries beside the application's root (`boot.json`).
    beside_root: bool,
}

impl Looks {
    pub(super) fn of(sides: &Sides<'_>) -> Self {
        let entries = |side: usize| sides[side].1.entries().map(|listed| &listed.entry);
        let is_archive = |side: usize| matches!(sides[side].0.facts(), Facts::Eif { .. } | Facts::Ramdisk);
        let owners_count = |side: usize| {
            let mut owners = entries(side).map(|entry| (entry.uid, entry.gid));
            let first = owners.next();
            !matches!(sides[side].0.facts(), Facts::Folder)
                || first.is_none_or(|first| first.0 == 0 || owners.any(|owner| owner != first))
        };
        let beside_root = |side: usize| entries(side).any(|entry| is_beside_root(&entry.path));
        Self {
            archives: is_archive(0) && is_archive(1),
            owners: owners_count(0) && owners_count(1),
            beside_root: beside_root(0) && beside_root(1),
        }
    }
}

/// Two entries of one path, at least one of them there, that differ.
pub(super) struct Paired<'s> {
    /// The layer, as each side calls it.
    pub(super) layers: [LayerName; 2],
    pub(super) left: Option<&'s Listed>,
    pub(super) right: Option<&'s Listed>,
    pub(super) aspects: Vec<Aspect>,
}

/// The entries that differ, by path.
pub(super) fn entries<'s>(left: &'s Layer, right: &'s Layer, looks: &Looks) -> Vec<Paired<'s>> {
    let (left_names, right_names) = (Names::of(left), Names::of(right));
    let mut paths: BTreeMap<&[u8], (Option<&Listed>, Option<&Listed>)> = BTreeMap::new();
    // Of several entries with one path the kernel keeps the last.
    for listed in left.listed() {
        paths.entry(&listed.entry.path).or_default().0 = Some(listed);
    }
    for listed in right.listed() {
        paths.entry(&listed.entry.path).or_default().1 = Some(listed);
    }
    let layers = [left.name, right.name];
    let differing = paths.into_iter().filter_map(|(path, (left, right))| {
        let aspects = match (left, right) {
            (Some(left), Some(right)) => {
                let mut aspects = aspects(left, right, looks);
                if left_names.first(left) != right_names.first(right) {
                    aspects.push(Aspect::Links);
                }
                if aspects.is_empty() {
                    return None;
                }
                aspects
            }
            // Only some kinds of sides say anything about their root, or have anything beside it.
            _ if path == b"/" || (!looks.beside_root && is_beside_root(path)) => return None,
            _ => Vec::new(),
        };
        Some(Paired { layers, left, right, aspects })
    });
    differing.collect()
}

/// Whether a path is a plain name without a slash. Odd ones (`etc//passwd`, `x/`, `..`) have no slash in front either,
/// and Linux unpacks them.
fn is_beside_root(path: &[u8]) -> bool {
    !path.contains(&b'/') && !matches!(path, b"" | b"." | b"..")
}

/// In which respects two entries differ, but for their links.
fn aspects(left: &Listed, right: &Listed, looks: &Looks) -> Vec<Aspect> {
    let (l, r) = (&left.entry, &right.entry);
    let mut aspects = Vec::new();
    match (&l.kind, &r.kind) {
        (Kind::File { .. }, Kind::File { .. }) => {
            let digest = |listed: &Listed| listed.content.map(|content| content.sha256);
            if digest(left) != digest(right) {
                aspects.push(Aspect::Content);
            }
        }
        (Kind::Symlink(left), Kind::Symlink(right)) => {
            if left != right {
                aspects.push(Aspect::Target);
            }
        }
        (Kind::CharDevice { .. }, Kind::CharDevice { .. })
        | (Kind::BlockDevice { .. }, Kind::BlockDevice { .. }) => {
            if l.kind != r.kind {
                aspects.push(Aspect::Device);
            }
        }
        (left, right) if left == right => {}
        _ => aspects.push(Aspect::Kind),
    }
    // A link's bits mean nothing.
    if l.mode != r.mode && !matches!((&l.kind, &r.kind), (Kind::Symlink(_), Kind::Symlink(_))) {
        aspects.push(Aspect::Mode);
    }
    if looks.owners && (l.uid, l.gid) != (r.uid, r.gid) {
        aspects.push(Aspect::Owner);
    }
    if looks.archives && l.mtime != r.mtime {
        aspects.push(Aspect::Mtime);
    }
    aspects
}

/// Which names lead to one file.
struct Names<'s>(HashMap<u64, (&'s [u8], usize)>);

impl<'s> Names<'s> {
    fn of(layer: &'s Layer) -> Self {
        let mut groups: HashMap<u64, (&[u8], usize)> = HashMap::new();
        for listed in layer.listed() {
            if let Kind::File { group: Some(group), .. } = listed.entry.kind {
                let (first, names) = groups.entry(group).or_insert((&listed.entry.path, 0));
                *first = (*first).min(&listed.entry.path);
                *names += 1;
            }
        }
        Self(groups)
    }

    /// The first of the names that lead to the same file; `None` where there is no other.
    fn first(&self, listed: &Listed) -> Option<&'s [u8]> {
        let Kind::File { group: Some(group), .. } = listed.entry.kind else { return None };
        self.0.get(&group).filter(|(_, names)| *names > 1).map(|(first, _)| *first)
    }
}

/// Where each path stands; of several entries with one path the last.
fn positions(layer: &Layer) -> HashMap<&[u8], usize> {
    layer.listed().iter().enumerate().map(|(at, listed)| (&*listed.entry.path, at)).collect()
}

/// Whether what both have comes in another order.
pub(super) fn order(left: &Layer, right: &Layer, looks: &Looks) -> Option<Difference> {
    if !looks.archives {
        return None;
    }
    let (in_left, in_right) = (positions(left), positions(right));
    let mut both: Vec<(usize, usize)> =
        in_left.iter().filter_map(|(path, at)| Some((*at, *in_right.get(path)?))).collect();
    both.sort_unstable();
    let (before, after) = both.iter().zip(both.iter().skip(1)).find(|(before, after)| before.1 > after.1)?;
    let path = |at: usize| super::shown(&left.listed()[at].entry.path);
    let evidence = format!(
        "`{}` stands before `{}` on the left and behind it on the right",
        path(before.0),
        path(after.0)
    );
    Some(Difference {
        layer: left.name.to_string(),
        path: String::new(),
        status: Status::Changed,
        left: None,
        right: None,
        aspects: vec![Aspect::Order],
        content: None,
        not_looked_into: None,
        attributions: vec![Cause::FileOrder.shown_by(evidence)],
        unexplained: false,
    })
}
