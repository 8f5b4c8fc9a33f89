//! Where an image's files come from: a folder or a tar archive.

use super::error::OciError;
use crate::archive::{MemberKind, Reader, TarError};
use crate::cpio::display;
use crate::limits::Limits;
use crate::section::Section;
use caution_measure::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The only files of an image that are ever opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlobName {
    /// `oci-layout`.
    Layout,
    /// `index.json`.
    Index,
    /// `manifest.json` of `docker save`.
    DockerManifest,
    /// `blobs/sha256/…`.
    Blob(Sha256Digest),
    /// A file of an old `docker save` archive; looked up in the archive's list, never in a file system.
    Member(String),
}

impl BlobName {
    fn path(&self) -> String {
        match self {
            Self::Layout => "oci-layout".to_owned(),
            Self::Index => "index.json".to_owned(),
            Self::DockerManifest => "manifest.json".to_owned(),
            Self::Blob(digest) => format!("blobs/sha256/{digest}"),
            Self::Member(path) => path.clone(),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Source {
    Folder(PathBuf),
    Archive { path: PathBuf, members: HashMap<Vec<u8>, Range> },
}

/// Where a file lies inside an archive; a link has the name of its target instead.
#[derive(Debug, Clone)]
pub(crate) enum Range {
    Content { offset: u64, size: u64 },
    Link(Vec<u8>),
    Other,
}

/// A file of the image, opened at its beginning.
pub(crate) struct Blob {
    content: Section,
    /// The image's file that holds it.
    path: PathBuf,
}

impl Source {
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, OciError> {
        let failed = |source| OciError::Io { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(OciError::NotAFile { name: path.display().to_string() });
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).map_err(failed)?;
        if let Some(format) = compression_of(&start) {
            return Err(OciError::CompressedArchive { path: path.to_owned(), format });
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let members = members(file, limits)?;
        Ok(Self::Archive { path: path.to_owned(), members })
    }

    pub(crate) fn has(&self, name: &BlobName) -> Result<bool, OciError> {
        match self.blob(name) {
            Ok(_) => Ok(true),
            Err(OciError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn blob(&self, name: &BlobName) -> Result<Blob, OciError> {
        let inner = name.path();
        match self {
            Self::Folder(folder) => {
                let path = folder.join(&inner);
                let failed = |source: io::Error| match source.kind() {
                    io::ErrorKind::NotFound => OciError::Missing { name: inner.clone() },
                    _ => OciError::Io { path: path.clone(), source },
                };
                // Before opening: a named pipe would block, a device would do worse.
                let metadata = std::fs::metadata(&path).map_err(failed)?;
                if !metadata.is_file() {
                    return Err(OciError::NotAFile { name: inner });
                }
                let file = File::open(&path).map_err(failed)?;
                Ok(Blob { content: Section::new(Arc::new(file), 0, metadata.len()), path })
            }
            Self::Archive { path, members } => {
                let mut range = members.get(inner.as_bytes());
                // Old archives store a layer once and link to it from other folders: `../<id>/layer.tar`.
                if let Some(Range::Link(target)) = range {
                    range = members.get(target);
                }
                let (offset, size) = match range {
                    Some(Range::Content { offset, size }) => (*offset, *size),
                    Some(_) => return Err(OciError::NotAFile { name: inner }),
                    None => return Err(OciError::Missing { name: inner }),
                };
                let failed = |source| OciError::Io { path: path.clone(), source };
                let file = File::open(path).map_err(failed)?;
                Ok(Blob { content: Section::new(Arc::new(file), offset, size), path: path.clone() })
            }
        }
    }
}

impl Blob {
    pub(crate) fn size(&self) -> u64 {
        self.content.length()
    }

    /// The same file, checked against a digest and a length when it is finished.
    pub(crate) fn verified(self, digest: Sha256Digest, announced: u64) -> Result<VerifiedBlob, OciError> {
        let found = self.size();
        if found != announced {
            return Err(OciError::BlobSize { digest, announced, found });
        }
        Ok(VerifiedBlob { blob: self, digest, sha256: Sha256::new() })
    }

    /// The same file, to be read where it lies.
    pub(crate) fn section(self) -> Section {
        self.content
    }

    /// Reads all of a JSON document.
    pub(crate) fn json(mut self, document: &'static str, limits: &Limits) -> Result<Vec<u8>, OciError> {
        check_length(document, self.size(), limits)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|source| OciError::Io { path: self.path, source })?;
        Ok(bytes)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

/// A blob whose digest is computed as it is read.
pub(crate) struct VerifiedBlob {
    blob: Blob,
    digest: Sha256Digest,
    sha256: Sha256,
}

impl VerifiedBlob {
    /// Reads what is left and compares the digest.
    pub(crate) fn finish(mut self) -> Result<(), OciError> {
        io::copy(&mut self, &mut io::sink()).map_err(OciError::from_read)?;
        let found = Sha256Digest::new(self.sha256.finalize().into());
        if found != self.digest {
            return Err(OciError::BlobDigest { expected: self.digest, found });
        }
        Ok(())
    }
}

impl Read for VerifiedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.blob.read(buffer)?;
        self.sha256.update(&buffer[..n]);
        Ok(n)
    }
}

/// Refuses a JSON document that is longer than the limit.
pub(super) fn check_length(document: &'static str, found: u64, limits: &Limits) -> Result<(), OciError> {
    let limit = limits.json_bytes;
    if found > limit { Err(OciError::JsonTooLarge { document, found, limit }) } else { Ok(()) }
}

/// The name of the compression a file begins like.
pub(crate) fn compression_of(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("zstd"),
        _ => None,
    }
}

/// Where each file of an archive lies.
fn members(file: File, limits: &Limits) -> Result<HashMap<Vec<u8>, Range>, OciError> {
    let mut reader = Reader::seeking(file, limits.extension_bytes);
    let mut members = HashMap::new();
    let mut count = 0;
    while let Some(member) = reader.next_member().map_err(OciError::Archive)? {
        count += 1;
        if count > limits.archive_members {
            return Err(OciError::TooManyMembers { limit: limits.archive_members });
        }
        let path = member.path.strip_prefix(b"./").unwrap_or(&member.path).to_vec();
        let range = match member.kind {
            MemberKind::File { size, holes: None } => Range::Content { offset: member.data_offset, size },
            MemberKind::HardLink(target) => Range::Link(target),
            MemberKind::Symlink(target) => match target.strip_prefix(b"../") {
                Some(target) => Range::Link(target.to_vec()),
                None => Range::Other,
            },
            MemberKind::Directory => continue,
            _ => Range::Other,
        };
        if members.insert(path.clone(), range).is_some() {
            return Err(OciError::Twice { name: display(&path) });
        }
    }
    // Content that was jumped over is there: the reader checks positions against the file's end.
    match reader.finish() {
        Ok(_) | Err(TarError::TrailingData { .. }) => Ok(members),
        Err(error) => Err(OciError::Archive(error)),
    }
}
