//! Ramdisks as folders: everything that a user may make, and a list of what could not be made as it is stored.

mod attributes;
mod below;
mod error;
mod record;
#[cfg(test)]
mod tests;

use crate::entry::{Entry, Kind};
use crate::side::{Facts, LayerName, Side, SideError};
use below::{Below, Made};
pub use error::ExtractError;
use record::Record;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// What was extracted.
#[derive(Debug)]
pub struct Extracted {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// The file that lists what is not as it is stored: `<folder>.meta.json`.
    pub meta: PathBuf,
    /// The layers.
    pub layers: Vec<ExtractedLayer>,
    /// How many entries could not be made at all, or have another owner, mode or time.
    pub differing: u64,
    /// How many of these could not be made.
    pub left_out: u64,
}

/// A layer that was extracted.
#[derive(Debug)]
pub struct ExtractedLayer {
    /// What it is called.
    pub name: LayerName,
    /// Where it lies.
    pub folder: PathBuf,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Extracts layers of a side into `folder`, which must be absent or empty: one by itself into the folder, several each
/// into a folder of its own in there.
///
/// Nothing is written outside, whatever the ramdisk holds: no link is ever followed. The folder has its final name only
/// when it is whole, and no one but its owner can enter it: what it holds is as dangerous as the image, with setuid
/// programs and device nodes for root.
///
/// # Errors
/// An [`ExtractError`]; what was written until then is removed.
pub fn extract(side: &Side, layers: &[usize], folder: &Path) -> Result<Extracted, ExtractError> {
    if matches!(side.facts(), Facts::Folder) {
        return Err(ExtractError::Folder { path: side.path().to_owned() });
    }
    let names = Names::new(folder)?;
    private_folder(&names.part)?;
    let extracted = write(side, layers, &names);
    if extracted.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&names.part);
    }
    extracted
}

/// Where things are written, and what they are called when they are whole.
struct Names {
    folder: PathBuf,
    meta: PathBuf,
    /// Holds both until then.
    part: PathBuf,
}

impl Names {
    fn new(folder: &Path) -> Result<Self, ExtractError> {
        let absolute = std::path::absolute(folder)
            .map_err(|source| ExtractError::Write { path: folder.to_owned(), source })?;
        let Some(name) = absolute.file_name() else {
            return Err(ExtractError::NoName { path: folder.to_owned() });
        };
        let beside = |suffix: &str| {
            let mut name: OsString = name.to_owned();
            name.push(suffix);
            absolute.with_file_name(name)
        };
        match fs::symlink_metadata(&absolute) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(found) if found.is_dir() && is_empty(&absolute) => {}
            Ok(_) => return Err(ExtractError::NotEmpty { path: folder.to_owned() }),
            Err(source) => return Err(ExtractError::Write { path: folder.to_owned(), source }),
        }
        Ok(Self { part: beside(".part"), meta: beside(".meta.json"), folder: absolute })
    }
}

fn private_folder(path: &Path) -> Result<(), ExtractError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => ExtractError::Leftover { path: path.to_owned() },
        _ => ExtractError::Write { path: path.to_owned(), source },
    })
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn write(side: &Side, layers: &[usize], names: &Names) -> Result<Extracted, ExtractError> {
    let (tree, meta) = (names.part.join("tree"), names.part.join("meta.json"));
    private_folder(&tree)?;
    let mut record = Record::create(&meta)?;
    let mut extracted = Vec::new();
    for index in layers {
        let Some(facts) = side.layers().get(*index) else { continue };
        let subfolder = if layers.len() > 1 { facts.name.folder_name() } else { String::new() };
        if !subfolder.is_empty() {
            private_folder(&tree.join(&subfolder))?;
        }
        record.begin_layer(&subfolder);
        let (entries, bytes) = Layer::extract(side, *index, &tree.join(&subfolder), &mut record)?;
        let folder = if subfolder.is_empty() { names.folder.clone() } else { names.folder.join(&subfolder) };
        extracted.push(ExtractedLayer { name: facts.name, folder, entries, bytes });
    }
    let (differing, left_out) = record.finish(side.path(), &extracted, &names.folder)?;
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).map_err(|source| ExtractError::Write { path: to.to_owned(), source })
    };
    // The folder last: it alone says that all is there.
    rename(&meta, &names.meta)?;
    rename(&tree, &names.folder)?;
    let _ = fs::remove_dir(&names.part);
    let (folder, meta) = (names.folder.clone(), names.meta.clone());
    Ok(Extracted { folder, meta, layers: extracted, differing, left_out })
}

/// A layer while it is extracted.
struct Layer<'r> {
    below: Below,
    record: &'r mut Record,
    /// Where the first name of each file with several lies.
    linked: HashMap<u64, Vec<u8>>,
    entries: u64,
    bytes: u64,
}

impl<'r> Layer<'r> {
    fn extract(
        side: &Side,
        layer: usize,
        folder: &Path,
        record: &'r mut Record,
    ) -> Result<(u64, u64), ExtractError> {
        let below = Below::open(folder)?;
        let mut layer_at_hand = Self { below, record, linked: HashMap::new(), entries: 0, bytes: 0 };
        side.visit(layer, |entry, content| {
            layer_at_hand.entry(&entry, content)?;
            Ok::<_, ExtractError>(ControlFlow::Continue(()))
        })?;
        let Self { below, record, entries, bytes, .. } = layer_at_hand;
        below.finish(|entry, made| record.add(entry, &made))?;
        Ok((entries, bytes))
    }

    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), ExtractError> {
        self.entries += 1;
        let path = match plain(&entry.path) {
            Ok(path) if path.is_empty() => return self.record.add(entry, &Made::root()),
            Ok(path) => path,
            Err(why) => return self.record.add(entry, &Made::unmade(why)),
        };
        let group = if let Kind::File { group, .. } = entry.kind { group } else { None };
        let first = group.and_then(|group| self.linked.get(&group));
        let made = self.below.make(
            entry,
            &path,
            first.map(Vec::as_slice),
            &mut Counted(content, &mut self.bytes),
        )?;
        if let Some(group) = group
            && made.why.is_none()
        {
            self.linked.entry(group).or_insert(path);
        }
        self.record.add(entry, &made)
    }
}

/// Counts the bytes of content that pass.
struct Counted<'c>(&'c mut dyn Read, &'c mut u64);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buffer)?;
        *self.1 += n as u64;
        Ok(n)
    }
}

/// A path below the root, without the components that lead nowhere; empty for the root itself.
fn plain(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut plain = Vec::with_capacity(path.len());
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err("its path leads up (`..`)"),
            name if name.len() > 255 => return Err("a name in its path is longer than 255 bytes"),
            name => {
                if !plain.is_empty() {
                    plain.push(b'/');
                }
                plain.extend_from_slice(name);
            }
        }
    }
    Ok(plain)
}
