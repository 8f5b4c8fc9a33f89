//! Layers, one after the other, into a tree. The rules and where they come from: `specs/rootfs.md`.

use super::content::{Contents, Copying, SpoolWriter};
use super::grow::Attributes;
use super::lookup::Found;
use super::{Content, Directory, EntryError, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::archive::{Member, MemberKind, Reader, SparseMap, TarError};
use crate::cpio::display;
use crate::limits::Limits;
use crate::oci::{Archive, Image, LayerReader, OciError};
use crate::section::{Section, State};
use crate::store::Store;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Merges an image's layers.
///
/// Layers that are not compressed are read where they lie, and nobody may change them as long as the tree is in
/// use. Others come from the store where it has them, else they are unpacked into nameless files in the folder
/// `scratch`, and kept in the store. A blob whose layer comes from the store is not read: the digest of what is
/// used was compared with the configuration's.
pub fn merge(
    image: &Image,
    limits: &Limits,
    scratch: &Path,
    store: Option<&Store>,
) -> Result<Tree, RootfsError> {
    let mut merge = Merge::new(limits, scratch)?;
    let mut budget = limits.uncompressed_bytes;
    for (index, layer) in image.layers.iter().enumerate() {
        let number = index + 1;
        let in_layer = |source| RootfsError::Layer { layer: number, source };
        let ready = || store.and_then(|store| store.layer(&layer.diff_id, budget));
        budget -= match image.layer(layer, budget).map_err(in_layer)? {
            Archive::Plain(archive, state) => merge.in_place(number, archive, Some(state))?,
            Archive::Packed(_) if let Some(ready) = ready() => merge.in_place(number, ready, None)?,
            Archive::Packed(archive) => match merge.unpacked(number, archive, scratch) {
                Err(error @ RootfsError::Scratch { .. }) => return Err(error),
                Err(error) => {
                    image.check_blob(layer).map_err(in_layer)?;
                    return Err(error);
                }
                Ok(unpacked) => {
                    if let Some(store) = store {
                        store.keep_layer(&layer.diff_id, &unpacked);
                    }
                    unpacked.length()
                }
            },
        };
    }
    merge.finish()
}

/// Merges layers that are at hand as uncompressed archives, the lowest first; no digest vouches for them.
pub fn merge_archives(layers: &[&[u8]], limits: &Limits, scratch: &Path) -> Result<Tree, RootfsError> {
    let mut merge = Merge::new(limits, scratch)?;
    for (index, layer) in layers.iter().enumerate() {
        let from = Source { layer: index + 1, file: SPOOL, offset: merge.spool.end() };
        merge.spool.write(layer)?;
        merge.layer(from, Reader::new(*layer, limits.extension_bytes))?;
    }
    merge.finish()
}

/// A tree and what holds its content, both growing.
pub(super) struct Merge {
    pub(super) tree: Tree,
    /// Content that lies in no layer's file as it is; the first of the tree's files.
    spool: SpoolWriter,
    /// Archives of layers; the tree's other files.
    archives: Vec<(Arc<File>, Option<State>)>,
    entries: u64,
    /// Bytes of all files so far.
    bytes: u64,
    /// Directories in which the layer at hand has already hidden everything from below.
    pub(super) cleared: HashSet<NodeId>,
    buffer: Vec<u8>,
}

/// Where the archive of a layer will lie when the tree is written.
#[derive(Clone, Copy)]
struct Source {
    /// One-based, from the lowest up.
    layer: usize,
    /// One of the tree's files.
    file: u32,
    /// Where in that file the archive begins.
    offset: u64,
}

impl Merge {
    pub(super) fn new(limits: &Limits, scratch: &Path) -> Result<Self, RootfsError> {
        Ok(Self {
            tree: Tree::empty(limits),
            spool: SpoolWriter::create(scratch)?,
            archives: Vec::new(),
            entries: 0,
            bytes: 0,
            cleared: HashSet::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Applies a layer whose archive lies in a file, and gives its length. A file that others may write to has the
    /// state in which it was checked.
    fn in_place(&mut self, layer: usize, archive: Section, state: Option<State>) -> Result<u64, RootfsError> {
        let (file, offset, length) = (self.next_file(), archive.start(), archive.length());
        self.archives.push((Arc::clone(archive.file()), state));
        let reader = Reader::seeking(archive, self.tree.limits.extension_bytes);
        self.layer(Source { layer, file, offset }, reader)?;
        Ok(length)
    }

    /// Applies a layer while it is unpacked into a file, and gives that.
    fn unpacked(&mut self, layer: usize, from: LayerReader, scratch: &Path) -> Result<Section, RootfsError> {
        let file = self.next_file();
        let copying = Copying { from, to: SpoolWriter::create(scratch)? };
        let reader = Reader::new(copying, self.tree.limits.extension_bytes);
        // To the archive's very end, so that the file holds all of it.
        let Copying { from, to } = self.layer(Source { layer, file, offset: 0 }, reader)?;
        let length = from.finish().map_err(|source| RootfsError::Layer { layer, source })?;
        let archive = to.finish()?;
        self.archives.push((Arc::clone(&archive), None));
        Ok(Section::new(archive, 0, length))
    }

    /// What the next archive is called in the tree.
    fn next_file(&self) -> u32 {
        // Far fewer than there are numbers: images with more layers than the limit are not opened.
        u32::try_from(self.archives.len() + 1).unwrap_or(u32::MAX)
    }

    /// Applies one layer's archive, and gives its reader back at the end of the stream.
    fn layer<R: Read>(&mut self, from: Source, mut reader: Reader<R>) -> Result<R, RootfsError> {
        let layer = from.layer;
        let broken = |source| match source {
            TarError::Io(error) => match error.downcast::<RootfsError>() {
                Ok(error) => error,
                Err(error) => RootfsError::Layer { layer, source: OciError::from_read(error) },
            },
            source => RootfsError::Archive { layer, source },
        };
        self.cleared.clear();
        while let Some(member) = reader.next_member().map_err(broken)? {
            let wrong = |source| RootfsError::Entry { layer, path: display(&member.path), source };
            self.entries += 1;
            let limit = self.tree.limits.entries;
            if self.entries > limit {
                return Err(wrong(EntryError::TooManyEntries { limit }));
            }
            let content = match &member.kind {
                MemberKind::File { size, holes } => {
                    self.count(*size).map_err(wrong)?;
                    Some(match holes {
                        None => {
                            Content { file: from.file, offset: from.offset + member.data_offset, size: *size }
                        }
                        Some(holes) => {
                            self.spool_content(&mut reader, *size, holes).map_err(|e| match e {
                                CopyError::Tar(error) => broken(error),
                                CopyError::Spool(error) => error,
                            })?
                        }
                    })
                }
                _ => None,
            };
            self.apply(layer, &member, content).map_err(wrong)?;
        }
        reader.finish().map_err(broken)
    }

    pub(super) fn finish(mut self) -> Result<Tree, RootfsError> {
        self.tree.drop_placeholders();
        let spool = self.spool.finish()?;
        self.tree.contents = Contents::Open(std::iter::once((spool, None)).chain(self.archives).collect());
        Ok(self.tree)
    }

    fn count(&mut self, size: u64) -> Result<(), EntryError> {
        let Limits { file_bytes, total_bytes, .. } = self.tree.limits;
        if size > file_bytes {
            return Err(EntryError::FileTooLarge { found: size, limit: file_bytes });
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > total_bytes {
            return Err(EntryError::TotalTooLarge { limit: total_bytes });
        }
        Ok(())
    }

    /// A file with holes, as a whole.
    fn spool_content<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        size: u64,
        stored: &SparseMap,
    ) -> Result<Content, CopyError> {
        let content = Content { file: SPOOL, offset: self.spool.end(), size };
        let mut end = 0;
        for (offset, length) in stored {
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

/// The temporary file's place among the tree's files.
const SPOOL: u32 = 0;
pub(super) const WHITEOUT: &[u8] = b".wh.";
const BUFFER: usize = 256 * 1024;
