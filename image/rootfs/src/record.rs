//! Which step of a container's build wrote each file: a note that a build leaves beside an enclave image, which has
//! no layers any more. Its form is in `specs/rootfs.md` §9.

use crate::tree::Tree;
use caution_measure::Sha256Digest;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// What left a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerStep {
    /// The instruction as its Containerfile has it, or what the engine says did it.
    pub instruction: String,
    /// Where the instruction stands; `None` where that is not certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<StepPlace>,
}

/// A line of a Containerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepPlace {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// Whether it is the `FROM` of the base image, and the layer one of that.
    pub base_image: bool,
}

/// The steps, and the layer of each path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    steps: Vec<LayerStep>,
    layers: HashMap<String, usize>,
}

/// The file, unpacked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    image: Sha256Digest,
    steps: Vec<LayerStep>,
    /// For each step the paths its layer wrote last, without a slash in front.
    paths: Vec<Vec<String>>,
}

impl LayerRecord {
    /// Where the record of an enclave image lies.
    pub fn path(eif: &Path) -> PathBuf {
        eif.with_extension("layers.json.gz")
    }

    /// The record of a tree that became the enclave image with this digest; `steps` are those of its layers, none
    /// where they are not known. Paths that are no UTF-8 are left out, and all where they are more than is read.
    pub fn to_file(image: Sha256Digest, steps: &[LayerStep], tree: &Tree) -> io::Result<Vec<u8>> {
        let mut paths = vec![Vec::new(); steps.len()];
        for (path, layer) in tree.layers() {
            if let (Some(paths), Ok(path)) = (paths.get_mut(layer - 1), String::from_utf8(path)) {
                paths.push(path);
            }
        }
        let document = |steps: &[LayerStep], paths| {
            serde_json::to_vec(&Document { version: VERSION, image, steps: steps.to_vec(), paths })
        };
        let mut json = document(steps, paths)?;
        if json.len() as u64 > MOST_BYTES {
            json = document(&[], Vec::new())?;
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&json)?;
        packed.finish()
    }

    /// The record beside an enclave image with this digest. `None` where there is none, where it is of another image,
    /// or cannot be read: without it less can be said, and nothing else.
    pub fn beside(eif: &Path, image: &Sha256Digest) -> Option<Self> {
        let path = Self::path(eif);
        // Before opening: a named pipe would block.
        fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let mut json = Vec::new();
        GzDecoder::new(File::open(&path).ok()?).take(MOST_BYTES + 1).read_to_end(&mut json).ok()?;
        Self::parse(&json).filter(|(of, _)| of == image).map(|(_, record)| record)
    }

    fn parse(json: &[u8]) -> Option<(Sha256Digest, Self)> {
        if json.len() as u64 > MOST_BYTES {
            return None;
        }
        let Document { version, image, steps, paths } = serde_json::from_slice(json).ok()?;
        let is_long = |step: &LayerStep| {
            let file = step.place.as_ref().map_or(0, |place| place.file.len());
            step.instruction.len().max(file) > MOST_TEXT
        };
        if version != VERSION || paths.len() != steps.len() || steps.iter().any(is_long) {
            return None;
        }
        let of_layer =
            |(layer, paths): (usize, Vec<String>)| paths.into_iter().map(move |path| (path, layer));
        let layers = paths.into_iter().enumerate().flat_map(of_layer).collect();
        Some((image, Self { steps, layers }))
    }

    /// The layer that wrote this path, relative to the root, counted from 1; and what left that.
    pub fn step_of(&self, path: &[u8]) -> Option<(usize, &LayerStep)> {
        let layer = *self.layers.get(str::from_utf8(path).ok()?)?;
        Some((layer + 1, self.steps.get(layer)?))
    }
}

const VERSION: u32 = 1;
/// The longest record, unpacked, in bytes: that of half a million paths.
const MOST_BYTES: u64 = 64 << 20;
/// The longest instruction or name in it, in bytes.
const MOST_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, merge_archives};

    fn step(instruction: &str) -> LayerStep {
        let place = StepPlace { file: "Containerfile".into(), line: 7, base_image: false };
        LayerStep { instruction: instruction.into(), place: Some(place) }
    }

    fn tree() -> Tree {
        let archive = |names: &[&str]| {
            let mut tar = tar::Builder::new(Vec::new());
            for name in names {
                tar.append_data(&mut tar::Header::new_gnu(), name, &b""[..]).unwrap();
            }
            tar.into_inner().unwrap()
        };
        let (below, above) = (archive(&["etc/a", "etc/b"]), archive(&["etc/b", "c"]));
        merge_archives(&[&below, &above], &Limits::default(), &std::env::temp_dir()).unwrap()
    }

    #[test]
    fn each_path_has_the_step_that_wrote_it_last() {
        let folder = tempfile::tempdir().unwrap();
        let (eif, image) = (folder.path().join("enclave.eif"), Sha256Digest::of(b"image"));
        let file = LayerRecord::to_file(image, &[step("FROM a"), step("RUN b")], &tree()).unwrap();
        fs::write(folder.path().join("enclave.layers.json.gz"), file).unwrap();
        let record = LayerRecord::beside(&eif, &image).unwrap();
        let of =
            |path: &str| record.step_of(path.as_bytes()).map(|(layer, step)| (layer, &*step.instruction));
        assert_eq!(of("etc/a"), Some((1, "FROM a")));
        assert_eq!((of("etc/b"), of("c")), (Some((2, "RUN b")), Some((2, "RUN b"))));
        // Every layer names the folders above its files.
        assert_eq!((of("etc"), of("other")), (None, None));
        assert_eq!(LayerRecord::beside(&eif, &Sha256Digest::of(b"another")), None);
    }

    #[test]
    fn layers_without_known_steps_leave_no_paths() {
        let packed = LayerRecord::to_file(Sha256Digest::of(b"image"), &[], &tree()).unwrap();
        let mut json = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut json).unwrap();
        assert_eq!(LayerRecord::parse(&json).unwrap().1.layers, HashMap::new());
    }

    #[test]
    fn a_record_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (eif, image) = (folder.path().join("x.eif"), Sha256Digest::of(b"image"));
        let with = |bytes: &[u8]| {
            fs::write(LayerRecord::path(&eif), bytes).unwrap();
            LayerRecord::beside(&eif, &image)
        };
        let packed = |bytes: &[u8]| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(bytes).unwrap();
            packed.finish().unwrap()
        };
        let document = |version: u32, paths: &str| {
            packed(format!(r#"{{"version":{version},"image":"{image}","steps":[{{"instruction":"a"}}],"paths":{paths}}}"#).as_bytes())
        };
        assert_eq!(LayerRecord::beside(&eif, &image), None);
        assert!(with(&document(VERSION, r#"[["a"]]"#)).is_some());
        let long =
            LayerRecord::to_file(image, &[step(&"x".repeat(MOST_TEXT + 1)), step("b")], &tree()).unwrap();
        assert_eq!(with(&long), None);
        let bomb = vec![b' '; usize::try_from(MOST_BYTES).unwrap() + 1];
        for odd in [
            &b"no gzip"[..],
            &packed(b"no JSON"),
            &document(2, "[[]]"),
            &document(VERSION, "[]"),
            &packed(&bomb),
        ] {
            assert_eq!(with(odd), None);
        }
        fs::remove_file(LayerRecord::path(&eif)).unwrap();
        fs::create_dir(LayerRecord::path(&eif)).unwrap();
        assert_eq!(LayerRecord::beside(&eif, &image), None);
    }
}
