//! Writing canonical archives.

use super::{
    ARCHIVE_BLOCK, CpioError, Entry, EntryKind, HEADER_SIZE, MAGIC, OWN_BLOCKS, Output, PATH_MAX, TRAILER,
    display,
};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write as _};

/// Writes a canonical archive: sorted entries, inode numbers from 1 in order of appearance, no times.
pub struct Writer<W: Output> {
    out: W,
    written: u64,
    previous: Vec<u8>,
    directories: HashSet<Vec<u8>>,
    groups: HashMap<u64, Group>,
    inodes: u32,
    buffer: Vec<u8>,
}

/// A file with several names, while they come.
struct Group {
    inode: u32,
    /// The first name, with the values all others must repeat.
    first: Entry,
    seen: u32,
}

/// The numbers of a header that are not in the entry itself.
struct Numbers {
    inode: u32,
    links: u32,
    stored: u64,
    device: (u32, u32),
}

impl<W: Output> Writer<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            previous: Vec::new(),
            directories: HashSet::new(),
            groups: HashMap::new(),
            inodes: 0,
            buffer: Vec::new(),
        }
    }

    /// Appends an entry; `content` is read for files only, and must be exactly as long as the entry says.
    pub fn append(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), CpioError> {
        self.check_path(&entry.path)?;
        check_values(entry)?;
        match &entry.kind {
            EntryKind::File { size } => {
                let inode = self.next_inode();
                self.header(entry, &Numbers { inode, links: 1, stored: *size, device: (0, 0) })?;
                self.content(entry, *size, content)?;
            }
            EntryKind::HardLink { group, names, size } => {
                let (inode, is_last) = self.join_group(entry, *group, *names)?;
                // The kernel takes content with any of the names. GNU cpio and libarchive store it with the last.
                let stored = if is_last { *size } else { 0 };
                self.header(entry, &Numbers { inode, links: *names, stored, device: (0, 0) })?;
                if is_last {
                    self.content(entry, *size, content)?;
                }
            }
            EntryKind::Directory => {
                let inode = self.next_inode();
                self.header(entry, &Numbers { inode, links: 2, stored: 0, device: (0, 0) })?;
                self.directories.insert(entry.path.clone());
            }
            EntryKind::Symlink(target) => {
                let inode = self.next_inode();
                let size = target.len() as u64;
                self.header(entry, &Numbers { inode, links: 1, stored: size, device: (0, 0) })?;
                self.content(entry, size, &mut target.as_slice())?;
            }
            EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
                let inode = self.next_inode();
                self.header(entry, &Numbers { inode, links: 1, stored: 0, device: (*major, *minor) })?;
            }
            EntryKind::Fifo => {
                let inode = self.next_inode();
                self.header(entry, &Numbers { inode, links: 1, stored: 0, device: (0, 0) })?;
            }
        }
        self.previous.clone_from(&entry.path);
        Ok(())
    }

    /// Ends the archive, pads it to a multiple of 512 bytes and returns the output.
    pub fn finish(mut self) -> Result<W, CpioError> {
        if let Some(open) = self.groups.values().min_by_key(|group| group.inode) {
            return Err(CpioError::HardLink {
                path: display(&open.first.path),
                reason: "the archive ends before its last name",
            });
        }
        let trailer = Entry { path: TRAILER.to_vec(), kind: EntryKind::Fifo, mode: 0, uid: 0, gid: 0 };
        let numbers = Numbers { inode: 0, links: 1, stored: 0, device: (0, 0) };
        self.raw_header(&trailer, 0, &numbers)?;
        self.pad_to(ARCHIVE_BLOCK)?;
        self.out.flush().map_err(failed)?;
        Ok(self.out)
    }

    fn next_inode(&mut self) -> u32 {
        // Four billion entries would need 480 GB of headers; wrapping could only make names of one file.
        self.inodes = self.inodes.saturating_add(1);
        self.inodes
    }

    /// The inode of a name of `entry`'s file, and whether it is the last name.
    fn join_group(&mut self, entry: &Entry, number: u64, names: u32) -> Result<(u32, bool), CpioError> {
        let wrong = |reason| CpioError::HardLink { path: display(&entry.path), reason };
        if names < 2 {
            return Err(wrong("a file with one name is no hard link"));
        }
        if let Some(group) = self.groups.get_mut(&number) {
            let same = Entry { path: group.first.path.clone(), ..entry.clone() };
            if group.first != same {
                return Err(wrong("two names say different things about the file"));
            }
            group.seen += 1;
            let (inode, is_last) = (group.inode, group.seen == names);
            if is_last {
                self.groups.remove(&number);
            }
            return Ok((inode, is_last));
        }
        let inode = self.next_inode();
        self.groups.insert(number, Group { inode, first: entry.clone(), seen: 1 });
        Ok((inode, false))
    }

    fn check_path(&self, path: &[u8]) -> Result<(), CpioError> {
        let wrong = |reason| Err(CpioError::Path { path: display(path), reason });
        match path {
            [] => return wrong("it is empty"),
            [b'/', ..] => return wrong("it is absolute"),
            TRAILER => return wrong("this name ends an archive"),
            _ if path.contains(&0) => return wrong("it holds a NUL"),
            _ => {}
        }
        if path.split(|b| *b == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
            return wrong("it has an empty, `.` or `..` component");
        }
        if path <= self.previous.as_slice() {
            return Err(CpioError::Order { path: display(path), previous: display(&self.previous) });
        }
        if let Some(slash) = path.iter().rposition(|b| *b == b'/')
            && !self.directories.contains(&path[..slash])
        {
            return Err(CpioError::NoParent { path: display(path) });
        }
        Ok(())
    }

    fn header(&mut self, entry: &Entry, numbers: &Numbers) -> Result<(), CpioError> {
        self.raw_header(entry, entry.kind.type_bits() | entry.mode, numbers)
    }

    fn raw_header(&mut self, entry: &Entry, mode: u32, numbers: &Numbers) -> Result<(), CpioError> {
        let size = u32::try_from(numbers.stored)
            .map_err(|_| too_large(entry, "its length", numbers.stored, u32::MAX))?;
        let name_size = u32::try_from(entry.path.len() + 1)
            .map_err(|_| too_large(entry, "its path's length", entry.path.len() as u64, PATH_MAX_U32))?;
        let mut header = Vec::with_capacity(HEADER_SIZE + entry.path.len() + 1);
        header.extend_from_slice(MAGIC);
        // ino, mode, uid, gid, nlink, mtime, filesize, dev ×2, rdev ×2, namesize, check: buffer-format.rst
        let fields = [
            numbers.inode,
            mode,
            entry.uid,
            entry.gid,
            numbers.links,
            0,
            size,
            0,
            0,
            numbers.device.0,
            numbers.device.1,
            name_size,
            0,
        ];
        for field in fields {
            write!(header, "{field:08X}").map_err(failed)?;
        }
        header.extend_from_slice(&entry.path);
        header.push(0);
        self.put(&header)?;
        self.pad_to(4)
    }

    fn content(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), CpioError> {
        let wrong = || CpioError::ContentLength { path: display(&entry.path), size };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(COPY_BUFFER, 0);
        let has_own_blocks = size >= OWN_BLOCKS;
        if has_own_blocks {
            self.out.boundary().map_err(failed)?;
        }
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            match content.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(wrong()),
                Ok(n) => {
                    self.put(&buffer[..n])?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(CpioError::Io { doing: "read a file for", source }),
            }
        }
        if content
            .read(&mut buffer[..1])
            .map_err(|source| CpioError::Io { doing: "read a file for", source })?
            != 0
        {
            return Err(wrong());
        }
        self.buffer = buffer;
        if has_own_blocks {
            self.out.boundary().map_err(failed)?;
        }
        self.pad_to(4)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CpioError> {
        self.out.write_all(bytes).map_err(failed)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad_to(&mut self, multiple: u64) -> Result<(), CpioError> {
        const ZEROS: [u8; 512] = [0; 512];
        let padding = usize::try_from(self.written.next_multiple_of(multiple) - self.written).unwrap_or(0);
        self.put(&ZEROS[..padding])
    }
}

/// Refuses what the format has no room for, or the kernel would silently skip.
fn check_values(entry: &Entry) -> Result<(), CpioError> {
    if entry.path.len() >= PATH_MAX {
        return Err(too_large(entry, "its path's length", entry.path.len() as u64, PATH_MAX_U32 - 1));
    }
    if entry.mode > 0o7777 {
        return Err(too_large(entry, "its mode", entry.mode.into(), 0o7777));
    }
    match &entry.kind {
        EntryKind::File { size } | EntryKind::HardLink { size, .. } if *size > u32::MAX.into() => {
            Err(too_large(entry, "its length", *size, u32::MAX))
        }
        EntryKind::Symlink(target) if target.is_empty() || target.contains(&0) => Err(CpioError::Path {
            path: display(target),
            reason: "a symbolic link must lead somewhere, without NUL",
        }),
        EntryKind::Symlink(target) if target.len() >= PATH_MAX => {
            Err(too_large(entry, "its target's length", target.len() as u64, PATH_MAX_U32 - 1))
        }
        EntryKind::CharDevice { major, .. } | EntryKind::BlockDevice { major, .. } if *major >= 1 << 12 => {
            Err(too_large(entry, "its major device number", (*major).into(), (1 << 12) - 1))
        }
        EntryKind::CharDevice { minor, .. } | EntryKind::BlockDevice { minor, .. } if *minor >= 1 << 20 => {
            Err(too_large(entry, "its minor device number", (*minor).into(), (1 << 20) - 1))
        }
        _ => Ok(()),
    }
}

fn too_large(entry: &Entry, field: &'static str, found: u64, limit: u32) -> CpioError {
    CpioError::TooLarge { path: display(&entry.path), field, found, limit: limit.into() }
}

fn failed(source: io::Error) -> CpioError {
    CpioError::Io { doing: "write", source }
}

const PATH_MAX_U32: u32 = 4096;
const COPY_BUFFER: usize = 256 * 1024;
