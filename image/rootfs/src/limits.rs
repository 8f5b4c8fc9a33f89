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

/// Why a limit cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Not `NAME=NUMBER`.
    #[error("expected NAME=NUMBER, as in `entries=2000000` or `total_bytes=32GiB`")]
    Form,
    /// No limit of this name.
    #[error("`{0}` is no limit; there are {list}", list = NAMES.join(", "))]
    Unknown(String),
    /// Not a number, or more than the format can hold.
    #[error("`{value}` is no number from 1 to {most}, with KiB, MiB or GiB behind it where wanted")]
    Value {
        /// What was given.
        value: String,
        /// The largest that makes sense.
        most: u64,
    },
}

/// The limits, as errors name them.
const NAMES: [&str; 12] = [
    "entries",
    "file_bytes",
    "total_bytes",
    "uncompressed_bytes",
    "path_bytes",
    "name_bytes",
    "metadata_bytes",
    "link_depth",
    "layers",
    "json_bytes",
    "extension_bytes",
    "archive_members",
];

impl Limits {
    /// Sets one limit, as users write it: `entries=2000000`, `total_bytes=32GiB`.
    ///
    /// # Errors
    /// A [`LimitError`]; what a kernel or the archive format cannot hold cannot be allowed.
    pub fn set(&mut self, setting: &str) -> Result<(), LimitError> {
        let (name, text) = setting.split_once('=').ok_or(LimitError::Form)?;
        let length = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            // Numbers of the tree's nodes are 32 bits long.
            "entries" => self.entries = number(text, u32::MAX.into())?,
            "file_bytes" => self.file_bytes = number(text, u32::MAX.into())?,
            "total_bytes" => self.total_bytes = number(text, i64::MAX.unsigned_abs())?,
            "uncompressed_bytes" => self.uncompressed_bytes = number(text, i64::MAX.unsigned_abs())?,
            "path_bytes" => self.path_bytes = length(number(text, 4088)?),
            "name_bytes" => self.name_bytes = length(number(text, 255)?),
            "metadata_bytes" => self.metadata_bytes = number(text, i64::MAX.unsigned_abs())?,
            "link_depth" => self.link_depth = u32::try_from(number(text, 1000)?).unwrap_or(1000),
            "layers" => self.layers = length(number(text, 1 << 20)?),
            "json_bytes" => self.json_bytes = number(text, 1 << 30)?,
            "extension_bytes" => self.extension_bytes = number(text, 1 << 30)?,
            "archive_members" => self.archive_members = number(text, 1 << 20)?,
            _ => return Err(LimitError::Unknown(name.to_owned())),
        }
        Ok(())
    }
}

fn number(text: &str, most: u64) -> Result<u64, LimitError> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
    let parsed = units.iter().find_map(|(unit, factor): &(&str, u64)| {
        text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor)
    });
    match parsed {
        Some(value) if (1..=most).contains(&value) => Ok(value),
        _ => Err(LimitError::Value { value: text.to_owned(), most }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_by_the_names_that_errors_use() {
        let mut limits = Limits::default();
        for name in NAMES {
            limits.set(&format!("{name}=7")).unwrap();
        }
        let Limits { entries, file_bytes, total_bytes, uncompressed_bytes, .. } = limits;
        let Limits { path_bytes, name_bytes, metadata_bytes, link_depth, .. } = limits;
        let Limits { layers, json_bytes, extension_bytes, archive_members, .. } = limits;
        let numbers = [entries, file_bytes, total_bytes, uncompressed_bytes, metadata_bytes, json_bytes];
        assert_eq!((numbers, extension_bytes, archive_members), ([7; 6], 7, 7));
        assert_eq!((path_bytes, name_bytes, layers, link_depth), (7, 7, 7, 7));
        limits.set("total_bytes=32GiB").unwrap();
        assert_eq!(limits.total_bytes, 32 << 30);
    }

    #[test]
    fn what_cannot_be_a_limit_is_refused() {
        let refused = |setting: &str| Limits::default().set(setting).unwrap_err();
        assert_eq!(refused("entries"), LimitError::Form);
        assert!(refused("entrys=1").to_string().contains("there are entries, file_bytes"));
        for setting in
            ["entries=", "entries=0", "entries=-1", "entries=many", "path_bytes=4089", "layers=99999999GiB"]
        {
            assert!(matches!(refused(setting), LimitError::Value { .. }), "{setting}");
        }
    }
}
