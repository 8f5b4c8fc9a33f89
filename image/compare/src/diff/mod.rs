//! Two sides, entry by entry: what was added, removed or changed, and why.

mod answer;
mod attributes;
mod config;
mod container;
mod packages;
mod pair;
mod sections;
mod spool;
#[cfg(test)]
mod tests;
mod written;

pub use answer::{
    Aspect, Comparison, Difference, EntryFacts, LayerComparison, LayerOutcome, PackageDifference,
    RegisterDifference, Status,
};
pub use written::WrittenBy;

use crate::cause::{Attribution, Cause};
use crate::content;
use crate::side::{LayerName, Listed, Listing, Side, SideError};
use caution_appspec::printable;
use caution_rootfs::Limits;
use pair::{Pair, Paired};
use spool::Spool;
use std::path::Path;

/// How much content is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffLimits {
    /// Longest file, in bytes: 32 MiB.
    pub file_bytes: u64,
    /// All files of one side together, in bytes: 1 GiB.
    pub total_bytes: u64,
    /// Files: 5,000.
    pub files: usize,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { file_bytes: 32 << 20, total_bytes: 1 << 30, files: 5000 }
    }
}

/// Compares two sides; contents that differ are kept in nameless files in `scratch`.
///
/// # Errors
/// A [`SideError`] when a side cannot be read, or holds more than its limits allow.
pub fn compare(
    left: &Side,
    right: &Side,
    limits: &DiffLimits,
    scratch: &Path,
) -> Result<Comparison, SideError> {
    let pairs = pair::layers(left.layers(), right.layers());
    let wanted = |pick: fn(&Pair) -> Option<usize>| {
        let wanted: Vec<usize> = pairs.iter().filter(|pair| pair.needs_listing()).filter_map(pick).collect();
        move |layer: usize| wanted.contains(&layer)
    };
    let (lefts, rights) = (wanted(|pair| pair.left), wanted(|pair| pair.right));
    let (left_listing, right_listing) = both(|| left.list_only(lefts), || right.list_only(rights))?;
    let sides = [(left, &left_listing), (right, &right_listing)];
    let looked_at = pair::Looks::of(&sides);

    let mut found = Found::default();
    for pair in &pairs {
        found.layer(pair, &sides, &looked_at);
    }
    let spools = found.fetch(&sides, limits, scratch)?;
    let packages = packages::Packages::find(&sides, &found.paired, &spools);
    let mut differences = sections::differences(left, right);
    differences.extend(container::difference(left, right));
    for paired in &found.paired {
        differences.push(explain(paired, &sides, &spools, &packages));
    }
    differences.extend(found.orders);
    differences.sort_by(|a, b| telling(a).cmp(&telling(b)));
    Ok(Comparison {
        registers: sections::registers(left.facts(), right.facts()),
        layers: found.layers,
        packages: packages.differences(),
        differences,
    })
}

/// Opens both at once: to open an enclave image is to read and measure all of it. As [`Side::open`], with what the
/// build of an enclave image left beside it.
pub fn open_both([left, right]: [&Path; 2], limits: &Limits, scratch: &Path) -> Result<[Side; 2], SideError> {
    let open = |path| Side::open(path, limits, scratch).map(Side::with_record);
    both(|| open(left), || open(right)).map(|(left, right)| [left, right])
}

/// Runs both at once.
fn both<T: Send>(
    left: impl FnOnce() -> Result<T, SideError> + Send,
    right: impl FnOnce() -> Result<T, SideError> + Send,
) -> Result<(T, T), SideError> {
    std::thread::scope(|scope| {
        let left = scope.spawn(left);
        let right = right();
        // A panic over there is one here.
        let left = left.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((left?, right?))
    })
}

/// A side and what it holds.
type Sides<'s> = [(&'s Side, &'s Listing); 2];

/// What pairing gave, before anything was looked into.
#[derive(Default)]
struct Found<'s> {
    layers: Vec<LayerComparison>,
    paired: Vec<Paired<'s>>,
    orders: Vec<Difference>,
}

impl<'s> Found<'s> {
    fn layer(&mut self, pair: &Pair, sides: &Sides<'s>, looks: &pair::Looks) {
        let layer =
            |side: usize, index: Option<usize>| index.and_then(|index| sides[side].1.layers.get(index));
        let (left, right) = (layer(0, pair.left), layer(1, pair.right));
        let outcome = match (left, right) {
            (Some(_), Some(_)) if pair.same_bytes => LayerOutcome::SameBytes,
            (Some(left), Some(right)) => {
                let before = self.paired.len() + self.orders.len();
                self.paired.extend(pair::entries(left, right, looks));
                self.orders.extend(pair::order(left, right, looks));
                let same = before == self.paired.len() + self.orders.len();
                if same { LayerOutcome::SameEntries } else { LayerOutcome::Differ }
            }
            _ => LayerOutcome::NotCompared,
        };
        let problem = |layer: Option<&crate::side::Layer>| Some(layer?.problem.as_ref()?.to_string());
        self.layers.push(LayerComparison {
            left: left.map(|layer| layer.name.to_string()),
            right: right.map(|layer| layer.name.to_string()),
            outcome,
            problems: [problem(left), problem(right)].into_iter().flatten().collect(),
        });
    }

    /// The contents that explaining needs: of both sides of a change, of the lists of packages.
    fn fetch(
        &self,
        sides: &Sides<'_>,
        limits: &DiffLimits,
        scratch: &Path,
    ) -> Result<(Spool, Spool), SideError> {
        let mut changed: Vec<(u64, [crate::side::Place; 2])> = self
            .paired
            .iter()
            .filter(|paired| paired.aspects.contains(&Aspect::Content))
            .filter_map(|paired| {
                let (left, right) = (paired.left?.content?, paired.right?.content?);
                Some((left.size.max(right.size), [left.place, right.place]))
            })
            .filter(|(size, _)| *size <= limits.file_bytes)
            .collect();
        // Many small ones before few large ones.
        changed.sort_unstable();
        let mut left_bytes = limits.total_bytes;
        let affordable = changed.into_iter().take(limits.files).take_while(|(size, _)| {
            let fits = left_bytes.checked_sub(*size);
            left_bytes = fits.unwrap_or(0);
            fits.is_some()
        });
        let mut places: [Vec<crate::side::Place>; 2] =
            packages::lists(sides, &self.paired, limits.file_bytes);
        for (_, [left, right]) in affordable {
            places[0].push(left);
            places[1].push(right);
        }
        both(|| Spool::fill(sides[0].0, &places[0], scratch), || Spool::fill(sides[1].0, &places[1], scratch))
    }
}

/// All that is known of a pair that differs.
fn explain(
    paired: &Paired<'_>,
    sides: &Sides<'_>,
    spools: &(Spool, Spool),
    packages: &packages::Packages,
) -> Difference {
    let Paired { layers, left, right, aspects } = paired;
    let path = left.or(*right).map_or(&[][..], |listed| &listed.entry.path);
    let mut attributions: Vec<Attribution> = Vec::new();
    let mut unexplained = false;
    let (mut content, mut not_looked_into) = (None, None);
    if aspects.contains(&Aspect::Content) {
        let read = |spool: &Spool, listed: Option<&Listed>| spool.read(listed?.content?.place);
        if let (Some(left), Some(right)) = (read(&spools.0, *left), read(&spools.1, *right)) {
            let mut explanation = if path == caution_abi::boot_plan::PATH.as_bytes() {
                config::compare(&left, &right)
            } else {
                content::compare(path, &left, &right)
            };
            unexplained |= !explanation.complete;
            attributions.append(&mut explanation.attributions);
            content = Some(explanation);
        } else {
            unexplained = true;
            not_looked_into = Some("more content than is looked into");
        }
    }
    attributions.extend(attributes::attributions(*left, *right, aspects));
    unexplained |= attributes::are_unexplained(*left, *right, aspects);
    let package = packages.that_changed(path);
    if let Some(attribution) = package {
        // The content says the same in other words.
        attributions.retain(|known| known.cause != attribution.cause);
        attributions.insert(0, attribution);
        unexplained = false;
    }
    if layers[0] == LayerName::EnclaveOs {
        attributions.insert(0, Cause::EnclaveOs.shown_by("a file of EnclaveOS itself"));
        unexplained = false;
    }
    // It counts the names beside it.
    unexplained &= path != caution_abi::seal::PATH.as_bytes();
    let status = match (left, right) {
        (Some(_), Some(_)) => Status::Changed,
        (None, _) => Status::Added,
        (_, None) => Status::Removed,
    };
    let facts = |side: usize, listed: Option<&Listed>| {
        listed.map(|listed| EntryFacts::of(listed, WrittenBy::of(sides[side].0, layers[side], path)))
    };
    Difference {
        layer: layers[0].to_string(),
        path: shown(path),
        status,
        left: facts(0, *left),
        right: facts(1, *right),
        aspects: aspects.clone(),
        content,
        not_looked_into,
        attributions,
        unexplained,
    }
}

/// The order in which differences tell most: what names its cause, what differs inside, the rest; then by path.
fn telling(difference: &Difference) -> (u8, bool, &str) {
    let follows = FOLLOWING.iter().any(|path| difference.path == *path);
    let of_package =
        difference.attributions.first().is_some_and(|first| first.cause == Cause::PackageVersion);
    let has = |aspect| difference.aspects.contains(&aspect);
    let rank = match difference {
        _ if follows => 8,
        Difference { path, .. } if path == caution_abi::boot_plan::PATH => 0,
        _ if of_package => 6,
        Difference { content: Some(_), attributions, .. } if !attributions.is_empty() => 1,
        _ if has(Aspect::Content) || has(Aspect::Kind) => 2,
        Difference { status: Status::Changed, aspects, .. } if *aspects == [Aspect::Mtime] => 7,
        Difference { status: Status::Changed, .. } => 3,
        _ => 4,
    };
    (rank, difference.attributions.is_empty(), &difference.path)
}

/// What is computed from the rest, which tells more.
const FOLLOWING: [&str; 5] = [
    caution_abi::seal::PATH,
    sections::METADATA,
    "/etc/ld.so.cache",
    "/var/lib/dpkg/status",
    "/lib/apk/db/installed",
];

/// A path with what is not printable escaped: as much as a terminal, a page and JSON can take.
fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}
