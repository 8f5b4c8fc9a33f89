//! `caution init`: a configuration, a Containerfile where one is asked for, and the link from this checkout
//! to its app.

mod registry;
mod template;

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files::{self, Found};
use crate::own_folder;
use caution_appspec::ConfigFile;
use caution_build::git::Repository;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use template::{Outcome, Template};

/// Arguments of `caution init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also write a reproducible Containerfile and a .dockerignore for an app of this kind; files that
    /// exist are left alone.
    #[arg(long, value_name = "KIND")]
    template: Option<Template>,
}

/// Writes `caution.hcl` unless a configuration exists, the files of a template unless they exist, and
/// `.caution/deployment.json` unless linked.
pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let repo = Repository::discover(Path::new("."))?;
    let root = repo.root();
    let files = match args.template {
        Some(template) => Some(template.write(root, &registry::Registry::of_engines())?),
        None => None,
    };
    let written = write_configuration(root)?;
    let (id, linked) = link(root)?;

    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({
            "config": written,
            "template": files,
            "resource_id": id,
            "newly_linked": linked,
        }));
        return Ok(());
    }
    if let Some(files) = &files {
        tell(context, files);
    }
    match written {
        Some(name) => context.terminal.result(&format!("wrote {name}: edit it, then commit it\n")),
        None => context.terminal.result("a configuration exists already; left as it is\n"),
    }
    context.terminal.result(&format!(
        "{} this checkout to app {} (.caution/deployment.json)\n\nnext: caution apps build\n",
        if linked { "linked" } else { "already linked:" },
        caution_appspec::printable(&id),
    ));
    Ok(())
}

/// What became of a template's files and base images.
fn tell(context: &Context, files: &Outcome) {
    for name in &files.written {
        context.terminal.result(&format!("wrote {name}: edit it, then commit it\n"));
    }
    for name in &files.kept {
        context.terminal.result(&format!("{name} exists already; left as it is\n"));
    }
    for image in &files.images {
        match (&image.digest, &image.unpinned_because) {
            (Some(digest), _) => context.terminal.result(&format!("pinned {} to {digest}\n", image.name)),
            (None, because) => context.terminal.warning(
                &format!(
                    "{} is not pinned in the Containerfile, so the next build may differ: {}.",
                    image.name,
                    because.as_deref().unwrap_or("its digest is not known"),
                ),
                Some(&format!(
                    "write FROM {}@sha256:… with the digest of stagex.tools, or commit and run `caution apps pin` \
                    where a registry can be reached",
                    image.name
                )),
            ),
        }
    }
}

/// The configuration's file name when one was written.
fn write_configuration(root: &Path) -> Result<Option<&'static str>, CliError> {
    let exists = |file: ConfigFile| root.join(file.file_name()).symlink_metadata().is_ok();
    if exists(ConfigFile::Hcl) || exists(ConfigFile::Procfile) {
        return Ok(None);
    }
    let name = ConfigFile::Hcl.file_name();
    let path = root.join(name);
    fs::File::create_new(&path)
        .and_then(|mut file| file.write_all(caution_appspec::template().as_bytes()))
        .map_err(|e| CliError::io("The configuration cannot be written", &path, &e))?;
    Ok(Some(name))
}

/// The app's id, and whether the link is new.
fn link(root: &Path) -> Result<(String, bool), CliError> {
    let path = own_folder::open(root)?.join("deployment.json");
    match files::look_at(&path, own_folder::MAX_BYTES)? {
        Found::File(bytes) => {
            let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
            let id = json.as_ref().and_then(|j| j["resource_id"].as_str());
            return id.map(|id| (id.to_owned(), false)).ok_or_else(|| no_link(&path));
        }
        Found::Other => return Err(no_link(&path)),
        Found::Nothing => {}
    }
    let id = random_uuid()?;
    files::write(&path, format!("{:#}\n", serde_json::json!({ "resource_id": id })).as_bytes())?;
    Ok((id, true))
}

fn no_link(path: &Path) -> CliError {
    CliError::new(Exit::Other, format!("{} names no `resource_id`.", path.display()))
        .hint("rm .caution/deployment.json && caution init")
}

/// A version 4 UUID (RFC 9562 §5.4).
fn random_uuid() -> Result<String, CliError> {
    let mut b = [0u8; 16];
    getrandom::fill(&mut b)
        .map_err(|e| CliError::new(Exit::Other, format!("The operating system gave no random bytes: {e}")))?;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&b);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let (id, new) = link(dir.path()).unwrap();
        assert!(new);
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_eq!(link(dir.path()).unwrap(), (id, false));
    }

    #[test]
    fn an_existing_configuration_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Procfile"), "run: /app\n").unwrap();
        assert_eq!(write_configuration(dir.path()).unwrap(), None);
        fs::remove_file(dir.path().join("Procfile")).unwrap();
        assert_eq!(write_configuration(dir.path()).unwrap(), Some("caution.hcl"));
        assert_eq!(write_configuration(dir.path()).unwrap(), None);
    }
}
