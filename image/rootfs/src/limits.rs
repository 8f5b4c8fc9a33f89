//! How much is read from images that nobody vouches for.

/// Limits on what an image may hold. Each refusal names the limit; every value may be changed by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Archive entries over all layers, and entries of the merged tree: 1,000,000.
    pub entries: u64,
    /// Content of one file, in bytes: 4 GiB − 1, the most a newc archive can say.
    pub file_bytes: u64,
    /// Content of all files over all layers, in bytes: 16 GiB.
    pub total_bytes: u64,
    /// Uncompressed bytes of all layers together, whatever they hold: 20 GiB.
    pub uncompressed_bytes: u64,
    /// A path inside the image, in bytes: 4088, `PATH_MAX` of Linux less its final NUL and `rootfs/`.
    pub path_bytes: usize,
    /// A file name, in bytes: 255, `NAME_MAX` of Linux.
    pub name_bytes: usize,
    /// Names, link targets and attribute names over all layers, in bytes: 256 MiB.
    pub metadata_bytes: u64,
    /// Symbolic links followed for one path: 40, as Linux does.
    pub link_depth: u32,
    /// Layers of one image: 128.
    pub layers: usize,
    /// A JSON document (index, manifest, configuration), in bytes: 4 MiB.
    pub json_bytes: u64,
    /// Extended attributes and other records before one entry, in bytes: 1 MiB.
    pub extension_bytes: u64,
    /// Files in an image archive: 4096.
    pub archive_members: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            file_bytes: u64::from(u32::MAX),
            total_bytes: 16 << 30,
            uncompressed_bytes: 20 << 30,
            path_bytes: 4088,
            name_bytes: 255,
            metadata_bytes: 256 << 20,
            link_depth: 40,
            layers: 128,
            json_bytes: 4 << 20,
            extension_bytes: 1 << 20,
            archive_members: 4096,
        }
    }
}
