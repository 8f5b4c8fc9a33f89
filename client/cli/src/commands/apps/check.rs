//! `caution apps check`: what in the Containerfile will make the next build differ, or what made one differ.

mod rebuild;

use super::build::LimitArgs;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::files::read_limited;
use crate::terminal::Look;
use caution_appspec::{AppSpec, ConfigFile};
use caution_build::advice::{self, Advice};
use caution_build::git::Repository;
use caution_build::{CONTAINERFILE_EIF, EngineName, containerfile_names};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps check`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("settings", |limit| limit.requires("rebuild")))]
pub(crate) struct Args {
    /// The Containerfile to read, instead of the one that the work tree's configuration names.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Build HEAD twice while varying what should not matter, such as the clock, and say what differs and why.
    /// Both builds ignore the engine's cache.
    #[arg(long, conflicts_with = "file")]
    rebuild: bool,

    /// Build with this engine: docker, podman or buildah, which lets most be varied.
    #[arg(long, value_name = "NAME", requires = "rebuild")]
    engine: Option<EngineName>,

    /// Give no step of the Containerfile a network; base images are fetched before.
    #[arg(long, requires = "rebuild")]
    no_network: bool,

    /// The EnclaveOS release to build on: a folder made by `caution enclaveos build`.
    #[arg(long, value_name = "DIR", requires = "rebuild")]
    enclaveos: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// Ends with 1 where there is advice or a difference; what keeps anything from being looked at is 2, as in diff(1).
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let checked = if args.rebuild { rebuild::rebuild(context, args) } else { check(context, args) };
    checked.map_err(|error| error.with_exit(Exit::Usage))
}

fn check(context: &Context, args: &Args) -> Result<u8, CliError> {
    let (path, images_are_pinned) = match &args.file {
        Some(file) => (file.clone(), false),
        None => find()?,
    };
    let limit = usize::try_from(advice::MAX_BYTES).unwrap_or(usize::MAX);
    let text = String::from_utf8(read_limited(&path, limit)?)
        .map_err(|_| CliError::new(Exit::Other, format!("{} is not UTF-8 text.", path.display())))?;
    let found = advice::advise(&text, images_are_pinned);
    if context.terminal.json {
        context.terminal.json_result(&to_json(&path, &found));
    } else {
        context.terminal.result(&to_text(context, &path, &found));
    }
    Ok(u8::from(!found.is_empty()))
}

/// The file that a build of what lies in the work tree would read, and whether its base images are pinned.
fn find() -> Result<(PathBuf, bool), CliError> {
    let root = Repository::discover(Path::new("."))?.root().to_owned();
    let build = configuration(&root)?.build;
    if let Some(image) = build.oci_tarball {
        return Err(finished_image(&image));
    }
    let names = containerfile_names(build.containerfile.as_deref());
    let pinned = root.join(CONTAINERFILE_EIF).is_file();
    let found = names.iter().map(|name| root.join(name)).find(|path| path.is_file());
    found.map(|path| (path, pinned)).ok_or_else(|| {
        let message = format!("There is no {} in {}.", names.join(" and no "), root.display());
        CliError::new(Exit::Other, message).hint("caution init (writes one), or name the file")
    })
}

/// Why there is nothing to check where an image comes ready made.
fn finished_image(image: &str) -> CliError {
    let message = format!("`oci_tarball` names a finished image ({image}), so nothing is built here.");
    CliError::new(Exit::Other, message)
        .hint("check the file it was built from: caution apps check path/to/Containerfile")
}

/// The work tree's configuration; without one, what a build assumes.
fn configuration(root: &Path) -> Result<AppSpec, CliError> {
    for file in ConfigFile::BY_PRECEDENCE {
        let path = root.join(file.file_name());
        if !path.is_file() {
            continue;
        }
        let text = String::from_utf8(read_limited(&path, caution_appspec::MAX_BYTES)?)
            .map_err(|_| CliError::new(Exit::Other, format!("{} is not UTF-8 text.", path.display())))?;
        let config =
            caution_appspec::parse(file, &text).map_err(|e| CliError::from_error(Exit::Other, &e))?;
        return Ok(config.spec);
    }
    Ok(AppSpec::default())
}

fn to_text(context: &Context, path: &Path, found: &[Advice]) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    if found.is_empty() {
        return format!("{name}: nothing was noticed that makes builds differ\n");
    }
    let mut text = String::new();
    for Advice { line, rule, what, why, fix } in found {
        let rule = context.terminal.paint(Look::Faint, rule);
        let _ = write!(text, "{name}:{line}  {what}  {rule}\n    {why}\n    fix: {fix}\n\n");
    }
    let noun = if found.len() == 1 { "thing" } else { "things" };
    let _ = writeln!(text, "{} {noun} that can make the next build differ", found.len());
    text
}

fn to_json(path: &Path, found: &[Advice]) -> serde_json::Value {
    let advice = found.iter().map(|advice| {
        serde_json::json!({
            "line": advice.line,
            "rule": advice.rule,
            "what": advice.what,
            "why": advice.why,
            "fix": advice.fix,
        })
    });
    serde_json::json!({ "file": path, "advice": advice.collect::<Vec<_>>() })
}
