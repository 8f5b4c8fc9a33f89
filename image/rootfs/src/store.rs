//! Work that was done before: layers that were unpacked, and blocks that were compressed.
//!
//! Everything in it is named after its content and checked when it is read, so that a store can be slow, damaged
//! or gone, but never wrong; the rules are in `specs/rootfs.md` §8. Files appear under their final names whole.

use crate::section::Section;
use caution_measure::Sha256Digest;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A folder of kept layers and blocks, as one build uses it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// What encodes blocks: other encoders' blocks lie in other folders.
    blocks: PathBuf,
    /// When the build began, by the file system's clock; what it uses gets this time.
    opened: SystemTime,
    /// Whose files the build's are; others' are not used.
    owner: u32,
    counts: [AtomicU64; 7],
    /// Why nothing more is kept.
    trouble: Mutex<Option<io::Error>>,
}

/// What a build found in its store, and what it had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reuse {
    /// Compressed layers that were there, unpacked.
    pub layers_ready: u64,
    /// Layers that were unpacked.
    pub layers_unpacked: u64,
    /// Blocks that were there, compressed.
    pub blocks_ready: u64,
    /// Blocks that were compressed.
    pub blocks_compressed: u64,
    /// Uncompressed bytes of the blocks that were there.
    pub bytes_ready: u64,
    /// Uncompressed bytes of the blocks that were compressed.
    pub bytes_compressed: u64,
    /// Files that were damaged, and removed.
    pub damaged: u64,
}

/// A compressed block, and what a gzip member must know of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: u32,
    /// Length of the content.
    pub(crate) length: u32,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
enum Count {
    LayersReady,
    LayersUnpacked,
    BlocksReady,
    BlocksCompressed,
    BytesReady,
    BytesCompressed,
    Damaged,
}

impl Store {
    /// Opens or creates a store; nothing but a store may be in that folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let blocks = folder.join(BLOCKS).join(crate::gzip::ENCODER);
        for folder in [folder.join(LAYERS), folder.join(INCOMING), blocks.clone()] {
            fs::create_dir_all(folder)?;
        }
        let own = tempfile::tempfile_in(folder)?.metadata()?;
        let (folder, opened, owner) = (folder.to_owned(), own.modified()?, own.uid());
        let (counts, trouble) = (Default::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { folder, blocks, opened, owner, counts, trouble })))
    }

    /// What was found and done so far.
    pub fn reuse(&self) -> Reuse {
        let count = |which: Count| self.0.counts[which as usize].load(Ordering::Relaxed);
        Reuse {
            layers_ready: count(Count::LayersReady),
            layers_unpacked: count(Count::LayersUnpacked),
            blocks_ready: count(Count::BlocksReady),
            blocks_compressed: count(Count::BlocksCompressed),
            bytes_ready: count(Count::BytesReady),
            bytes_compressed: count(Count::BytesCompressed),
            damaged: count(Count::Damaged),
        }
    }

    /// Why results of this build are not kept, if something is in the way; told once.
    pub fn take_trouble(&self) -> Option<io::Error> {
        self.trouble().take()
    }

    /// Keeps nothing more, for this reason; what is there is still used.
    pub fn keep_no_more(&self, why: io::Error) {
        *self.trouble() = Some(why);
    }

    fn trouble(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The unpacked archive of a layer, of at most `limit` bytes. Its digest was compared.
    pub(crate) fn layer(&self, diff_id: &Sha256Digest, limit: u64) -> Option<Section> {
        let path = self.layer_path(diff_id);
        let (file, length) = self.open_kept(&path, limit)?;
        let archive = Section::new(Arc::new(file), 0, length);
        if archive.digest().ok()? != *diff_id {
            self.drop_damaged(&path);
            return None;
        }
        self.count(Count::LayersReady, 1);
        Some(archive)
    }

    /// Keeps the unpacked archive of a layer, whose digests hold.
    pub(crate) fn keep_layer(&self, diff_id: &Sha256Digest, archive: &Section) {
        self.count(Count::LayersUnpacked, 1);
        self.keep(&self.layer_path(diff_id), |file| io::copy(&mut archive.clone(), file).map(drop));
    }

    /// The block with this content.
    pub(crate) fn block(&self, content: &Sha256Digest, length: usize) -> Option<Block> {
        let path = self.block_path(content);
        let (file, _) = self.open_kept(&path, MAX_BLOCK_FILE)?;
        let mut bytes = Vec::new();
        file.take(MAX_BLOCK_FILE).read_to_end(&mut bytes).ok()?;
        let Some(block) = Block::from_file(content, &bytes).filter(|block| block.length as usize == length)
        else {
            self.drop_damaged(&path);
            return None;
        };
        self.count(Count::BlocksReady, 1);
        self.count(Count::BytesReady, length as u64);
        Some(block)
    }

    /// Keeps a block that was compressed, where that is worth a file.
    pub(crate) fn keep_block(&self, content: &Sha256Digest, block: &Block) {
        self.count(Count::BlocksCompressed, 1);
        self.count(Count::BytesCompressed, block.length.into());
        if block.length >= WORTH_KEEPING {
            self.keep(&self.block_path(content), |file| file.write_all(&block.to_file(content)));
        }
    }

    fn layer_path(&self, diff_id: &Sha256Digest) -> PathBuf {
        self.0.folder.join(LAYERS).join(format!("{diff_id}.tar"))
    }

    fn block_path(&self, content: &Sha256Digest) -> PathBuf {
        let name = content.to_string();
        self.0.blocks.join(&name[..2]).join(&name[2..])
    }

    fn count(&self, which: Count, by: u64) {
        self.0.counts[which as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// Makes a file appear under its final name, whole. A store is no reason to fail: after the first error, a
    /// full disk for example, nothing more is kept.
    fn keep(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) {
        if self.trouble().is_none()
            && let Err(error) = self.write(path, write)
        {
            self.keep_no_more(error);
        }
    }

    fn write(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(self.0.folder.join(INCOMING))?;
        // Tells whoever clears up that this one is not left over.
        new.as_file().lock()?;
        write(new.as_file_mut())?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        new.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Opens a file that this user kept, and marks it as used in this build. One that is too long is passed over,
    /// and replaced by what is made instead of it; anything but a file is damage.
    fn open_kept(&self, path: &Path, limit: u64) -> Option<(File, u64)> {
        // Before opening: a named pipe would block, and what a link leads to is none of ours.
        let found = fs::symlink_metadata(path).ok()?;
        if !found.is_file() {
            self.drop_damaged(path);
            return None;
        }
        if found.len() > limit || found.uid() != self.0.owner {
            return None;
        }
        let file = File::open(path).ok()?;
        // Where that fails it is removed earlier.
        drop(file.set_modified(self.0.opened));
        Some((file, found.len()))
    }

    fn drop_damaged(&self, path: &Path) {
        self.count(Count::Damaged, 1);
        // Where it cannot be removed it is replaced, or found damaged again.
        drop(remove(path));
    }

    /// Removes what was not used for longest until no more than `limit` bytes are left, and what killed builds
    /// left. Builds that run at the same time keep what they have open.
    pub fn trim(&self, limit: u64) -> io::Result<()> {
        let lock = File::create(self.0.folder.join("lock"))?;
        if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            return Ok(());
        }
        let mut files = Vec::new();
        list(&self.0.folder.join(INCOMING), &mut files)?;
        for Kept { path, is_file, .. } in files.drain(..) {
            if !is_file || File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                remove(&path)?;
            }
        }
        for folder in [LAYERS, BLOCKS] {
            list(&self.0.folder.join(folder), &mut files)?;
        }
        files.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        let mut total = 0u64;
        for Kept { path, size, .. } in files {
            total = total.saturating_add(size);
            if total > limit {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

impl Block {
    /// Digest, CRC-32 and length of the content, compressed bytes; the digest is of all that follows it, behind
    /// the digest of the content.
    fn to_file(&self, content: &Sha256Digest) -> Vec<u8> {
        let mut file = vec![0; DIGEST];
        file.extend_from_slice(&self.crc.to_le_bytes());
        file.extend_from_slice(&self.length.to_le_bytes());
        file.extend_from_slice(&self.bytes);
        let seal = Self::seal(content, &file[DIGEST..]);
        file[..DIGEST].copy_from_slice(seal.as_bytes());
        file
    }

    fn from_file(content: &Sha256Digest, file: &[u8]) -> Option<Self> {
        let (seal, rest) = file.split_first_chunk::<DIGEST>()?;
        let (crc, bytes) = rest.split_first_chunk::<4>()?;
        let (length, bytes) = bytes.split_first_chunk::<4>()?;
        (Self::seal(content, rest).as_bytes() == seal).then(|| Self {
            bytes: bytes.to_vec(),
            crc: u32::from_le_bytes(*crc),
            length: u32::from_le_bytes(*length),
        })
    }

    fn seal(content: &Sha256Digest, rest: &[u8]) -> Sha256Digest {
        use sha2::Digest as _;
        let hasher = sha2::Sha256::new().chain_update(content.as_bytes()).chain_update(rest);
        Sha256Digest::new(hasher.finalize().into())
    }
}

struct Kept {
    path: PathBuf,
    size: u64,
    used: SystemTime,
    is_file: bool,
}

/// Every file below a folder. What another build removes meanwhile is passed over.
fn list(folder: &Path, files: &mut Vec<Kept>) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                open.push(entry.path());
            } else {
                let (size, used, is_file) = (found.len(), found.modified()?, found.is_file());
                files.push(Kept { path: entry.path(), size, used, is_file });
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const LAYERS: &str = "layers";
const BLOCKS: &str = "blocks";
const INCOMING: &str = "incoming";
const DIGEST: usize = 32;
/// Compressing less takes no longer than finding it.
const WORTH_KEEPING: u32 = 32 * 1024;
/// More than the largest block takes, compressed or not.
const MAX_BLOCK_FILE: u64 = 2 << 20;

#[cfg(test)]
mod tests;
