//! Containerfiles to begin with: the documented shape on StageX images, one for each language.

use super::registry::Registry;
use crate::error::CliError;
use crate::files::read_limited;
use caution_build::CONTAINERFILE_NAMES;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// What the app is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Template {
    /// A Rust program, dependencies vendored.
    Rust,
    /// A Go program, modules vendored.
    Go,
    /// A Node.js program (`server.js`) with a package-lock.json.
    Node,
    /// A Python program (`main.py`), packages in `vendor/`.
    Python,
    /// One statically linked program (`myapp`) that the repository holds.
    Static,
}

/// What happened to the files of a template.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Outcome {
    /// New files.
    pub written: Vec<&'static str>,
    /// Files that were there, untouched.
    pub kept: Vec<&'static str>,
    /// The base images of a new Containerfile.
    pub images: Vec<Image>,
}

/// A base image.
#[derive(Debug, serde::Serialize)]
pub(super) struct Image {
    /// As the template names it.
    pub name: String,
    /// The digest it was pinned to.
    pub digest: Option<String>,
    /// Why it was not pinned.
    pub unpinned_because: Option<String>,
}

impl Template {
    const fn containerfile(self) -> &'static str {
        match self {
            Self::Rust => include_str!("../../../templates/rust/Containerfile"),
            Self::Go => include_str!("../../../templates/go/Containerfile"),
            Self::Node => include_str!("../../../templates/node/Containerfile"),
            Self::Python => include_str!("../../../templates/python/Containerfile"),
            Self::Static => include_str!("../../../templates/static/Containerfile"),
        }
    }

    const fn dockerignore(self) -> &'static str {
        match self {
            Self::Rust => include_str!("../../../templates/rust/dockerignore"),
            Self::Node => include_str!("../../../templates/node/dockerignore"),
            Self::Python => include_str!("../../../templates/python/dockerignore"),
            Self::Go | Self::Static => include_str!("../../../templates/dockerignore"),
        }
    }

    /// Writes the files that are not there yet. A Dockerfile counts as a Containerfile: it would no
    /// longer be used beside one.
    pub(super) fn write(self, root: &Path, registry: &Registry) -> Result<Outcome, CliError> {
        let mut outcome = Outcome::default();
        if let Some(name) = CONTAINERFILE_NAMES.into_iter().find(|name| exists(root, name)) {
            outcome.kept.push(name);
        } else {
            let (text, images) = pinned(&self.named(root)?, |image| registry.latest(image));
            create(root, "Containerfile", &text)?;
            outcome.written.push("Containerfile");
            outcome.images = images;
        }
        if exists(root, ".dockerignore") {
            outcome.kept.push(".dockerignore");
        } else {
            create(root, ".dockerignore", self.dockerignore())?;
            outcome.written.push(".dockerignore");
        }
        Ok(outcome)
    }

    /// The Containerfile with the program's own name where the source says it.
    fn named(self, root: &Path) -> Result<String, CliError> {
        let text = self.containerfile();
        let manifest = root.join("Cargo.toml");
        if self != Self::Rust || !manifest.is_file() {
            return Ok(text.to_owned());
        }
        let manifest = String::from_utf8(read_limited(&manifest, MAX_MANIFEST)?).unwrap_or_default();
        // A manifest that cannot be read is cargo's to complain about.
        let manifest: toml::Table = manifest.parse().unwrap_or_default();
        let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
        Ok(match name.filter(|name| is_plain(name)) {
            Some(name) => text.replace(PLACEHOLDER, name),
            None => text.to_owned(),
        })
    }
}

/// The program's name in templates.
const PLACEHOLDER: &str = "myapp";
/// The longest Cargo.toml that is looked into, in bytes.
const MAX_MANIFEST: usize = 1024 * 1024;

/// Whether a name means the same in a shell, a path and JSON.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A Containerfile with a digest behind every base image that has one, and what became of each image.
fn pinned(text: &str, resolve: impl Fn(&str) -> Result<String, String>) -> (String, Vec<Image>) {
    let mut images: Vec<Image> = Vec::new();
    let lines = text.lines().map(|line| {
        let Some(rest) = line.strip_prefix("FROM ") else { return line.to_owned() };
        let (name, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        let known = images.iter().position(|image| image.name == name);
        let known = known.unwrap_or_else(|| {
            let (digest, unpinned_because) = match resolve(name) {
                Ok(digest) => (Some(digest), None),
                Err(reason) => (None, Some(reason)),
            };
            images.push(Image { name: name.to_owned(), digest, unpinned_because });
            images.len() - 1
        });
        match &images[known].digest {
            Some(digest) => format!("FROM {name}@{digest}{rest}"),
            None => line.to_owned(),
        }
    });
    let text = lines.map(|line| line + "\n").collect();
    (text, images)
}

fn exists(root: &Path, name: &str) -> bool {
    root.join(name).symlink_metadata().is_ok()
}

fn create(root: &Path, name: &str, text: &str) -> Result<(), CliError> {
    let path = root.join(name);
    fs::File::create_new(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| CliError::io("A file of the template cannot be written", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn base_images_are_pinned_where_their_digest_is_known() {
        let (text, images) = pinned("# x\nFROM a/b AS build\nRUN y\nFROM c\nFROM a/b\n", |name| match name {
            "a/b" => Ok("sha256:12".into()),
            _ => Err("no network".into()),
        });
        assert_eq!(text, "# x\nFROM a/b@sha256:12 AS build\nRUN y\nFROM c\nFROM a/b@sha256:12\n");
        let names: Vec<_> = images.iter().map(|i| (i.name.as_str(), i.unpinned_because.as_deref())).collect();
        assert_eq!(names, [("a/b", None), ("c", Some("no network"))]);
    }

    #[test]
    fn every_template_has_the_documented_shape() {
        for template in Template::value_variants() {
            let text = template.containerfile();
            let bases: Vec<_> = text.lines().filter(|line| line.starts_with("FROM ")).collect();
            assert!(bases.iter().all(|line| line.starts_with("FROM stagex/")), "{bases:?}");
            let builds = text.contains("\nRUN ");
            assert_eq!(text.contains("\nENV SOURCE_DATE_EPOCH=1\n"), builds, "{text}");
            assert!(text.contains("\nUSER 1000:1000\n") && text.contains("\nENTRYPOINT ["), "{text}");
            assert!(template.dockerignore().starts_with(".git\n"));
        }
    }

    #[test]
    fn the_page_about_containers_shows_the_templates_as_they_are() {
        let page = include_str!("../../../../../docs/src/containerizing.md");
        let blocks: Vec<_> = page.split("```dockerfile\n").skip(1).collect();
        assert_eq!(blocks.len(), Template::value_variants().len());
        for (block, template) in blocks.iter().zip(Template::value_variants()) {
            let block = block.split("```\n").next().unwrap();
            assert_eq!(block, template.containerfile());
        }
    }

    #[test]
    fn a_rust_program_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for (manifest, name) in [
            ("[package]\nname = \"my-server\"\n", "my-server"),
            ("[package]\nname = \"a b; rm\"\n", PLACEHOLDER),
            ("[workspace]\n", PLACEHOLDER),
            ("not toml", PLACEHOLDER),
        ] {
            fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
            let text = Template::Rust.named(dir.path()).unwrap();
            assert!(text.contains(&format!("ENTRYPOINT [\"/app/{name}\"]")), "{text}");
        }
    }
}
