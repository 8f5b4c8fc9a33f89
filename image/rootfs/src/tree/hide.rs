//! Taking things out of a growing tree: whiteouts, replacements, and what engines left behind.

use super::lookup::Found;
use super::merge::{IMPLICIT, Merge, WHITEOUT};
use super::{Content, EntryError, NodeId, NodeKind, ROOT};

impl Merge {
    pub(super) fn whiteout(&mut self, layer: usize, parent: &[u8], hidden: &[u8]) -> Result<(), EntryError> {
        // aufs kept files of its own under `.wh..wh.`; no specification gives them a meaning.
        let means_nothing = matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT);
        if hidden != OPAQUE && means_nothing {
            return Err(EntryError::Whiteout);
        }
        let directory = match self.tree.lookup(parent, true)? {
            Found::Node(node) => node,
            // Nothing there to be hidden.
            Found::Missing { .. } => return Ok(()),
        };
        if hidden == OPAQUE {
            self.hide_below(layer, directory);
            return Ok(());
        }
        self.hide(layer, directory, hidden);
        Ok(())
    }

    /// Removes what layers below put under a name. What this layer put there stays, whichever came first.
    fn hide(&mut self, layer: usize, directory: NodeId, name: &[u8]) {
        let Some(child) = self.child(directory, name) else { return };
        self.hide_below(layer, child.node);
        if child.layer == layer {
            return;
        }
        if self.tree.directory(child.node).is_some_and(|rest| !rest.children.is_empty()) {
            // Only this layer's entries are left in it, and it is no longer the directory from below.
            self.set_attributes(child.node, IMPLICIT);
            self.tree.xattrs.remove(&child.node);
            self.stamp(directory, name, child.node, layer);
        } else {
            self.remove(directory, name);
        }
    }

    /// Hides everything below a directory. Once a layer has done so nothing from below can come back, so a
    /// hostile archive of nothing but whiteouts costs one pass and not one each.
    fn hide_below(&mut self, layer: usize, directory: NodeId) {
        if self.tree.directory(directory).is_some() && self.cleared.insert(directory) {
            for name in self.names(directory) {
                self.hide(layer, directory, &name);
            }
        }
    }

    /// Takes a name, and all below it, out of the tree.
    pub(super) fn remove(&mut self, directory: NodeId, name: &[u8]) {
        let Some(child) =
            self.tree.directory_mut(directory).and_then(|directory| directory.children.remove(name))
        else {
            return;
        };
        for below in self.names(child.node) {
            self.remove(child.node, &below);
        }
        let node = self.tree.node_mut(child.node);
        node.names -= 1;
        if node.names == 0 {
            self.tree.xattrs.remove(&child.node);
        }
    }

    /// Leaves out the empty files that engines put where they mount their own; see `specs/rootfs.md`.
    pub(super) fn drop_placeholders(&mut self) {
        for path in PLACEHOLDERS {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            // No links: an engine mounts over the very path.
            let Some(directory) = parent
                .split('/')
                .filter(|name| !name.is_empty())
                .try_fold(ROOT, |at, name| self.child(at, name.as_bytes()).map(|child| child.node))
            else {
                continue;
            };
            let Some(child) = self.child(directory, name.as_bytes()) else { continue };
            let node = self.tree.node(child.node);
            if node.names == 1 && matches!(node.kind, NodeKind::File(Content { size: 0, .. })) {
                self.remove(directory, name.as_bytes());
            }
        }
    }
}

/// What follows `.wh.` in the name of an opaque marker.
const OPAQUE: &[u8] = b".wh..opq";
/// Where engines mount files of their own while they build or run, leaving an empty file behind.
const PLACEHOLDERS: [&str; 5] =
    [".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "run/.containerenv"];
