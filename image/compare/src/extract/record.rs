//! `<folder>.meta.json`: what a folder does not show as the ramdisk has it.

use super::below::Made;
use super::{ExtractError, ExtractedLayer};
use crate::entry::Entry;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// The file while it is written: one entry a line, since there may be a million of them.
pub(super) struct Record {
    out: BufWriter<File>,
    path: PathBuf,
    /// Folder of the layer at hand.
    layer: String,
    differing: u64,
    left_out: u64,
}

impl Record {
    pub(super) fn create(path: &Path) -> Result<Self, ExtractError> {
        let failed = |source| ExtractError::Write { path: path.to_owned(), source };
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        write!(out, "{{\"version\":1,\n\"differing\":[").map_err(failed)?;
        Ok(Self { out, path: path.to_owned(), layer: String::new(), differing: 0, left_out: 0 })
    }

    pub(super) fn begin_layer(&mut self, folder: &str) {
        folder.clone_into(&mut self.layer);
    }

    /// Writes an entry down, unless it was made as it is stored.
    pub(super) fn add(&mut self, entry: &Entry, made: &Made) -> Result<(), ExtractError> {
        if made.is_faithful() {
            return Ok(());
        }
        let comma = if self.differing > 0 { "," } else { "" };
        self.differing += 1;
        self.left_out += u64::from(made.why.is_some());
        let line = described(entry, made, &self.layer);
        write!(self.out, "{comma}\n{line}").map_err(|source| self.failed(source))
    }

    /// Ends the file; gives how many entries differ, and how many of these were not made.
    pub(super) fn finish(
        mut self,
        file: &Path,
        layers: &[ExtractedLayer],
        folder: &Path,
    ) -> Result<(u64, u64), ExtractError> {
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let below = layer.folder.strip_prefix(folder).unwrap_or(&layer.folder);
                json!({ "name": layer.name.to_string(), "folder": below.to_string_lossy(), "entries": layer.entries })
            })
            .collect();
        let (file, layers) = (json!(file.to_string_lossy()), json!(layers));
        let written = write!(self.out, "\n],\n\"layers\":{layers},\n\"file\":{file}}}\n");
        written.and_then(|()| self.out.flush()).map_err(|source| self.failed(source))?;
        Ok((self.differing, self.left_out))
    }

    fn failed(&self, source: std::io::Error) -> ExtractError {
        ExtractError::Write { path: self.path.clone(), source }
    }
}

/// An entry as it is stored, and what it is instead.
fn described(entry: &Entry, made: &Made, layer: &str) -> Value {
    let mut line = entry.to_json();
    if !layer.is_empty() {
        line.insert("layer".into(), layer.into());
    }
    let (key, value) = match made.why {
        Some(why) => ("not_made", why.into()),
        None => ("not_set", json!(made.not_set)),
    };
    line.insert(key.into(), value);
    Value::Object(line)
}
