//! The app on a platform, and this checkout's way to it: the remote `caution`, and how its git speaks SSH.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link, ssh};
use crate::terminal::shell_word;
use caution_api::{App, AppCreate};
use caution_build::git::Repository;
use std::path::Path;
use std::process::Command;

/// The app's id, and whether the link is new.
pub(super) fn link(
    context: &Context,
    platform: &Platform,
    repo: &Repository,
    name: Option<&str>,
) -> Result<(String, bool), CliError> {
    let root = repo.root();
    let (app, new) = if let Some(id) = link::read(root)? {
        (platform.get::<App>(&format!("/v1/apps/{id}")).map_err(|error| unknown(error, &id))?, false)
    } else {
        (create(platform, root, name)?, true)
    };
    let server = match platform.local() {
        Some(local) => ssh::Server::here(local),
        None => ssh::Server::of(&app.git_url)?,
    };
    ssh::prepare(context, platform, &server)?;
    set_remote(root, &app.git_url)?;
    speak(context, root)?;
    Ok((app.id.to_string(), new))
}

fn create(platform: &Platform, root: &Path, name: Option<&str>) -> Result<App, CliError> {
    let name = name.map_or_else(|| host_label(root), str::to_owned);
    let asked = AppCreate { name, organisation: None, deploy_branch: None };
    let app: App = platform.send("/v1/apps", &asked).map_err(|error| CliError {
        hint: error.hint.map(|hint| format!("{hint}: caution init --name NAME")),
        ..error
    })?;
    link::write(root, &app.id.to_string())?;
    Ok(app)
}

/// A link that this platform does not know is not replaced: it may be another platform's.
fn unknown(error: CliError, id: &str) -> CliError {
    let text = format!("This checkout is linked to app {id}, which this platform does not know.");
    let hint = "rm .caution/deployment.json && caution init      (creates the app here)";
    CliError { causes: vec![error.message], ..CliError::new(Exit::NotFound, text).hint(hint) }
}

fn set_remote(root: &Path, url: &str) -> Result<(), CliError> {
    let verb = if git(root, &["remote", "get-url", REMOTE])?.is_some() { "set-url" } else { "add" };
    must(root, &["remote", verb, REMOTE, url])
}

/// Has this checkout's git use the platform's key, unless somebody said already how it speaks SSH.
fn speak(context: &Context, root: &Path) -> Result<(), CliError> {
    let file = ssh::file(context);
    let wanted = format!("ssh -F {}", shell_word(&file.to_string_lossy()));
    match git(root, &["config", "--get", "core.sshCommand"])? {
        Some(set) if set == wanted => Ok(()),
        Some(set) => {
            let text =
                format!("git is told to speak SSH by `{set}` here, and knows nothing of the platform's key.");
            let fix = format!(
                "add the lines of {} to what that reads, or: git config core.sshCommand \"{wanted}\"",
                file.display()
            );
            context.terminal.warning(&text, Some(&fix));
            Ok(())
        }
        None => must(root, &["config", "--local", "core.sshCommand", &wanted]),
    }
}

/// What git says; nothing where it says no.
fn git(root: &Path, args: &[&str]) -> Result<Option<String>, CliError> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output();
    let output = output.map_err(|e| CliError::io("git cannot be run", root, &e))?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

fn must(root: &Path, args: &[&str]) -> Result<(), CliError> {
    git(root, args)?.map(drop).ok_or_else(|| {
        CliError::new(Exit::Other, format!("`git {}` failed.", args.join(" ")))
            .hint("look at .git/config, which must be writable")
    })
}

/// The folder's name as a label of a host name, which an app's name is on a platform.
fn host_label(root: &Path) -> String {
    let name = root.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "app".to_owned() } else { label.to_owned() }
}

const REMOTE: &str = "caution";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_gives_a_label_of_a_host_name() {
        let of = |name: &str| host_label(&Path::new("/x").join(name));
        assert_eq!(of("hello"), "hello");
        assert_eq!(of("My App.v2"), "my-app-v2");
        assert_eq!(of("---"), "app");
        assert_eq!(of(&"é".repeat(100)), "app");
    }
}
