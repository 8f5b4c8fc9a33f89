//! A tree of a few files of another.

use super::grow::IMPLICIT;
use super::lookup::Found;
use super::{Child, Directory, EntryError, Node, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::cpio::display;
use std::collections::HashMap;

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
        let mut nodes = vec![directory(0)];
        let mut xattrs = HashMap::new();
        for path in paths {
            let wrong = |source| RootfsError::Read { path: display(path.as_bytes()), source };
            let found = self.file(path).map_err(wrong)?;
            let Node { kind: NodeKind::File(content), mode, uid, gid, .. } = *self.node(found) else {
                return Err(wrong(EntryError::NotAFile));
            };
            let names: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').filter(|n| !n.is_empty()).collect();
            let mut at = ROOT;
            for (depth, name) in names.iter().enumerate() {
                let existing = child(&nodes, at, name);
                at = match existing {
                    Some(node) => node,
                    None if depth + 1 < names.len() => {
                        let length = names[..=depth].join(&b'/').len();
                        add(&mut nodes, at, name, directory(length))
                    }
                    None => {
                        let kind = NodeKind::File(content);
                        let node = add(&mut nodes, at, name, Node { kind, mode, uid, gid, names: 1 });
                        if let Some(attributes) = self.xattrs.get(&found) {
                            xattrs.insert(node, attributes.clone());
                        }
                        node
                    }
                };
            }
        }
        Ok(Self { nodes, xattrs, ..self })
    }

    fn file(&self, path: &str) -> Result<NodeId, EntryError> {
        match self.lookup(path.as_bytes(), true)? {
            Found::Node(node) if matches!(self.node(node).kind, NodeKind::File(_)) => Ok(node),
            Found::Node(_) => Err(EntryError::NotAFile),
            Found::Missing { .. } => Err(EntryError::Missing),
        }
    }
}

fn directory(path_length: usize) -> Node {
    let kind = NodeKind::Directory(Directory { path_length, ..Directory::default() });
    Node { kind, mode: IMPLICIT.mode, uid: IMPLICIT.uid, gid: IMPLICIT.gid, names: 1 }
}

fn child(nodes: &[Node], at: NodeId, name: &[u8]) -> Option<NodeId> {
    match &nodes[at as usize].kind {
        NodeKind::Directory(directory) => directory.children.get(name).map(|child| child.node),
        _ => None,
    }
}

fn add(nodes: &mut Vec<Node>, at: NodeId, name: &[u8], node: Node) -> NodeId {
    // A handful of paths: their number is far from the limit of the type.
    let id = NodeId::try_from(nodes.len()).unwrap_or(NodeId::MAX);
    nodes.push(node);
    if let NodeKind::Directory(directory) = &mut nodes[at as usize].kind {
        directory.children.insert(name.into(), Child { node: id, layer: 1 });
    }
    id
}
