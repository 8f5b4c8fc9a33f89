//! `caution init`: a configuration, a Containerfile where one is asked for, and the link from this checkout
//! to its app.

mod registry;
mod remote;
mod template;

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
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

    /// What to call the app on the platform; after the checkout's folder when absent.
    #[arg(long)]
    name: Option<String>,
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
    let platform = Platform::known(context)?;
    if let Some(platform) = &platform {
        // One that is away would not know the link that is made without it.
        platform.whoami()?;
    }
    let (id, linked) = match &platform {
        Some(platform) => remote::link(context, platform, &repo, args.name.as_deref())?,
        None => link_here(root)?,
    };

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
        "{} this checkout to app {} (.caution/deployment.json)\n\nnext: {}\n",
        if linked { "linked" } else { "already linked:" },
        caution_appspec::printable(&id),
        if platform.is_some() { "commit, then git push caution main" } else { "caution apps build" },
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

/// The app's id, and whether the link is new: without a platform, of an app that exists nowhere else.
fn link_here(root: &Path) -> Result<(String, bool), CliError> {
    if let Some(id) = link::read(root)? {
        return Ok((id, false));
    }
    let id = random_uuid()?;
    link::write(root, &id)?;
    Ok((id, true))
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
        let (id, new) = link_here(dir.path()).unwrap();
        assert!(new);
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert_eq!(link_here(dir.path()).unwrap(), (id, false));
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
