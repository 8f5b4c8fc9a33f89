//! `cargo xtask vectors`: the vectors of `specs/vectors/attest` and `specs/vectors/steve`.
//!
//! Of attestation documents:
//! Every key follows from its name and every signature from key and message (RFC 6979), so that two
//! runs write the same bytes. What a vector expects is written down here by hand, from
//! `specs/attestation.md`; no verifier is asked.

mod certificates;
mod honest;
mod malformed;
mod refused;
pub(crate) mod scene;
mod steve;
mod steve_v2;

use data_encoding::{BASE64, HEXLOWER};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the vectors could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum VectorsError {
    /// A file or folder cannot be read or written.
    #[error("The vectors cannot be written at {}.", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes every vector below the workspace `root` and removes files that no longer belong there.
///
/// # Errors
/// [`VectorsError::File`] when the folder cannot be written.
pub(crate) fn run(root: &Path) -> Result<(), VectorsError> {
    for (folder, files) in families() {
        write(&root.join(folder), &files)?;
        println!("vectors: {} files in {folder}", files.len());
    }
    Ok(())
}

/// Each folder with every file by its name.
fn families() -> [(&'static str, BTreeMap<String, String>); 2] {
    [
        ("specs/vectors/attest", documents()),
        ("specs/vectors/steve", steve::files().chain(steve_v2::files()).collect()),
    ]
}

fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), VectorsError> {
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let known = path.file_name().and_then(|name| name.to_str()).is_some_and(|n| files.contains_key(n));
        if !known && path.extension().is_some_and(|extension| extension == "json") {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(&path, text).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// One document, one question, one answer.
struct Vector {
    name: &'static str,
    about: &'static str,
    document: Vec<u8>,
    root: Vec<u8>,
    /// Milliseconds since 1970; of an archived document its own time when absent.
    at: Option<u64>,
    nonce: Option<Vec<u8>>,
    /// A live question has one, and a nonce.
    max_age_ms: Option<u64>,
    allow_debug: bool,
    profiles: Vec<[[u8; 48]; 3]>,
    registers: Vec<(u8, [u8; 48])>,
    expect: &'static str,
}

impl Vector {
    /// The plainest question about a document: is it authentic at noon, under the vectors' root?
    fn new(name: &'static str, about: &'static str, expect: &'static str, document: Vec<u8>) -> Self {
        Self {
            name,
            about,
            document,
            root: scene::trusted_root(),
            at: Some(scene::NOON_MS),
            nonce: None,
            max_age_ms: None,
            allow_debug: false,
            profiles: Vec::new(),
            registers: Vec::new(),
            expect,
        }
    }

    fn to_json(&self) -> String {
        let file = File {
            name: self.name,
            about: self.about,
            expect: self.expect,
            call: if self.max_age_ms.is_some() { "live" } else { "archived" },
            at: self.at,
            nonce: self.nonce.as_deref().map(|bytes| HEXLOWER.encode(bytes)),
            max_age_ms: self.max_age_ms,
            allow_debug: self.allow_debug,
            profiles: self
                .profiles
                .iter()
                .map(|pcrs| {
                    ["pcr0", "pcr1", "pcr2"].into_iter().zip(pcrs.map(|pcr| HEXLOWER.encode(&pcr))).collect()
                })
                .collect(),
            registers: self.registers.iter().map(|(n, pcr)| (*n, HEXLOWER.encode(pcr))).collect(),
            root: BASE64.encode(&self.root),
            document: BASE64.encode(&self.document),
        };
        serde_json::to_string_pretty(&file).expect("text and numbers have a JSON form") + "\n"
    }
}

/// A vector's file; described in `specs/attestation.md`.
#[derive(Serialize)]
struct File {
    name: &'static str,
    about: &'static str,
    expect: &'static str,
    call: &'static str,
    at: Option<u64>,
    nonce: Option<String>,
    max_age_ms: Option<u64>,
    allow_debug: bool,
    profiles: Vec<BTreeMap<&'static str, String>>,
    registers: BTreeMap<u8, String>,
    root: String,
    document: String,
}

/// The attestation documents.
fn documents() -> BTreeMap<String, String> {
    let scene = scene::Scene::new();
    let families = [
        honest::vectors(&scene),
        malformed::vectors(&scene),
        certificates::vectors(&scene),
        refused::vectors(&scene),
    ];
    let mut files = BTreeMap::new();
    for vector in families.iter().flatten() {
        let earlier = files.insert(format!("{}.json", vector.name), vector.to_json());
        assert!(earlier.is_none(), "two vectors are called {}", vector.name);
    }
    files
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> VectorsError + use<'_> {
    move |source| VectorsError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_vectors_are_those_that_are_generated() {
        for (folder, generated) in families() {
            let folder = crate::workspace_root().join(folder);
            for (name, text) in &generated {
                let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
                assert!(committed == *text, "{name} differs: run `cargo xtask vectors`");
            }
            assert_eq!(fs::read_dir(folder).unwrap().count(), generated.len());
        }
    }
}
