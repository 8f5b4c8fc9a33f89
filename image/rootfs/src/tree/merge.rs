//! Layers, one after the other, into a tree. The rules and where they come from: `specs/rootfs.md`.

use super::content::SpoolWriter;
use super::grow::{Attributes, IMPLICIT};
use super::lookup::Found;
use super::{Content, Directory, EntryError, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::archive::{Member, MemberKind, Reader, SparseMap, TarError};
use crate::cpio::display;
use crate::limits::Limits;
use crate::oci::{Image, OciError};
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

/// Merges an image's layers. Content goes to a nameless file in the folder `scratch`.
pub fn merge(image: &Image, limits: &Limits, scratch: &Path) -> Result<Tree, RootfsError> {
    let mut merge = Merge::new(limits, scratch)?;
    let mut budget = limits.uncompressed_bytes;
    for (index, layer) in image.layers.iter().enumerate() {
        let number = index + 1;
        let in_layer = |source| RootfsError::Layer { layer: number, source };
        let reader = image.layer(layer, budget).map_err(in_layer)?;
        let result = merge.layer(number, reader).and_then(|reader| reader.finish().map_err(in_layer));
        match result {
            Ok(read) => budget -= read,
            Err(error @ RootfsError::Scratch { .. }) => return Err(error),
            Err(error) => {
                image.check_blob(layer).map_err(in_layer)?;
                return Err(error);
            }
        }
    }
    merge.finish()
}

/// Merges layers that are at hand as uncompressed archives, the lowest first; no digest vouches for them.
pub fn merge_archives(layers: &[&[u8]], limits: &Limits, scratch: &Path) -> Result<Tree, RootfsError> {
    let mut merge = Merge::new(limits, scratch)?;
    for (index, layer) in layers.iter().enumerate() {
        merge.layer(index + 1, *layer)?;
    }
    merge.finish()
}

/// A tree and a temporary file, both growing.
pub(super) struct Merge {
    pub(super) tree: Tree,
    spool: SpoolWriter,
    entries: u64,
    /// Directories in which the layer at hand has already hidden everything from below.
    pub(super) cleared: HashSet<NodeId>,
    buffer: Vec<u8>,
}

impl Merge {
    pub(super) fn new(limits: &Limits, scratch: &Path) -> Result<Self, RootfsError> {
        let spool = SpoolWriter::create(scratch)?;
        let tree = Tree::empty(limits);
        Ok(Self { tree, spool, entries: 0, cleared: HashSet::new(), buffer: vec![0; BUFFER] })
    }

    /// Applies one layer's archive, and gives its reader back at the end of the stream.
    pub(super) fn layer<R: Read>(&mut self, layer: usize, archive: R) -> Result<R, RootfsError> {
        let broken = |source| match source {
            TarError::Io(error) => RootfsError::Layer { layer, source: OciError::from_read(error) },
            source => RootfsError::Archive { layer, source },
        };
        self.cleared.clear();
        let mut reader = Reader::new(archive, self.tree.limits.extension_bytes);
        while let Some(member) = reader.next_member().map_err(broken)? {
            let wrong = |source| RootfsError::Entry { layer, path: display(&member.path), source };
            self.entries += 1;
            let limit = self.tree.limits.entries;
            if self.entries > limit {
                return Err(wrong(EntryError::TooManyEntries { limit }));
            }
            let content = match &member.kind {
                MemberKind::File { size, holes } => {
                    self.check_size(*size).map_err(wrong)?;
                    Some(self.spool_content(&mut reader, *size, holes.as_ref()).map_err(
                        |error| match error {
                            CopyError::Tar(error) => broken(error),
                            CopyError::Spool(error) => error,
                        },
                    )?)
                }
                _ => None,
            };
            self.apply(layer, &member, content).map_err(wrong)?;
        }
        reader.finish().map_err(broken)
    }

    pub(super) fn finish(mut self) -> Result<Tree, RootfsError> {
        self.tree.drop_placeholders();
        self.tree.spool = self.spool.finish()?;
        Ok(self.tree)
    }

    fn check_size(&self, size: u64) -> Result<(), EntryError> {
        let Limits { file_bytes, total_bytes, .. } = self.tree.limits;
        if size > file_bytes {
            return Err(EntryError::FileTooLarge { found: size, limit: file_bytes });
        }
        if self.spool.end().saturating_add(size) > total_bytes {
            return Err(EntryError::TotalTooLarge { limit: total_bytes });
        }
        Ok(())
    }

    fn spool_content<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        size: u64,
        holes: Option<&SparseMap>,
    ) -> Result<Content, CopyError> {
        let content = Content { offset: self.spool.end(), size };
        let whole = vec![(0, size)];
        let mut end = 0;
        for (offset, length) in holes.unwrap_or(&whole) {
            self.spool.hole(offset - end).map_err(CopyError::Spool)?;
            self.copy(reader, *length)?;
            end = offset + length;
        }
        self.spool.hole(size - end).map_err(CopyError::Spool)?;
        Ok(content)
    }

    fn copy<R: Read>(&mut self, reader: &mut Reader<R>, mut left: u64) -> Result<(), CopyError> {
        while left > 0 {
            let wanted = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            reader.exact_content(&mut self.buffer[..wanted]).map_err(CopyError::Tar)?;
            self.spool.write(&self.buffer[..wanted]).map_err(CopyError::Spool)?;
            left -= wanted as u64;
        }
        Ok(())
    }

    fn apply(&mut self, layer: usize, member: &Member, content: Option<Content>) -> Result<(), EntryError> {
        let path = self.clean(&member.path)?;
        let attributes = Attributes { mode: member.mode, uid: member.uid, gid: member.gid };
        let Some((name, parent)) = path.split_last() else {
            if !matches!(member.kind, MemberKind::Directory) {
                return Err(EntryError::Root);
            }
            self.tree.set_attributes(ROOT, attributes);
            return self.set_xattrs(ROOT, &member.xattrs);
        };
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if !matches!(member.kind, MemberKind::File { size: 0, .. }) {
                return Err(EntryError::Whiteout);
            }
            return self.whiteout(layer, &parent.join(&b'/'), hidden);
        }
        let node = match &member.kind {
            MemberKind::HardLink(target) => self.hard_link(layer, parent, name, target)?,
            kind => {
                let directory = self.parent(layer, parent)?;
                let existing = self.tree.child(directory, name);
                if let (MemberKind::Directory, Some(existing)) = (kind, existing)
                    && self.tree.directory(existing.node).is_some()
                {
                    self.tree.stamp(directory, name, existing.node, layer);
                    existing.node
                } else {
                    let kind = self.tree.node_kind(kind, content)?;
                    self.tree.place(layer, directory, name, kind)?
                }
            }
        };
        // Engines give a hard link's attributes to the file itself.
        self.tree.set_attributes(node, attributes);
        if matches!(member.kind, MemberKind::HardLink(_)) && member.xattrs.is_empty() {
            return Ok(());
        }
        self.set_xattrs(node, &member.xattrs)
    }

    /// Splits a path into components. A leading `/` or `./` means the root, as engines take it.
    fn clean<'p>(&self, path: &'p [u8]) -> Result<Vec<&'p [u8]>, EntryError> {
        let Limits { path_bytes, name_bytes, .. } = self.tree.limits;
        if path.contains(&0) {
            return Err(EntryError::Nul);
        }
        if path.len() > path_bytes {
            return Err(EntryError::PathTooLong { found: path.len(), limit: path_bytes });
        }
        let components: Vec<&[u8]> =
            path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        if components.contains(&&b".."[..]) {
            return Err(EntryError::Traversal);
        }
        if let Some(long) = components.iter().find(|name| name.len() > name_bytes) {
            return Err(EntryError::NameTooLong { found: long.len(), limit: name_bytes });
        }
        Ok(components)
    }

    /// The directory an entry goes into; directories no layer named are made.
    fn parent(&mut self, layer: usize, components: &[&[u8]]) -> Result<NodeId, EntryError> {
        let path = components.join(&b'/');
        let (mut at, missing) = match self.tree.lookup(&path, true)? {
            Found::Node(node) if self.tree.directory(node).is_some() => return Ok(node),
            Found::Node(_) => return Err(EntryError::NotADirectory { at: display(&path) }),
            Found::Missing { at, names } => (at, names.len()),
        };
        // Links were followed up to here; what is missing are the path's own last components.
        for name in &components[components.len() - missing..] {
            at = self.tree.place(layer, at, name, NodeKind::Directory(Directory::default()))?;
            self.tree.set_attributes(at, IMPLICIT);
        }
        Ok(at)
    }

    fn hard_link(
        &mut self,
        layer: usize,
        parent: &[&[u8]],
        name: &[u8],
        target: &[u8],
    ) -> Result<NodeId, EntryError> {
        let components = self.clean(target)?;
        let (last, above) = components.split_last().ok_or(EntryError::EmptyLink)?;
        let missing = || EntryError::LinkTarget { target: display(target) };
        // The last component is the thing itself, even where it is a symbolic link.
        let above = above.join(&b'/');
        let target_directory = match self.tree.lookup(&above, true)? {
            Found::Node(node) => node,
            Found::Missing { .. } => return Err(missing()),
        };
        let node = self.tree.child(target_directory, last).ok_or_else(missing)?.node;
        if self.tree.directory(node).is_some() {
            return Err(EntryError::LinkToDirectory { target: display(target) });
        }
        let directory = self.parent(layer, parent)?;
        if directory == target_directory && *last == name {
            return Err(EntryError::LinkToItself);
        }
        self.tree.remove(directory, name);
        if self.tree.node(node).names == 0 {
            // The link took the place of a directory that held its own target.
            return Err(missing());
        }
        self.tree.count_metadata(name.len())?;
        self.tree.node_mut(node).names += 1;
        self.tree.stamp(directory, name, node, layer);
        Ok(node)
    }

    fn set_xattrs(&mut self, node: NodeId, names: &[Vec<u8>]) -> Result<(), EntryError> {
        if names.is_empty() {
            self.tree.xattrs.remove(&node);
            return Ok(());
        }
        self.tree.count_metadata(names.iter().map(Vec::len).sum())?;
        self.tree.xattrs.insert(node, names.to_vec());
        Ok(())
    }
}

enum CopyError {
    Tar(TarError),
    Spool(RootfsError),
}

pub(super) const WHITEOUT: &[u8] = b".wh.";
const BUFFER: usize = 256 * 1024;
