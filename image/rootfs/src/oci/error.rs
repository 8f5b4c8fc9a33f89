//! What can be wrong with an image's files.

use caution_measure::Sha256Digest;
use std::io;
use std::path::PathBuf;

/// Why an image cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Neither an OCI layout nor a `docker save` archive.
    #[error("{path} is no container image: it holds neither `index.json` nor `manifest.json`")]
    NotAnImage {
        /// What was opened.
        path: PathBuf,
    },
    /// The whole archive is compressed.
    #[error("{path} is compressed with {format}; only the layers inside may be compressed")]
    CompressedArchive {
        /// What was opened.
        path: PathBuf,
        /// `gzip` or `zstd`.
        format: &'static str,
    },
    /// A file of the image is not there.
    #[error("the image lacks the file `{name}`")]
    Missing {
        /// Its name inside the image.
        name: String,
    },
    /// A name inside the image that is no regular file.
    #[error("`{name}` inside the image is no regular file")]
    NotAFile {
        /// Its name inside the image.
        name: String,
    },
    /// A blob's content is not what its digest says.
    #[error("a blob of the image is damaged: expected sha256:{expected}, found sha256:{found}")]
    BlobDigest {
        /// The digest by which it is named.
        expected: Sha256Digest,
        /// The digest of its content.
        found: Sha256Digest,
    },
    /// A blob is longer or shorter than the manifest says.
    #[error("blob sha256:{digest} has {found} bytes, the manifest says {announced}")]
    BlobSize {
        /// The blob.
        digest: Sha256Digest,
        /// Length in the manifest.
        announced: u64,
        /// Length of the file.
        found: u64,
    },
    /// A digest in another form than `sha256:<64 hex digits>`.
    #[error("`{found}` is no digest this program can check (sha256: and 64 hex digits)")]
    Digest {
        /// The text.
        found: String,
    },
    /// A JSON document is malformed.
    #[error("the image's {document} is malformed")]
    Json {
        /// Which document.
        document: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A JSON document is larger than the limit.
    #[error("the image's {document} has {found} bytes, the limit is {limit} (json_bytes)")]
    JsonTooLarge {
        /// Which document.
        document: &'static str,
        /// Its length.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A version of a format that is not read.
    #[error("the image's {document} has version {found}, this program reads {expected}")]
    Version {
        /// Which document.
        document: &'static str,
        /// The version.
        found: String,
        /// The version read.
        expected: &'static str,
    },
    /// A media type nobody here can read.
    #[error("the media type `{found}` of the image's {what} is not supported")]
    MediaType {
        /// Which part.
        what: &'static str,
        /// Its type.
        found: String,
    },
    /// No image for the platform enclaves have.
    #[error("the image is not for linux/amd64; it is for {found}")]
    Platform {
        /// The platforms there are.
        found: String,
    },
    /// Several images and no way to tell which one is meant.
    #[error("the index holds {} images for linux/amd64 ({}); keep one of them", digests.len(), list(digests))]
    Ambiguous {
        /// Manifests that could be meant.
        digests: Vec<Sha256Digest>,
    },
    /// An index without any image.
    #[error("the image's index holds no image")]
    Empty,
    /// Indexes that name indexes that name indexes.
    #[error("the image's indexes are nested more than {limit} deep")]
    IndexDepth {
        /// The most that are followed.
        limit: usize,
    },
    /// More layers than the limit.
    #[error("the image has {found} layers, the limit is {limit} (layers)")]
    TooManyLayers {
        /// Layers there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Manifest and configuration disagree about the layers.
    #[error("the manifest has {layers} layers, the configuration names {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },
    /// A layer's uncompressed content is not what the configuration says.
    #[error("the layer's uncompressed digest is sha256:{found}, the configuration says sha256:{expected}")]
    DiffId {
        /// Digest in the configuration.
        expected: Sha256Digest,
        /// Digest of the content.
        found: Sha256Digest,
    },
    /// A layer's compressed stream is broken.
    #[error("the layer's {format} stream is broken")]
    Compression {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// What is wrong.
        source: io::Error,
    },
    /// The layers unpack to more than the limit.
    #[error("the image's layers unpack to more than {limit} bytes (uncompressed_bytes)")]
    UncompressedTooLarge {
        /// What was left of the limit for this layer.
        limit: u64,
    },
    /// More files than any image archive has.
    #[error("the image archive has more than {limit} files (archive_members)")]
    TooManyMembers {
        /// The limit.
        limit: u64,
    },
    /// Two files of one name: readers would disagree about which one counts.
    #[error("the image archive holds `{name}` twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The image archive is broken.
    #[error("the image archive is broken")]
    Archive(#[source] crate::archive::TarError),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A blob cannot be read.
    #[error("cannot read a blob of the image")]
    Read(#[source] io::Error),
}

impl OciError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        let text = match self {
            Self::CompressedArchive { format: "gzip", path } => format!("gunzip {}", path.display()),
            Self::CompressedArchive { format: "zstd", path } => format!("unzstd {}", path.display()),
            Self::NotAnImage { .. } => {
                "write one with `docker save -o FILE IMAGE` or `buildah push IMAGE oci-archive:FILE`".into()
            }
            Self::Platform { .. } => {
                "build it for linux/amd64 (`--platform linux/amd64`), on base images that are".into()
            }
            Self::TooManyLayers { .. } | Self::UncompressedTooLarge { .. } => SMALLER.into(),
            Self::BlobDigest { .. } | Self::BlobSize { .. } | Self::DiffId { .. } => {
                "fetch or make the image again; where an engine made it here: caution apps build --no-cache"
                    .into()
            }
            _ => return None,
        };
        Some(text)
    }

    /// The error a reader of this module hid in an I/O error, or the I/O error itself.
    pub(crate) fn from_read(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Read)
    }

    /// Hides this error in an I/O error, for passing through `Read`.
    pub(crate) fn into_read(self) -> io::Error {
        io::Error::other(self)
    }
}

/// What to do about an image that is too large.
pub(crate) const SMALLER: &str = "copy only what the application needs into a last stage of the Containerfile, `FROM scratch`; or allow more: \
     --limit NAME=NUMBER, with the name in parentheses";

fn list(digests: &[Sha256Digest]) -> String {
    digests.iter().map(|digest| format!("sha256:{digest}")).collect::<Vec<_>>().join(", ")
}
