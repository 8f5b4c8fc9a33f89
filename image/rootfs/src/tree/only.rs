//! A tree of a few files of another.

use super::grow::Attributes;
use super::layers::UNKNOWN;
use super::lookup::Found;
use super::{Directory, EntryError, Node, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::cpio::display;

impl Tree {
    /// Whether the path leads to a regular file, symbolic links followed.
    pub fn is_file(&self, path: &str) -> bool {
        self.file(path).is_ok()
    }

    /// A tree with these files alone, under the paths given here, and the directories they need, which belong to
    /// root with mode 0755 as the root itself does.
    ///
    /// Symbolic links are followed: the tree holds the file they lead to. Mode, owner and content are the file's own.
    ///
    /// # Errors
    /// - [`RootfsError::Read`] where a path leads to no regular file
    pub fn only(self, paths: &[&str]) -> Result<Self, RootfsError> {
        let mut only = Self::empty(&self.limits);
        for path in paths {
            let wrong = |source| RootfsError::Read { path: display(path.as_bytes()), source };
            let found = self.file(path).map_err(wrong)?;
            let Node { kind: NodeKind::File(content), mode, uid, gid, .. } = *self.node(found) else {
                return Err(wrong(EntryError::NotAFile));
            };
            let names: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').filter(|n| !n.is_empty()).collect();
            let Some((last, above)) = names.split_last() else { return Err(wrong(EntryError::NotAFile)) };
            let mut at = ROOT;
            for name in above {
                at = if let Some(child) = only.child(at, name) {
                    child.node
                } else {
                    let kind = NodeKind::Directory(Directory::default());
                    only.place(UNKNOWN, at, name, kind).map_err(wrong)?
                };
            }
            // A path with links in it is no name of the file, which any layer may have written.
            let name = self.named(path.as_bytes()).filter(|child| child.node == found);
            let layer = name.map_or(UNKNOWN, |child| child.layer);
            let node = only.place(layer, at, last, NodeKind::File(content)).map_err(wrong)?;
            only.set_attributes(node, Attributes { mode, uid, gid });
            if let Some(names) = self.xattrs.get(&found) {
                only.xattrs.insert(node, names.clone());
            }
        }
        only.contents = self.contents;
        Ok(only)
    }

    fn file(&self, path: &str) -> Result<NodeId, EntryError> {
        match self.lookup(path.as_bytes(), true)? {
            Found::Node(node) if matches!(self.node(node).kind, NodeKind::File(_)) => Ok(node),
            Found::Node(_) => Err(EntryError::NotAFile),
            Found::Missing { .. } => Err(EntryError::Missing),
        }
    }
}
