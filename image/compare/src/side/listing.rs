//! What a side holds, without the content itself.

use super::{Side, SideError};
use crate::entry::{Entry, Kind};
use crate::ramdisk::Budget;
use caution_measure::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// Everything a side holds.
#[derive(Debug)]
pub struct Listing {
    /// The layers, lowest first, as [`Side::layers`] has them.
    pub layers: Vec<Layer>,
}

/// One layer, listed.
#[derive(Debug)]
pub struct Layer {
    /// What it is called.
    pub name: LayerName,
    /// Its entries in the order they are stored, folders sorted; `None` where nobody wanted them.
    pub entries: Option<Vec<Listed>>,
    /// Why there may be more: a ramdisk that cannot be read to its end. Linux boots with what it unpacked until then.
    pub problem: Option<SideError>,
}

/// What a layer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerName {
    /// Ramdisk 0 of an image that Caution made.
    EnclaveOs,
    /// Ramdisk 1 of an image that Caution made.
    Application,
    /// A ramdisk of any other image, counted from 0, or by itself.
    Ramdisk(usize),
    /// A folder.
    Folder,
    /// A container image.
    Image,
}

impl LayerName {
    /// The folder it is extracted to beside others, and how users name it.
    pub fn folder_name(self) -> String {
        match self {
            Self::EnclaveOs => "enclaveos".into(),
            Self::Application => "app".into(),
            Self::Ramdisk(number) => format!("ramdisk{number}"),
            Self::Folder => "folder".into(),
            Self::Image => "image".into(),
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnclaveOs => f.write_str("EnclaveOS"),
            Self::Application => f.write_str("application"),
            Self::Ramdisk(number) => write!(f, "ramdisk {number}"),
            Self::Folder => f.write_str("folder"),
            Self::Image => f.write_str("image"),
        }
    }
}

/// An entry, and the content of the file it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry. Its path is as users see it: `/bin/sh`, whether it is stored as `rootfs/bin/sh` in a ramdisk with an
    /// application, as `./bin/sh`, or in a folder. What stands beside an application's root has no slash in front:
    /// `boot.json`. Paths that lead nowhere sensible (`a/../b`) are as they are stored.
    pub entry: Entry,
    /// Of regular files: the same for all names of one file.
    pub content: Option<Content>,
}

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256Digest,
    /// Where it is stored.
    pub place: Place,
}

/// An entry of a listing, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index of the layer.
    pub layer: usize,
    /// Index among its entries.
    pub entry: usize,
}

impl Listing {
    /// The entries of all layers that were wanted.
    pub fn entries(&self) -> impl Iterator<Item = &Listed> {
        self.layers.iter().flat_map(Layer::listed)
    }
}

impl Layer {
    /// The entries; none where nobody wanted them.
    pub fn listed(&self) -> &[Listed] {
        self.entries.as_deref().unwrap_or_default()
    }
}

impl Side {
    /// Lists everything in one pass.
    ///
    /// # Errors
    /// A [`SideError`] when something cannot be read or is more than the limits allow. A ramdisk that is broken is
    /// none: its layer has a `problem`.
    pub fn list(&self) -> Result<Listing, SideError> {
        self.list_only(|_| true)
    }

    /// Lists the layers that are wanted, by their index.
    pub fn list_only(&self, wanted: impl Fn(usize) -> bool) -> Result<Listing, SideError> {
        let mut budget = Budget::new(&self.limits);
        let mut layers = Vec::new();
        for (index, facts) in self.layers.iter().enumerate() {
            let mut layer = Layer { name: facts.name, entries: None, problem: None };
            if wanted(index) {
                let mut entries = Vec::new();
                match self.list_layer(index, budget, &mut entries) {
                    Ok(left) => budget = left,
                    Err(error) if error.ramdisk().is_some_and(|why| !why.is_limit()) => {
                        layer.problem = Some(error);
                    }
                    Err(error) => return Err(error),
                }
                share_content(&mut entries);
                rename(facts.name, &mut entries);
                layer.entries = Some(entries);
            }
            layers.push(layer);
        }
        Ok(Listing { layers })
    }

    fn list_layer(
        &self,
        layer: usize,
        budget: Budget,
        entries: &mut Vec<Listed>,
    ) -> Result<Budget, SideError> {
        let mut buffer = vec![0; BUFFER];
        self.visit_within(layer, budget, |entry, content| {
            let content = match &entry.kind {
                Kind::File { .. } => {
                    let place = Place { layer, entry: entries.len() };
                    let read = digest(content, &mut buffer);
                    let (size, sha256) =
                        read.map_err(|source| SideError::Content { path: entry.path.clone(), source })?;
                    Some(Content { size, sha256, place })
                }
                _ => None,
            };
            entries.push(Listed { entry, content });
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Shows the content of files in the order it is stored, and reads no further than the last of them.
    ///
    /// `places` are those of [`Content::place`].
    pub fn contents<E: From<SideError>>(
        &self,
        places: &[Place],
        mut each: impl FnMut(Place, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut wanted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for place in places {
            wanted.entry(place.layer).or_default().insert(place.entry);
        }
        for (layer, mut wanted) in wanted {
            let mut entry = 0;
            self.visit(layer, |_, content| {
                if wanted.remove(&entry) {
                    each(Place { layer, entry }, content)?;
                }
                entry += 1;
                Ok::<_, E>(if wanted.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if !wanted.is_empty() {
                return Err(SideError::Changed { path: self.path.clone() }.into());
            }
        }
        Ok(())
    }
}

fn digest(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<(u64, Sha256Digest)> {
    let (mut size, mut sha256) = (0, Sha256::new());
    loop {
        match content.read(buffer) {
            Ok(0) => return Ok((size, Sha256Digest::new(sha256.finalize().into()))),
            Ok(n) => {
                sha256.update(&buffer[..n]);
                size += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives all names of a file the content that stands with one of them: the last that has any, as the kernel would
/// write it.
fn share_content(entries: &mut [Listed]) {
    let mut shared: HashMap<u64, Content> = HashMap::new();
    for listed in entries.iter() {
        if let (Kind::File { group: Some(group), .. }, Some(content)) = (&listed.entry.kind, listed.content)
            && (content.size > 0 || !shared.contains_key(group))
        {
            shared.insert(*group, content);
        }
    }
    for listed in entries {
        if let Kind::File { group: Some(group), .. } = &listed.entry.kind {
            listed.content = shared.get(group).copied();
        }
    }
}

/// Turns paths as they are stored into paths as users see them.
fn rename(layer: LayerName, entries: &mut [Listed]) {
    let has_root = layer != LayerName::Image && holds_an_application(entries);
    for Listed { entry, .. } in entries {
        let Some(path) = relative(&entry.path) else { continue };
        entry.path = match below_root(path) {
            Some([]) if has_root => b"/".to_vec(),
            Some(below) if has_root => below.to_vec(),
            None if has_root && !path.is_empty() => path.to_vec(),
            _ => [b"/", path].concat(),
        };
    }
}

/// Whether there is an application's root, and nothing beside it but files.
fn holds_an_application(entries: &[Listed]) -> bool {
    let mut has_root = false;
    let alone = entries.iter().all(|Listed { entry, .. }| match relative(&entry.path) {
        None => false,
        Some(b"") => true,
        Some(path) => match below_root(path) {
            Some(below) => {
                has_root |= below.is_empty() && entry.kind == Kind::Directory;
                true
            }
            None => matches!(entry.kind, Kind::File { .. }) && !path.contains(&b'/'),
        },
    });
    alone && has_root
}

/// The rest of a path below an application's root.
fn below_root(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(APPLICATION_ROOT).filter(|rest| matches!(rest, [] | [b'/', ..]))
}

/// A path relative to the archive's root, which is empty; `None` where a component is odd.
fn relative(path: &[u8]) -> Option<&[u8]> {
    let path = path.strip_prefix(b".").filter(|rest| matches!(rest, [] | [b'/', ..])).unwrap_or(path);
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let is_odd = |part: &[u8]| matches!(part, b"" | b"." | b"..");
    (path.is_empty() || !path.split(|byte| *byte == b'/').any(is_odd)).then_some(path)
}

/// Where the root of an application lies in its ramdisk.
const APPLICATION_ROOT: &[u8] = b"rootfs";
const BUFFER: usize = 128 * 1024;
