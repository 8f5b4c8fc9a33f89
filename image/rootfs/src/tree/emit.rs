//! From the tree to entries in canonical order, and to an archive.

use super::grow::Attributes;
use super::{Child, Node, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::cpio::{CpioError, Entry, EntryKind, Output, Writer};
use std::io::{self, Read};
use std::ops::ControlFlow;

/// One step of a walk: a name and what it leads to.
pub(super) struct Step {
    pub(super) path: Vec<u8>,
    pub(super) node: NodeId,
    /// The layer that wrote the name last.
    pub(super) layer: usize,
}

impl Step {
    /// The root, which has no name.
    const ROOT: Self = Self { path: Vec::new(), node: ROOT, layer: 0 };
}

impl Tree {
    /// Every entry with its path relative to the root (which is not among them), sorted by the paths' bytes.
    ///
    /// That is the order of the archive; it is not the order of a walk: `a-b` comes between `a` and `a/b`.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.walk().map(|step| self.entry(step.path, step.node))
    }

    /// Writes the tree as a canonical archive: the root as `prefix`, everything else below it, and the files of
    /// `extra` beside it, owned by root with mode 0444. Nothing else can get into the archive.
    pub fn write_cpio<W: Output>(
        &self,
        prefix: &str,
        extra: &[(&str, &[u8])],
        out: W,
    ) -> Result<W, RootfsError> {
        let mut writer = Writer::new(out);
        let mut extra = extra.to_vec();
        extra.sort_unstable();
        let mut extra = extra.into_iter().peekable();
        let root = std::iter::once(Step::ROOT);
        for step in root.chain(self.walk()) {
            let mut path = prefix.as_bytes().to_vec();
            if !step.path.is_empty() {
                path.push(b'/');
                path.extend_from_slice(&step.path);
            }
            while let Some((name, content)) = extra.next_if(|(name, _)| name.as_bytes() < path.as_slice()) {
                append_extra(&mut writer, name, content)?;
            }
            let entry = self.entry(path, step.node);
            match &self.node(step.node).kind {
                NodeKind::File(content) => {
                    let open = self.contents.open(*content);
                    let mut content =
                        open.map_err(|source| CpioError::Io { doing: "read a file for", source })?;
                    writer.append(&entry, &mut *content)?;
                }
                _ => writer.append(&entry, &mut io::empty())?,
            }
        }
        for (name, content) in extra {
            append_extra(&mut writer, name, content)?;
        }
        match self.contents.are_unchanged() {
            Ok(true) => Ok(writer.finish()?),
            Ok(false) => Err(RootfsError::Changed),
            Err(source) => Err(CpioError::Io { doing: "read a file for", source }.into()),
        }
    }

    /// Shows the root and then every entry, with the content of files, in the order of [`Tree::entries`], until
    /// `visit` breaks off.
    pub fn visit<E: From<RootfsError>>(
        &self,
        mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let failed = |source| RootfsError::from(CpioError::Io { doing: "read a file for", source });
        let root = std::iter::once(Step::ROOT);
        for step in root.chain(self.walk()) {
            let entry = self.entry(step.path, step.node);
            let flow = match &self.node(step.node).kind {
                NodeKind::File(content) => {
                    let mut content = self.contents.open(*content).map_err(failed)?;
                    visit(entry, &mut *content)?
                }
                _ => visit(entry, &mut io::empty())?,
            };
            if flow.is_break() {
                break;
            }
        }
        let is_unchanged = self.contents.are_unchanged().map_err(failed)?;
        if is_unchanged { Ok(()) } else { Err(RootfsError::Changed.into()) }
    }

    /// The root's own attributes, with an empty path.
    pub fn root(&self) -> Entry {
        self.entry(Vec::new(), ROOT)
    }

    /// Gives the root other attributes.
    pub fn set_root(&mut self, mode: u32, uid: u32, gid: u32) {
        self.set_attributes(ROOT, Attributes { mode, uid, gid });
    }

    fn entry(&self, path: Vec<u8>, id: NodeId) -> Entry {
        let Node { kind, mode, uid, gid, names } = self.node(id);
        let kind = match kind {
            NodeKind::Directory(_) => EntryKind::Directory,
            NodeKind::File(content) if *names > 1 => {
                EntryKind::HardLink { group: id.into(), names: *names, size: content.size }
            }
            NodeKind::File(content) => EntryKind::File { size: content.size },
            NodeKind::Symlink(target) => EntryKind::Symlink(target.to_vec()),
            NodeKind::CharDevice { major, minor } => EntryKind::CharDevice { major: *major, minor: *minor },
            NodeKind::BlockDevice { major, minor } => EntryKind::BlockDevice { major: *major, minor: *minor },
            NodeKind::Fifo => EntryKind::Fifo,
        };
        Entry { path, kind, mode: *mode, uid: *uid, gid: *gid }
    }

    pub(super) fn walk(&self) -> Walk<'_> {
        let mut walk = Walk { tree: self, path: Vec::new(), frames: Vec::new() };
        walk.enter(ROOT);
        walk
    }
}

/// A walk in the order of whole paths.
///
/// Each directory stands in its parent's list twice: as itself under `name`, and as everything below it under
/// `name/`. Sorting the list by those keys sorts whole paths.
pub(super) struct Walk<'t> {
    tree: &'t Tree,
    /// Path of the directory at hand, with a final `/` unless it is the root.
    path: Vec<u8>,
    frames: Vec<Frame<'t>>,
}

struct Frame<'t> {
    path_length: usize,
    items: std::vec::IntoIter<Item<'t>>,
}

#[derive(Clone, Copy)]
struct Item<'t> {
    name: &'t [u8],
    child: Child,
    is_below: bool,
}

impl Item<'_> {
    fn key(&self) -> impl Iterator<Item = u8> + '_ {
        self.name.iter().copied().chain(self.is_below.then_some(b'/'))
    }
}

impl Walk<'_> {
    fn enter(&mut self, id: NodeId) {
        let Some(directory) = self.tree.directory(id) else { return };
        let mut items = Vec::with_capacity(directory.children.len());
        for (name, child) in &directory.children {
            items.push(Item { name, child: *child, is_below: false });
            if self.tree.directory(child.node).is_some_and(|below| !below.children.is_empty()) {
                items.push(Item { name, child: *child, is_below: true });
            }
        }
        items.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        self.frames.push(Frame { path_length: self.path.len(), items: items.into_iter() });
    }
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let frame = self.frames.last_mut()?;
            self.path.truncate(frame.path_length);
            let Some(item) = frame.items.next() else {
                self.frames.pop();
                continue;
            };
            self.path.extend_from_slice(item.name);
            if !item.is_below {
                let Child { node, layer } = item.child;
                return Some(Step { path: self.path.clone(), node, layer });
            }
            self.path.push(b'/');
            self.enter(item.child.node);
        }
    }
}

fn append_extra<W: Output>(
    writer: &mut Writer<W>,
    name: &str,
    mut content: &[u8],
) -> Result<(), RootfsError> {
    let kind = EntryKind::File { size: content.len() as u64 };
    let entry = Entry { path: name.into(), kind, mode: 0o444, uid: 0, gid: 0 };
    Ok(writer.append(&entry, &mut content)?)
}
