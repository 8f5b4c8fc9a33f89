//! Whiteouts: what a layer hides of those below it.

use super::grow::IMPLICIT;
use super::lookup::Found;
use super::merge::{Merge, WHITEOUT};
use super::{EntryError, NodeId};

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
        let Some(child) = self.tree.child(directory, name) else { return };
        self.hide_below(layer, child.node);
        if child.layer == layer {
            return;
        }
        if self.tree.directory(child.node).is_some_and(|rest| !rest.children.is_empty()) {
            // Only this layer's entries are left in it, and it is no longer the directory from below.
            self.tree.set_attributes(child.node, IMPLICIT);
            self.tree.xattrs.remove(&child.node);
            self.tree.stamp(directory, name, child.node, layer);
        } else {
            self.tree.remove(directory, name);
        }
    }

    /// Hides everything below a directory. Once a layer has done so nothing from below can come back, so a
    /// hostile archive of nothing but whiteouts costs one pass and not one each.
    fn hide_below(&mut self, layer: usize, directory: NodeId) {
        if self.tree.directory(directory).is_some() && self.cleared.insert(directory) {
            for name in self.tree.names(directory) {
                self.hide(layer, directory, &name);
            }
        }
    }
}

/// What follows `.wh.` in the name of an opaque marker.
const OPAQUE: &[u8] = b".wh..opq";
