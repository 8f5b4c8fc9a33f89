//! Which package a file belongs to, where the sides have it in different versions.

use super::{PackageDifference, Paired, Sides, Spool};
use crate::cause::{Attribution, Cause};
use crate::content;
use crate::side::{Listed, Place};
use caution_appspec::excerpt;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where each manager keeps its list of what is installed.
const DPKG: &[u8] = b"/var/lib/dpkg/status";
const APK: [&[u8]; 2] = [b"/lib/apk/db/installed", b"/usr/lib/apk/db/installed"];
/// Where dpkg says which files a package brought: `NAME.list`, `NAME:ARCHITECTURE.list`.
const DPKG_INFO: &[u8] = b"/var/lib/dpkg/info/";
/// What names the operating system.
const RELEASES: [&[u8]; 4] =
    [b"/etc/os-release", b"/usr/lib/os-release", b"/etc/debian_version", b"/etc/alpine-release"];

/// Packages in different versions, and what belongs to them.
#[derive(Default)]
pub(super) struct Packages {
    differences: Vec<PackageDifference>,
    /// Path → index of its package.
    of_path: HashMap<Vec<u8>, usize>,
    /// The release of the operating system on both sides, where it is not the same.
    release: Option<String>,
}

/// Who keeps the list that is at `path`.
fn manager(path: &[u8]) -> Option<&'static str> {
    if path == DPKG || path.starts_with(b"/var/lib/dpkg/status.d/") {
        Some("dpkg")
    } else if APK.contains(&path) {
        Some("apk")
    } else if path.ends_with(b".dist-info/METADATA") || path.ends_with(b".egg-info/PKG-INFO") {
        Some("pip")
    } else if path.ends_with(b"/package.json") && contains(path, b"/node_modules/") {
        Some("npm")
    } else {
        None
    }
}

fn contains(path: &[u8], part: &[u8]) -> bool {
    path.windows(part.len()).any(|window| window == part)
}

/// The lists that differ, and what tells which files belong to whom: places in both sides.
pub(super) fn lists(sides: &Sides<'_>, paired: &[Paired<'_>], most_bytes: u64) -> [Vec<Place>; 2] {
    let place = |listed: Option<&Listed>| {
        listed?.content.filter(|content| content.size <= most_bytes).map(|content| content.place)
    };
    let is_wanted = |path: &[u8]| {
        manager(path).is_some() || path.ends_with(b".dist-info/RECORD") || RELEASES.contains(&path)
    };
    let mut places = [Vec::new(), Vec::new()];
    for Paired { left, right, .. } in paired.iter().filter(|paired| is_wanted(path(paired))) {
        places[0].extend(place(*left));
        places[1].extend(place(*right));
    }
    if paired.iter().any(|paired| manager(path(paired)) == Some("dpkg")) {
        for (side, places) in sides.iter().zip(&mut places) {
            let lists = side.1.entries().filter(|listed| {
                listed.entry.path.starts_with(DPKG_INFO) && listed.entry.path.ends_with(b".list")
            });
            places.extend(lists.filter_map(|listed| place(Some(listed))));
        }
    }
    places
}

fn path<'s>(paired: &Paired<'s>) -> &'s [u8] {
    paired.left.or(paired.right).map_or(&[], |listed| &listed.entry.path)
}

/// A list of what is installed, on both sides; one is absent where only the other has the file.
struct List<'s> {
    path: &'s [u8],
    bytes: [Option<Vec<u8>>; 2],
}

impl Packages {
    /// Reads the lists that [`lists`] asked for.
    pub(super) fn find(sides: &Sides<'_>, paired: &[Paired<'_>], spools: &(Spool, Spool)) -> Self {
        let read = |spool: &Spool, listed: Option<&Listed>| spool.read(listed?.content?.place);
        let list = |paired: &Paired<'_>| [read(&spools.0, paired.left), read(&spools.1, paired.right)];
        let mut versions: BTreeMap<(&'static str, String), [Option<String>; 2]> = BTreeMap::new();
        let mut found = Self::default();
        let mut databases = Vec::new();
        for paired in paired {
            let path = path(paired);
            if let Some(manager) = manager(path) {
                let bytes = list(paired);
                for (side, bytes) in bytes.iter().enumerate() {
                    for (name, version) in content::packages(path, bytes.as_deref().unwrap_or_default()) {
                        versions.entry((manager, name)).or_default()[side].get_or_insert(version);
                    }
                }
                databases.push((manager, List { path, bytes }));
            } else if RELEASES.contains(&path)
                && let [Some(left), Some(right)] = list(paired)
                && let (Some(left), Some(right)) = (release(path, &left), release(path, &right))
                && left != right
            {
                found.release.get_or_insert(format!("{left} → {right}"));
            }
        }
        let mut indexes = HashMap::new();
        for ((manager, name), [left, right]) in versions {
            if left != right {
                indexes.insert((manager, name.clone()), found.differences.len());
                let shown = |text: String| excerpt(&text, MOST_NAME_CHARS);
                let (name, left, right) = (shown(name), left.map(shown), right.map(shown));
                found.differences.push(PackageDifference { manager, name, left, right });
            }
        }
        if !indexes.is_empty() {
            let differing: HashSet<&[u8]> = paired.iter().map(path).collect();
            let mut members = Members { indexes: &indexes, differing, of_path: &mut found.of_path };
            members.of_dpkg(sides, spools);
            for (manager, list) in &databases {
                members.of_list(manager, list);
            }
            members.of_records(paired, &list);
        }
        found
    }

    pub(super) fn differences(&self) -> Vec<PackageDifference> {
        self.differences.clone()
    }

    /// Why this file differs, where it belongs to a package that does.
    pub(super) fn that_changed(&self, path: &[u8]) -> Option<Attribution> {
        if let Some(release) = self.release.as_ref().filter(|_| RELEASES.contains(&path)) {
            return Some(Cause::BaseImage.shown_by(release.clone()));
        }
        if let Some(package) = self.of_path.get(path).and_then(|index| self.differences.get(*index)) {
            let version =
                |version: &Option<String>| version.clone().unwrap_or_else(|| "not installed".into());
            let PackageDifference { manager, name, left, right } = package;
            let evidence = format!("part of {name} {} → {} ({manager})", version(left), version(right));
            return Some(Cause::PackageVersion.shown_by(evidence));
        }
        let manager = manager(path)?;
        let changed: Vec<&str> = self
            .differences
            .iter()
            .filter(|difference| difference.manager == manager)
            .map(|difference| difference.name.as_str())
            .collect();
        let (first, more) = (changed.first()?, changed.len() - 1);
        let evidence = match more {
            0 => format!("the list of what is installed; {first} has another version"),
            more => format!("the list of what is installed; {first} and {more} more have other versions"),
        };
        Some(Cause::PackageVersion.shown_by(evidence))
    }
}

/// Finds what belongs to packages that differ, among the paths that differ.
struct Members<'f> {
    indexes: &'f HashMap<(&'static str, String), usize>,
    differing: HashSet<&'f [u8]>,
    of_path: &'f mut HashMap<Vec<u8>, usize>,
}

impl Members<'_> {
    fn index(&self, manager: &'static str, name: &str) -> Option<usize> {
        self.indexes.get(&(manager, name.to_owned())).copied()
    }

    fn add(&mut self, path: &[u8], index: usize) {
        if self.differing.contains(path) {
            self.of_path.entry(path.to_vec()).or_insert(index);
        }
    }

    /// `/var/lib/dpkg/info/NAME.list` has a path a line, and lies beside the package's other notes.
    fn of_dpkg(&mut self, sides: &Sides<'_>, spools: &(Spool, Spool)) {
        for (side, spool) in sides.iter().zip([&spools.0, &spools.1]) {
            for listed in side.1.entries() {
                let Some(file) = listed.entry.path.strip_prefix(DPKG_INFO) else { continue };
                let file = String::from_utf8_lossy(file);
                // Names can hold dots (`python3.11`): only what stands behind the last is no part of one.
                let Some((stem, _)) = file.rsplit_once('.') else { continue };
                let name = stem.split(':').next().unwrap_or(stem);
                let Some(index) = self.index("dpkg", name) else { continue };
                self.add(&listed.entry.path, index);
                if !file.ends_with(".list") {
                    continue;
                }
                let Some(bytes) = listed.content.and_then(|content| spool.read(content.place)) else {
                    continue;
                };
                for path in bytes.split(|byte| *byte == b'\n').filter(|path| path.starts_with(b"/")) {
                    self.add(path, index);
                    // Where /lib is a link to /usr/lib, lists still say /lib.
                    self.add(&[b"/usr", path].concat(), index);
                }
            }
        }
    }

    fn of_list(&mut self, manager: &'static str, list: &List<'_>) {
        for bytes in list.bytes.iter().flatten() {
            match manager {
                "apk" => self.of_apk(bytes),
                "npm" => {
                    // A package is the folder of its package.json, but for packages inside it.
                    let Some(folder) = list.path.strip_suffix(b"package.json") else { continue };
                    let Some((name, _)) = content::packages(list.path, bytes).into_iter().next() else {
                        continue;
                    };
                    let Some(index) = self.index("npm", &name) else { continue };
                    let inside: Vec<Vec<u8>> = self
                        .differing
                        .iter()
                        .filter(|path| {
                            path.strip_prefix(folder).is_some_and(|rest| !contains(rest, b"node_modules/"))
                        })
                        .map(|path| path.to_vec())
                        .collect();
                    for path in &inside {
                        self.add(path, index);
                    }
                }
                _ => {}
            }
        }
    }

    /// apk's list: `P:` names a package, `F:` a folder, `R:` a file in it.
    fn of_apk(&mut self, bytes: &[u8]) {
        let (mut index, mut folder) = (None, Vec::new());
        for line in bytes.split(|byte| *byte == b'\n') {
            match line.split_at_checked(2) {
                Some((b"P:", name)) => index = self.index("apk", &String::from_utf8_lossy(name)),
                Some((b"F:", name)) => folder = [b"/", name].concat(),
                Some((b"R:", name)) => {
                    if let Some(index) = index {
                        self.add(&[&folder[..], b"/", name].concat(), index);
                    }
                }
                _ => {}
            }
        }
    }

    /// `NAME-VERSION.dist-info/RECORD`: a path and two more fields a line, relative to the folder beside.
    fn of_records(&mut self, paired: &[Paired<'_>], list: &dyn Fn(&Paired<'_>) -> [Option<Vec<u8>>; 2]) {
        for paired in paired {
            let record = path(paired);
            let Some(info) = record.strip_suffix(b"/RECORD").filter(|info| info.ends_with(b".dist-info"))
            else {
                continue;
            };
            let at = info.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            let (site, name) = info.split_at(at);
            let name = String::from_utf8_lossy(name);
            let name = name.split('-').next().unwrap_or_default().to_lowercase().replace('_', "-");
            let known = self.indexes.iter().find(|((manager, known), _)| {
                *manager == "pip" && known.to_lowercase().replace(['_', '.'], "-") == name
            });
            let Some(index) = known.map(|(_, index)| *index) else { continue };
            for bytes in list(paired).iter().flatten() {
                for line in bytes.split(|byte| *byte == b'\n') {
                    let file = line.split(|byte| *byte == b',').next().unwrap_or_default();
                    self.add(&[site, file].concat(), index);
                }
            }
        }
    }
}

/// What names the release in one of [`RELEASES`].
fn release(path: &[u8], bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = if path.ends_with(b"os-release") {
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
        format!("{} {}", name.trim_matches('"'), version.unwrap_or_default().trim_matches('"'))
    } else {
        text.lines().next()?.to_owned()
    };
    Some(excerpt(line.trim(), MOST_NAME_CHARS))
}

/// The longest name or version that is told: they are texts of the image.
const MOST_NAME_CHARS: usize = 200;
