//! Which app a checkout belongs to: `.caution/deployment.json`.

use crate::error::{CliError, Exit};
use crate::files::{self, Found};
use crate::own_folder;
use crate::platform::Platform;
use caution_api::App;
use caution_build::git::Repository;
use std::path::{Path, PathBuf};

/// The id that a checkout is linked to.
pub(crate) fn read(root: &Path) -> Result<Option<String>, CliError> {
    let path = file(root);
    match files::look_at(&path, own_folder::MAX_BYTES)? {
        Found::File(bytes) => {
            let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
            let id = json.as_ref().and_then(|json| json["resource_id"].as_str()).map(str::to_owned);
            // It becomes a part of addresses.
            let plain =
                |id: &String| id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            id.filter(plain).map(Some).ok_or_else(|| no_link(&path))
        }
        Found::Other => Err(no_link(&path)),
        Found::Nothing => Ok(None),
    }
}

/// Links a checkout.
pub(crate) fn write(root: &Path, id: &str) -> Result<(), CliError> {
    let path = own_folder::open(root)?.join(FILE);
    files::write(&path, format!("{:#}\n", serde_json::json!({ "resource_id": id })).as_bytes())
}

/// Ends the link of this checkout to an app that is gone; another app's stays.
pub(crate) fn forget(id: &str) -> Result<(), CliError> {
    let Ok(repo) = Repository::discover(Path::new(".")) else { return Ok(()) };
    if read(repo.root())?.as_deref() != Some(id) {
        return Ok(());
    }
    let path = file(repo.root());
    std::fs::remove_file(&path).map_err(|e| CliError::io("The link cannot be removed", &path, &e))
}

/// The app of this name or id, or the one that this checkout is linked to.
pub(crate) fn pick(platform: &Platform, app: Option<&str>) -> Result<App, CliError> {
    if let Some(wanted) = app {
        let mut found: Vec<App> = platform.all("/v1/apps")?;
        found.retain(|app| app.name == wanted || app.id.to_string() == wanted);
        let one = found.pop().filter(|_| found.is_empty());
        return one.ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("The platform has no app `{wanted}`, or several."))
                .hint("caution apps list")
        });
    }
    let id = linked().unwrap_or_default().ok_or_else(|| {
        CliError::new(Exit::Usage, "This folder is linked to no app.")
            .hint("caution init      (in a checkout; or name the app)")
    })?;
    platform.get(&format!("/v1/apps/{id}"))
}

/// The app that this checkout is linked to, where a platform on this machine answers and knows it.
pub(crate) fn of_this_checkout(context: &crate::Context) -> Option<(Platform, App)> {
    let id = linked().ok()??;
    let platform = Platform::known(context).ok()??;
    let app = platform.get(&format!("/v1/apps/{id}")).ok()?;
    Some((platform, app))
}

fn linked() -> Result<Option<String>, CliError> {
    match Repository::discover(Path::new(".")) {
        Ok(repo) => read(repo.root()),
        Err(_) => Ok(None),
    }
}

fn file(root: &Path) -> PathBuf {
    root.join(".caution").join(FILE)
}

fn no_link(path: &Path) -> CliError {
    CliError::new(Exit::Other, format!("{} names no `resource_id`.", path.display()))
        .hint("rm .caution/deployment.json && caution init")
}

const FILE: &str = "deployment.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_an_id_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let id = "01a2017f-1d97-7000-941f-44fac2d28813";
        write(dir.path(), id).unwrap();
        assert_eq!(read(dir.path()).unwrap().as_deref(), Some(id));
        for wrong in ["{}", "x", r#"{"resource_id": "../../v1/me/tokens?xxxxxxxxxxxxxxxxx"}"#] {
            std::fs::write(file(dir.path()), wrong).unwrap();
            assert!(read(dir.path()).unwrap_err().message.contains("names no `resource_id`"));
        }
    }
}
