//! An image that an engine has unpacked, as the tree its layers would have given.

use super::grow::Attributes;
use super::{Content, Contents, Directory, EntryError, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::archive::MemberKind;
use crate::cpio::display;
use crate::limits::Limits;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Reads the names and attributes of a folder in which an image lies unpacked; content stays there and is
/// read when the tree is written, so nobody may change it until then.
///
/// The rules are those of layers: empty placeholders of engines are left out, names of one file are found by
/// its inode. Sockets are skipped, as engines skip them when they write layers; extended attributes are not
/// looked at, since an archive has no place for them. The root has the folder's own attributes, which engines
/// choose where no layer does.
pub fn walk(folder: &Path, limits: &Limits) -> Result<Tree, RootfsError> {
    let mut walk =
        Walk { tree: Tree::empty(limits), files: Vec::new(), linked: HashMap::new(), bytes: 0, names: 0 };
    let found = fs::symlink_metadata(folder).map_err(unreadable(folder))?;
    walk.tree.set_attributes(ROOT, attributes(&found));
    let mut open = vec![(folder.to_owned(), ROOT)];
    while let Some((folder, directory)) = open.pop() {
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable(&folder))? {
            names.push(entry.map_err(unreadable(&folder))?.file_name());
        }
        names.sort_unstable();
        for name in names {
            let path = folder.join(&name);
            let found = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
            let wrong = |source| RootfsError::Read { path: shown(&path), source };
            let Some(kind) = kind(&path, &found)? else { continue };
            let node = walk.place(directory, &path, &found, &kind).map_err(wrong)?;
            if found.is_dir() {
                open.push((path, node));
            }
        }
    }
    let Walk { mut tree, files, .. } = walk;
    tree.drop_placeholders();
    tree.contents = Contents::Folder(files);
    Ok(tree)
}

struct Walk {
    tree: Tree,
    /// Where the content of files is.
    files: Vec<PathBuf>,
    /// Files that have more names than were seen: device and inode.
    linked: HashMap<(u64, u64), NodeId>,
    bytes: u64,
    names: u64,
}

impl Walk {
    fn place(
        &mut self,
        directory: NodeId,
        path: &Path,
        found: &Metadata,
        kind: &MemberKind,
    ) -> Result<NodeId, EntryError> {
        let Limits { entries, file_bytes, total_bytes, .. } = self.tree.limits;
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        self.names += 1;
        if self.names > entries {
            return Err(EntryError::TooManyEntries { limit: entries });
        }
        let inode = (found.dev(), found.ino());
        let is_linked = found.is_file() && found.nlink() > 1;
        if let Some(node) = self.linked.get(&inode).copied().filter(|_| is_linked) {
            self.tree.count_metadata(name.len())?;
            self.tree.node_mut(node).names += 1;
            self.tree.stamp(directory, name, node, LAYER);
            return Ok(node);
        }
        let content = match kind {
            MemberKind::File { size, .. } => {
                self.bytes = self.bytes.saturating_add(*size);
                if *size > file_bytes {
                    return Err(EntryError::FileTooLarge { found: *size, limit: file_bytes });
                }
                if self.bytes > total_bytes {
                    return Err(EntryError::TotalTooLarge { limit: total_bytes });
                }
                // No more than entries, whose nodes are counted with the same type.
                let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
                self.files.push(path.to_owned());
                Some(Content { file, offset: 0, size: *size })
            }
            _ => None,
        };
        let kind = match kind {
            MemberKind::Directory => NodeKind::Directory(Directory::default()),
            kind => self.tree.node_kind(kind, content)?,
        };
        let node = self.tree.place(LAYER, directory, name, kind)?;
        self.tree.set_attributes(node, attributes(found));
        if is_linked {
            self.linked.insert(inode, node);
        }
        Ok(node)
    }
}

/// What a name is, in the words of layers; `None` for a socket.
fn kind(path: &Path, found: &Metadata) -> Result<Option<MemberKind>, RootfsError> {
    let kind = found.file_type();
    let (major, minor) = device(found.rdev());
    Ok(Some(if kind.is_dir() {
        MemberKind::Directory
    } else if kind.is_file() {
        MemberKind::File { size: found.size(), holes: None }
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(unreadable(path))?;
        MemberKind::Symlink(target.into_os_string().into_vec())
    } else if kind.is_char_device() {
        MemberKind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        MemberKind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        MemberKind::Fifo
    } else {
        return Ok(None);
    }))
}

fn attributes(found: &Metadata) -> Attributes {
    Attributes { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() }
}

/// Major and minor number, as Linux packs them (`include/linux/kdev_t.h`, `new_decode_dev` widened by glibc).
fn device(packed: u64) -> (u32, u32) {
    let part = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX);
    (part((packed >> 8) & 0xfff | (packed >> 32) & !0xfff), part(packed & 0xff | (packed >> 12) & !0xff))
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> RootfsError + use<> {
    let path = shown(path);
    |source| RootfsError::Folder { path, source }
}

fn shown(path: &Path) -> String {
    display(path.as_os_str().as_bytes())
}

/// A folder has one layer.
const LAYER: usize = 1;
