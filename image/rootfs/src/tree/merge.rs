//! Layers, one after the other, into a tree. The rules and where they come from: `specs/rootfs.md`.

use super::content::SpoolWriter;
use super::lookup::Found;
use super::{Child, Content, Directory, EntryError, Node, NodeId, NodeKind, ROOT, RootfsError, Spool, Tree};
use crate::archive::{Member, MemberKind, Reader, SparseMap, TarError};
use crate::cpio::display;
use crate::limits::Limits;
use crate::oci::{Image, OciError};
use std::collections::{HashMap, HashSet};
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

/// A tree and a temporary file, both growing.
pub(super) struct Merge {
    pub(super) tree: Tree,
    spool: SpoolWriter,
    entries: u64,
    /// Directories in which the layer at hand has already hidden everything from below.
    pub(super) cleared: HashSet<NodeId>,
    buffer: Vec<u8>,
}

/// Attributes of a member.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What a directory gets that no layer describes.
pub(super) const IMPLICIT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

impl Merge {
    pub(super) fn new(limits: &Limits, scratch: &Path) -> Result<Self, RootfsError> {
        let spool = SpoolWriter::create(scratch)?;
        let Attributes { mode, uid, gid } = IMPLICIT;
        let root = Node { kind: NodeKind::Directory(Directory::default()), mode, uid, gid, names: 1 };
        let tree = Tree {
            nodes: vec![root],
            spool: Spool::empty(),
            xattrs: HashMap::new(),
            limits: *limits,
            metadata_bytes: 0,
        };
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
        self.drop_placeholders();
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
            self.set_attributes(ROOT, attributes);
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
                let existing = self.child(directory, name);
                if let (MemberKind::Directory, Some(existing)) = (kind, existing)
                    && self.tree.directory(existing.node).is_some()
                {
                    self.stamp(directory, name, existing.node, layer);
                    existing.node
                } else {
                    let kind = self.node_kind(kind, content)?;
                    self.place(layer, directory, name, kind)?
                }
            }
        };
        // Engines give a hard link's attributes to the file itself.
        self.set_attributes(node, attributes);
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
            at = self.place(layer, at, name, NodeKind::Directory(Directory::default()))?;
            self.set_attributes(at, IMPLICIT);
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
        let node = self.child(target_directory, last).ok_or_else(missing)?.node;
        if self.tree.directory(node).is_some() {
            return Err(EntryError::LinkToDirectory { target: display(target) });
        }
        let directory = self.parent(layer, parent)?;
        if directory == target_directory && *last == name {
            return Err(EntryError::LinkToItself);
        }
        self.remove(directory, name);
        if self.tree.node(node).names == 0 {
            // The link took the place of a directory that held its own target.
            return Err(missing());
        }
        self.count_metadata(name.len())?;
        self.tree.node_mut(node).names += 1;
        self.stamp(directory, name, node, layer);
        Ok(node)
    }

    fn node_kind(&mut self, kind: &MemberKind, content: Option<Content>) -> Result<NodeKind, EntryError> {
        Ok(match (kind, content) {
            (MemberKind::File { .. }, Some(content)) => NodeKind::File(content),
            (MemberKind::Symlink(target), _) => {
                if target.is_empty() || target.contains(&0) || target.len() > MAX_LINK {
                    return Err(EntryError::EmptyLink);
                }
                self.count_metadata(target.len())?;
                NodeKind::Symlink(target.as_slice().into())
            }
            (MemberKind::CharDevice { major, minor } | MemberKind::BlockDevice { major, minor }, _) => {
                let (major, minor) = (*major, *minor);
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return Err(EntryError::Device { major, minor });
                }
                if matches!(kind, MemberKind::CharDevice { .. }) {
                    NodeKind::CharDevice { major, minor }
                } else {
                    NodeKind::BlockDevice { major, minor }
                }
            }
            (MemberKind::Fifo, _) => NodeKind::Fifo,
            // Hard links are placed elsewhere, and every file has content.
            (MemberKind::Directory | MemberKind::HardLink(_) | MemberKind::File { .. }, _) => {
                NodeKind::Directory(Directory::default())
            }
        })
    }

    /// Puts a new node under a name, in place of whatever was there.
    fn place(
        &mut self,
        layer: usize,
        directory: NodeId,
        name: &[u8],
        mut kind: NodeKind,
    ) -> Result<NodeId, EntryError> {
        let above = self.tree.directory(directory).map_or(0, |directory| directory.path_length);
        let path_length = above + usize::from(directory != ROOT) + name.len();
        let Limits { path_bytes, entries, .. } = self.tree.limits;
        if path_length > path_bytes {
            return Err(EntryError::PathTooLong { found: path_length, limit: path_bytes });
        }
        if let NodeKind::Directory(new) = &mut kind {
            new.path_length = path_length;
        }
        self.remove(directory, name);
        self.count_metadata(name.len())?;
        let id = u32::try_from(self.tree.nodes.len())
            .ok()
            // Directories that no entry names count too.
            .filter(|id| u64::from(*id) <= entries)
            .ok_or(EntryError::TooManyEntries { limit: entries })?;
        let Attributes { mode, uid, gid } = IMPLICIT;
        self.tree.nodes.push(Node { kind, mode, uid, gid, names: 1 });
        self.stamp(directory, name, id, layer);
        Ok(id)
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<Child> {
        self.tree.directory(directory)?.children.get(name).copied()
    }

    pub(super) fn names(&self, directory: NodeId) -> Vec<Box<[u8]>> {
        self.tree.directory(directory).map(|d| d.children.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn stamp(&mut self, directory: NodeId, name: &[u8], node: NodeId, layer: usize) {
        if let Some(directory) = self.tree.directory_mut(directory) {
            directory.children.insert(name.into(), Child { node, layer });
        }
    }

    pub(super) fn set_attributes(&mut self, node: NodeId, Attributes { mode, uid, gid }: Attributes) {
        let node = self.tree.node_mut(node);
        // Linux shows every symbolic link with this mode, whatever an archive says.
        let mode = if matches!(node.kind, NodeKind::Symlink(_)) { 0o777 } else { mode };
        (node.mode, node.uid, node.gid) = (mode, uid, gid);
    }

    fn set_xattrs(&mut self, node: NodeId, names: &[Vec<u8>]) -> Result<(), EntryError> {
        if names.is_empty() {
            self.tree.xattrs.remove(&node);
            return Ok(());
        }
        self.count_metadata(names.iter().map(Vec::len).sum())?;
        self.tree.xattrs.insert(node, names.to_vec());
        Ok(())
    }

    fn count_metadata(&mut self, bytes: usize) -> Result<(), EntryError> {
        self.tree.metadata_bytes += bytes as u64;
        let limit = self.tree.limits.metadata_bytes;
        if self.tree.metadata_bytes > limit { Err(EntryError::MetadataTooLarge { limit }) } else { Ok(()) }
    }
}

enum CopyError {
    Tar(TarError),
    Spool(RootfsError),
}

pub(super) const WHITEOUT: &[u8] = b".wh.";
/// `PATH_MAX` less the final NUL.
const MAX_LINK: usize = 4095;
const BUFFER: usize = 256 * 1024;
