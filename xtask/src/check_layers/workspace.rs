//! The workspace as the rules see it, read from cargo's output.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// A package of this workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    /// Package name.
    pub(crate) name: String,
    /// First component of its path: the trust boundary.
    pub(crate) folder: String,
    /// What it names in its manifest.
    pub(crate) edges: Vec<Edge>,
}

/// A dependency a package names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Package name.
    pub(crate) to: String,
    /// Whether only tests use it. Build scripts count as the package itself: what they use decides
    /// its bytes.
    pub(crate) dev: bool,
    /// Whether it is a package of this workspace.
    pub(crate) internal: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Reads the output of `cargo metadata --no-deps` for the workspace at `root`.
pub(crate) fn from_metadata(json: &str, root: &Path) -> Result<Vec<Crate>, serde_json::Error> {
    let metadata: Metadata = serde_json::from_str(json)?;
    let edge = |dependency: Dependency| Edge {
        to: dependency.name,
        dev: dependency.kind.as_deref() == Some("dev"),
        internal: dependency.path.is_some(),
    };
    let package = |package: Package| Crate {
        folder: first_component(&package.manifest_path, root),
        name: package.name,
        edges: package.dependencies.into_iter().map(edge).collect(),
    };
    Ok(metadata.packages.into_iter().map(package).collect())
}

/// Outside packages of `cargo tree --prefix none --format {p}`: lines `name v1.2.3`, followed by
/// ` (/path)` for our own and by ` (*)` or ` (proc-macro)`.
pub(crate) fn names_of_tree(text: &str) -> BTreeSet<String> {
    let outside = text.lines().filter(|line| !line.contains(" (/"));
    outside.filter_map(|line| line.split_once(' ')).map(|(name, _)| name.to_owned()).collect()
}

fn first_component(manifest: &str, root: &Path) -> String {
    let inside = Path::new(manifest).strip_prefix(root).unwrap_or(Path::new(manifest));
    let first = inside.components().next();
    first.map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_becomes_folders_and_edges() {
        let json = r#"{"packages": [{
            "name": "caution-eif", "manifest_path": "/repo/core/eif/Cargo.toml", "source": null,
            "dependencies": [
                {"name": "caution-measure", "kind": null, "path": "/repo/core/measure", "req": "*"},
                {"name": "sha2", "kind": null, "req": "^0.11"},
                {"name": "cc", "kind": "build", "req": "^1"},
                {"name": "proptest", "kind": "dev", "req": "^1"}
            ]}]}"#;
        let edge = |to: &str, dev, internal| Edge { to: to.into(), dev, internal };
        assert_eq!(
            from_metadata(json, Path::new("/repo")).unwrap(),
            [Crate {
                name: "caution-eif".into(),
                folder: "core".into(),
                edges: vec![
                    edge("caution-measure", false, true),
                    edge("sha2", false, false),
                    edge("cc", false, false),
                    edge("proptest", true, false),
                ],
            }]
        );
    }

    #[test]
    fn a_tree_becomes_names_without_our_own() {
        let text = "caution-enclave-os v0.1.0 (/repo/enclave/os)\nserde v1.0.228\n\
                    serde_derive v1.0.228 (proc-macro)\nserde v1.0.228 (*)\n";
        let names: Vec<_> = names_of_tree(text).into_iter().collect();
        assert_eq!(names, ["serde", "serde_derive"]);
    }
}
