//! Which layer wrote what.

use super::{Child, NodeId, NodeKind, ROOT, Tree};

impl Tree {
    /// The layer that wrote what stands under this path last, counted from 1; links are not followed.
    ///
    /// `None` where nothing stands there, where no layer is known, and for directories: an archive of a layer names
    /// those above each of its files, whether it changes them or not.
    pub fn layer_of(&self, path: &[u8]) -> Option<usize> {
        let Child { node, layer } = self.named(path)?;
        self.counts(node, layer).then_some(layer)
    }

    /// Every path that [`Tree::layer_of`] knows the layer of, relative to the root and sorted.
    pub fn layers(&self) -> impl Iterator<Item = (Vec<u8>, usize)> + '_ {
        let known = self.walk().filter(|step| self.counts(step.node, step.layer));
        known.map(|step| (step.path, step.layer))
    }

    /// What stands under this very path, which leads through no link.
    pub(super) fn named(&self, path: &[u8]) -> Option<Child> {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let first = self.child(ROOT, names.next()?)?;
        names.try_fold(first, |above, name| self.child(above.node, name))
    }

    fn counts(&self, node: NodeId, layer: usize) -> bool {
        layer != UNKNOWN && !matches!(self.node(node).kind, NodeKind::Directory(_))
    }
}

/// The number of no layer.
pub(super) const UNKNOWN: usize = 0;
