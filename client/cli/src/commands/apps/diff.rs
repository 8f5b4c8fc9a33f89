//! `caution apps diff`: which files of two images differ, and why.

mod diffoscope;

use super::build::{LimitArgs, clean_head, release};
use crate::Context;
use crate::commands::apps::pick::pick;
use crate::error::{CliError, Exit};
use crate::scratch::Scratch;
use crate::verify::rebuild::Reproduction;
use caution_appspec::printable;
use caution_build::git::Repository;
use caution_build::{EngineName, Limits};
use caution_compare::{Comparison, DiffLimits, Facts, PageTitle, Side};
use caution_measure::Sha256Digest;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An enclave image, a folder, a container image, a ramdisk, or `commit:REV`; what this commit builds when absent.
    #[arg(value_name = "LEFT")]
    left: Option<String>,

    /// The same; the deployed image when absent.
    #[arg(value_name = "RIGHT")]
    right: Option<String>,

    /// Write the whole report as one page for a browser, which needs no network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Run diffoscope, where it is installed, on what both sides hold, and print what it says, too.
    #[arg(long)]
    diffoscope: bool,

    /// How many findings to print; `--html` has 5,000, `--json` all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,

    /// Build with this engine, where something is built: docker, podman or buildah.
    #[arg(long, value_name = "NAME")]
    engine: Option<EngineName>,

    /// Build again what was built before.
    #[arg(long)]
    no_cache: bool,

    /// Give no step of a Containerfile a network.
    #[arg(long)]
    no_network: bool,

    /// The EnclaveOS release to build on: a folder made by `caution enclaveos build`.
    #[arg(long, value_name = "DIR")]
    enclaveos: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// Ends with 1 where something differs; what keeps the sides from being compared is 2, as in diff(1).
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    diff(context, args).map_err(|error| error.with_exit(Exit::Usage))
}

/// Something to compare, and what to call it.
struct Named {
    path: PathBuf,
    name: String,
    /// What the file must be.
    sha256: Option<Sha256Digest>,
}

impl Named {
    /// Refuses a file that became another one.
    fn check(&self, side: &Side) -> Result<(), CliError> {
        match (self.sha256, side.facts()) {
            (Some(expected), Facts::Eif { image, .. }) if image.sha256 == expected => Ok(()),
            (None, _) => Ok(()),
            (Some(expected), _) => {
                let message =
                    format!("{} is not the file that was deployed (SHA-256 {expected}).", self.name);
                Err(CliError::new(Exit::Other, message)
                    .hint("something has written to the host agent's folder; deploy the app again"))
            }
        }
    }
}

fn diff(context: &Context, args: &Args) -> Result<u8, CliError> {
    if args.diffoscope && context.terminal.json {
        return Err(CliError::new(Exit::Usage, "--diffoscope prints text, and --json wants JSON.")
            .hint("run diffoscope on what `caution apps extract` gives"));
    }
    let left = match &args.left {
        Some(side) => named(context, args, side)?,
        None => commit(context, args, None)?,
    };
    let right = match &args.right {
        Some(side) => named(context, args, side)?,
        None => deployed(context)?,
    };
    context.terminal.begin("compare");
    let [left_side, right_side] = open(context, &args.limits.limits(), [&left.path, &right.path])?;
    for (named, side) in [(&left, &left_side), (&right, &right_side)] {
        named.check(side)?;
    }
    let comparison = compare(context, [&left_side, &right_side])?;
    if let Some(path) = &args.html {
        let title = PageTitle { left: &left.name, right: &right.name, program: PROGRAM };
        std::fs::write(path, comparison.to_html(&title))
            .map_err(|error| CliError::io("The report cannot be written", path, &error))?;
    }
    if context.terminal.json {
        let report = serde_json::json!({ "left": left.name, "right": right.name, "comparison": comparison });
        context.terminal.json_result(&report);
    } else {
        let head = format!("\n  left   {}\n  right  {}\n\n", left.name, right.name);
        let tail = args.html.as_ref().map(|path| format!("\n  whole report: {}\n", path.display()));
        context.terminal.result(&(head + &comparison.to_text(args.most) + &tail.unwrap_or_default()));
    }
    if args.diffoscope {
        diffoscope::run(context, [&left_side, &right_side])?;
    }
    Ok(u8::from(!comparison.is_same()))
}

/// What the commit builds: an earlier reproduction, or a new one.
fn commit(context: &Context, args: &Args, revision: Option<&str>) -> Result<Named, CliError> {
    let repo = Repository::discover(Path::new("."))?;
    let commit = match revision {
        Some(revision) => repo.resolve(revision)?,
        None => clean_head(&repo, |_| true)?,
    };
    let release = release(context, args.enclaveos.as_deref())?;
    let Args { engine, no_cache, no_network, .. } = *args;
    let limits = args.limits.limits();
    let wanted = Reproduction {
        repo: &repo,
        commit: &commit,
        release: &release,
        engine,
        no_cache,
        no_network,
        limits,
    };
    let path = wanted.image(context)?;
    Ok(Named { path, name: format!("what commit {} builds here", commit.short()), sha256: None })
}

/// A side by its name on the command line.
fn named(context: &Context, args: &Args, side: &str) -> Result<Named, CliError> {
    match side.strip_prefix("commit:") {
        Some(revision) => commit(context, args, Some(revision)),
        None => Ok(Named { path: side.into(), name: printable(side), sha256: None }),
    }
}

/// The image of the enclave that this checkout runs on this machine.
fn deployed(context: &Context) -> Result<Named, CliError> {
    let dirs = context.config.host_dirs();
    let record = pick(&dirs, None).map_err(|error| CliError {
        hint: Some(
            "name both sides: caution apps diff LEFT RIGHT      (or start it: caution apps run --detach)"
                .into(),
        ),
        ..error
    })?;
    let path = caution_host::deployed_image(&dirs, &record)?;
    Ok(Named {
        path,
        name: format!("the deployed image of {}", record.name),
        sha256: Some(record.eif_sha256),
    })
}

/// Opens both at once: to open an enclave image is to read and measure all of it.
pub(crate) fn open(context: &Context, limits: &Limits, paths: [&Path; 2]) -> Result<[Side; 2], CliError> {
    let scratch = Scratch::new(&context.config.cache)?;
    Ok(caution_compare::open_both(paths, limits, scratch.path())?)
}

/// Compares two sides.
pub(crate) fn compare(context: &Context, [left, right]: [&Side; 2]) -> Result<Comparison, CliError> {
    let scratch = Scratch::new(&context.config.cache)?;
    Ok(caution_compare::compare(left, right, &DiffLimits::default(), scratch.path())?)
}

/// Who wrote a page.
const PROGRAM: &str = concat!("caution ", env!("CARGO_PKG_VERSION"));
