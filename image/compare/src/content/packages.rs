//! Names and versions of packages, from the files in which package managers keep them.

use serde_json::Value;

/// The packages that a file lists, `(name, version)` in the file's order; empty where it is no such file.
///
/// Known are dpkg's status (`var/lib/dpkg/status`, `var/lib/dpkg/status.d/*`), apk's `lib/apk/db/installed`,
/// `METADATA` and `PKG-INFO` of Python, `package.json` below `node_modules`, `.package-lock.json` and
/// `package-lock.json` of npm, `Cargo.lock`, and `.crates2.json` of `cargo install`.
pub fn packages(path: &[u8], content: &[u8]) -> Vec<(String, String)> {
    let path = String::from_utf8_lossy(path);
    let path = path.trim_start_matches('/');
    if content.len() > MOST_BYTES {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(content);
    let mut found = match database(path) {
        Some(Database::Dpkg) => stanzas(&text, "Package: ", "Version: "),
        Some(Database::Apk) => stanzas(&text, "P:", "V:"),
        // Only the head: the description behind it may say anything.
        Some(Database::Python) => stanzas(text.split("\n\n").next().unwrap_or(""), "Name: ", "Version: "),
        Some(Database::Npm) => npm(&text),
        Some(Database::NpmLock) => npm_lock(&text),
        Some(Database::CargoLock) => cargo_lock(&text),
        Some(Database::CargoInstall) => cargo_install(&text),
        None => Vec::new(),
    };
    found.truncate(MOST_PACKAGES);
    found
}

/// Whether a path is that of such a file.
pub(super) fn is_database(path: &str) -> bool {
    database(path).is_some()
}

#[derive(Debug, Clone, Copy)]
enum Database {
    Dpkg,
    Apk,
    Python,
    Npm,
    NpmLock,
    CargoLock,
    CargoInstall,
}

fn database(path: &str) -> Option<Database> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = folder.rsplit('/').next().unwrap_or(folder);
    match name {
        _ if path == "var/lib/dpkg/status" || path == "var/lib/dpkg/status-old" => Some(Database::Dpkg),
        _ if folder == "var/lib/dpkg/status.d" && !name.ends_with(".md5sums") => Some(Database::Dpkg),
        "installed" if path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed" => {
            Some(Database::Apk)
        }
        "METADATA" if parent.ends_with(".dist-info") => Some(Database::Python),
        "PKG-INFO" if parent.ends_with(".egg-info") => Some(Database::Python),
        "package.json" if folder.split('/').any(|part| part == "node_modules") => Some(Database::Npm),
        "package-lock.json" | ".package-lock.json" => Some(Database::NpmLock),
        "Cargo.lock" => Some(Database::CargoLock),
        ".crates2.json" => Some(Database::CargoInstall),
        _ => None,
    }
}

/// Paragraphs that begin with a name and hold a version.
fn stanzas(text: &str, name_key: &str, version_key: &str) -> Vec<(String, String)> {
    text.split("\n\n")
        .filter_map(|stanza| {
            let value = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key));
            Some((value(name_key)?.trim().to_owned(), value(version_key)?.trim().to_owned()))
        })
        .collect()
}

fn npm(text: &str) -> Vec<(String, String)> {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let value = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    value("name").zip(value("version")).into_iter().collect()
}

fn npm_lock(text: &str) -> Vec<(String, String)> {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    // Version 1 calls them dependencies, by name; later ones packages, by folder.
    let Some(packages) =
        document.get("packages").or_else(|| document.get("dependencies")).and_then(Value::as_object)
    else {
        return Vec::new();
    };
    packages
        .iter()
        .filter(|(folder, _)| !folder.is_empty())
        .filter_map(|(folder, package)| {
            let name = folder.strip_prefix("node_modules/").unwrap_or(folder);
            Some((name.to_owned(), package.get("version")?.as_str()?.to_owned()))
        })
        .collect()
}

fn cargo_lock(text: &str) -> Vec<(String, String)> {
    text.split("[[package]]")
        .skip(1)
        .filter_map(|package| {
            let value = |key: &str| {
                package
                    .lines()
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
            };
            Some((value("name")?.to_owned(), value("version")?.to_owned()))
        })
        .collect()
}

/// Keys like `ripgrep 14.1.0 (registry+https://…)`.
fn cargo_install(text: &str) -> Vec<(String, String)> {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let Some(installs) = document.get("installs").and_then(Value::as_object) else { return Vec::new() };
    installs
        .keys()
        .filter_map(|key| {
            let mut words = key.split(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}

const MOST_BYTES: usize = 8 << 20;
const MOST_PACKAGES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::packages;

    fn found(path: &str, text: &str) -> String {
        let list = packages(path.as_bytes(), text.as_bytes());
        list.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_package_manager_is_understood() {
        let status = "Package: a\nStatus: install ok installed\nVersion: 1-2\n\nPackage: b\nVersion: 3\n";
        assert_eq!(found("/var/lib/dpkg/status", status), "a 1-2, b 3");
        assert_eq!(
            found("lib/apk/db/installed", "C:Q1=\nP:musl\nV:1.2.4-r1\n\nP:zlib\nV:1.3\n"),
            "musl 1.2.4-r1, zlib 1.3"
        );
        let metadata = "Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n\nName: other\nVersion: 2\n";
        assert_eq!(
            found("usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA", metadata),
            "six 1.16.0"
        );
        assert_eq!(
            found("app/node_modules/ms/package.json", r#"{"name":"ms","version":"2.1.3"}"#),
            "ms 2.1.3"
        );
        let lock = r#"{"packages":{"":{"version":"1"},"node_modules/ms":{"version":"2.1.2"}}}"#;
        assert_eq!(found("app/package-lock.json", lock), "ms 2.1.2");
        assert_eq!(found("src/Cargo.lock", "[[package]]\nname = \"a\"\nversion = \"0.1.0\"\n"), "a 0.1.0");
        let crates = r#"{"installs":{"ripgrep 14.1.0 (registry+x)":{}}}"#;
        assert_eq!(found("root/.cargo/.crates2.json", crates), "ripgrep 14.1.0");
        assert_eq!(found("app/package.json", r#"{"name":"ms","version":"2.1.3"}"#), "");
    }
}
