//! `caution apps build`: from a commit to an enclave image.

use super::signing;
use crate::Context;
use crate::egress::can_reach;
use crate::error::{CliError, Exit};
use crate::terminal::Terminal;
use caution_abi::manifest::EnclaveOsRef;
use caution_build::git::{CommitId, Repository};
use caution_build::{Built, EngineName, LimitError, Limits, Progress, Request, Step, Trial, human_size};
use caution_eif::Signer;
use caution_enclaveos::Release;
use caution_measure::Measurements;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps build`, shared with `caution apps run`.
#[derive(Debug, clap::Args)]
// Inside those of `apps run`, whose group would have the same name.
#[group(skip)]
pub(crate) struct Args {
    /// Build this revision instead of HEAD; uncommitted changes are then no obstacle.
    #[arg(long, value_name = "REV")]
    commit: Option<String>,

    /// Take this container image instead of building one: an OCI layout folder, an archive of one, or
    /// what `docker save` writes. Needs no engine. Only the configuration is read from the commit, and
    /// `caution verify` cannot compare the result with any source.
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "strict")]
    image: Option<PathBuf>,

    /// Build with this engine: docker, podman or buildah; the first that works when absent.
    #[arg(long, value_name = "NAME", conflicts_with = "image")]
    engine: Option<EngineName>,

    /// Let the container engine ignore its cache, and use nothing that earlier builds kept.
    #[arg(long)]
    no_cache: bool,

    /// Give no step of the Containerfile a network, whatever it says itself; base images are fetched before.
    #[arg(long, conflicts_with = "image")]
    no_network: bool,

    /// Refuse base images that are named without a digest, before anything is built.
    #[arg(long)]
    strict: bool,

    /// The EnclaveOS release to build on: a folder made by `caution enclaveos build`.
    #[arg(long, value_name = "DIR")]
    enclaveos: Option<PathBuf>,

    #[command(flatten)]
    signing: signing::Args,

    #[command(flatten)]
    limits: LimitArgs,
}

/// How much an image may hold.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct LimitArgs {
    /// Allow an image to hold more, or less, than usual: the name that the refusal said, and a number, as in
    /// `entries=2000000` or `total_bytes=32GiB`.
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = parse_limit)]
    settings: Vec<String>,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for setting in &self.settings {
            limits.set(setting).expect("clap has tried each setting");
        }
        limits
    }
}

fn parse_limit(text: &str) -> Result<String, LimitError> {
    Limits::default().set(text).map(|()| text.to_owned())
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let repo = Repository::discover(Path::new("."))?;
    let (built, release) = build_image(context, args, &repo)?;
    if context.terminal.json {
        context.terminal.json_result(&to_json(&built, &release));
    } else {
        context.terminal.result(&to_text(&built, &release));
    }
    Ok(())
}

/// Builds what the arguments name into `eif-stage/` of the repository.
pub(crate) fn build_image(
    context: &Context,
    args: &Args,
    repo: &Repository,
) -> Result<(Built, Release), CliError> {
    let signer = args.signing.signer(context.terminal)?;
    let commit = match &args.commit {
        Some(revision) => repo.resolve(revision)?,
        None if args.image.is_some() => clean_head(repo, |path| CONFIGURATION.contains(&path))?,
        None => clean_head(repo, |_| true)?,
    };
    let release = release(context, args.enclaveos.as_deref())?;
    let output = repo.root().join("eif-stage");
    let Args { no_cache, no_network, strict, .. } = *args;
    let job = Job {
        repo,
        commit: &commit,
        release: &release,
        image: args.image.as_deref(),
        engine: args.engine,
        signer: signer.as_ref(),
        output: &output,
        no_cache,
        no_network,
        trial: None,
        strict,
        limits: args.limits.limits(),
    };
    let built = build_commit(context, &job)?;
    Ok((built, release))
}

/// One commit to build.
pub(crate) struct Job<'a> {
    pub(crate) repo: &'a Repository,
    pub(crate) commit: &'a CommitId,
    pub(crate) release: &'a Release,
    /// An image to take instead of the one the commit describes.
    pub(crate) image: Option<&'a Path>,
    /// The engine that builds; the first that works when absent.
    pub(crate) engine: Option<EngineName>,
    pub(crate) signer: Option<&'a Signer>,
    /// The folder to fill, as `eif-stage/`.
    pub(crate) output: &'a Path,
    pub(crate) no_cache: bool,
    /// Whether no step of the Containerfile may have a network.
    pub(crate) no_network: bool,
    /// Which of two builds that are compared this is, if it is one.
    pub(crate) trial: Option<Trial>,
    /// Whether a base image without a digest is an error.
    pub(crate) strict: bool,
    pub(crate) limits: Limits,
}

/// Builds one commit, telling the terminal about each step.
pub(crate) fn build_commit(context: &Context, job: &Job<'_>) -> Result<Built, CliError> {
    let store = context.config.cache.join(STORE);
    let built = caution_build::build(&Request {
        repo: job.repo,
        commit: job.commit,
        branch: job.repo.branch()?,
        release: job.release,
        image: job.image,
        engine: job.engine,
        no_cache: job.no_cache,
        no_network: job.no_network,
        trial: job.trial,
        strict: job.strict,
        limits: job.limits,
        signer: job.signer,
        output: job.output,
        // Without any cache means without this one too.
        store: (!job.no_cache).then_some(&store),
        progress: &|progress| show(context.terminal, &progress),
    })?;
    Ok(built)
}

/// The release to build on: the named folder, else the one built last on this machine.
pub(crate) fn release(context: &Context, dir: Option<&Path>) -> Result<Release, CliError> {
    Ok(match dir {
        Some(dir) => Release::load(dir)?,
        None => caution_enclaveos::default_release(&context.config.cache)?,
    })
}

/// All that is read of a commit whose image comes from elsewhere.
const CONFIGURATION: [&str; 3] = ["caution.hcl", "Procfile", "Containerfile.eif"];

/// HEAD, if no file that `matters` has changes in the work tree.
pub(crate) fn clean_head(repo: &Repository, matters: impl Fn(&str) -> bool) -> Result<CommitId, CliError> {
    // First: without any commit, building without the changes is no way out.
    let head = repo.head()?;
    let mut dirty = repo.dirty()?;
    dirty.retain(|path| matters(path));
    if dirty.is_empty() {
        return Ok(head);
    }
    let mut message = String::from("The work tree has changes that are not in any commit:\n\n");
    for path in dirty.iter().take(10) {
        let _ = writeln!(message, "    {path}");
    }
    if dirty.len() > 10 {
        let _ = writeln!(message, "    … and {} more", dirty.len() - 10);
    }
    message.push_str("\n  An image is always built from a commit, so that others can rebuild it.");
    Err(CliError::new(Exit::Other, message)
        .hint("git add -A && git commit      (then build)\ncaution apps build --commit HEAD      (builds without the changes)"))
}

/// Where, in the cache, builds keep what later ones need not do again.
const STORE: &str = "parts";

pub(crate) fn show(terminal: Terminal, progress: &Progress<'_>) {
    match progress {
        Progress::Started(step) => terminal.begin(step_word(*step)),
        Progress::Step { step, detail, elapsed } => terminal.step(step_word(*step), detail, *elapsed),
        Progress::EngineLine(line) => terminal.detail(line),
        Progress::Note(line) => terminal.note(line),
        Progress::Warning { message, fix } => terminal.warning(message, fix.as_deref()),
    }
}

const fn step_word(step: Step) -> &'static str {
    match step {
        Step::Source => "source",
        Step::Container => "container",
        Step::Filesystem => "filesystem",
        Step::Image => "image",
    }
}

fn to_text(built: &Built, release: &Release) -> String {
    let Measurements { pcr0, pcr1, pcr2 } = built.measurements;
    let EnclaveOsRef { version, .. } = release.reference();
    let kernel = &release.info.kernel_version;
    let signer =
        built.pcr8.map_or_else(String::new, |pcr8| format!("  PCR8  {pcr8}  the signing certificate\n"));
    let word = if built.boot_plan.e2e.is_some() { "e2e  " } else { "ports" };
    let channel = caution_plan::channel_in_words(&built.boot_plan)
        .map_or_else(String::new, |words| format!("  {word} {words}\n"));
    format!(
        "\n  {}\n  {} · sha256 {}\n\n  PCR0  {pcr0}  the whole image\n  PCR1  {pcr1}  EnclaveOS {version} (kernel {kernel}, boot, command line)\n  PCR2  {pcr2}  this application and how it is started\n{signer}\n  logs  {}\n{}{channel}",
        built.eif.display(),
        human_size(built.size),
        built.sha256,
        caution_plan::logs_in_words(built.boot_plan.logs),
        can_reach(&built.boot_plan.egress, "  "),
    )
}

/// The `--json` form, documented in `docs/src/commands.md`.
pub(crate) fn to_json(built: &Built, release: &Release) -> serde_json::Value {
    let steps: serde_json::Map<String, serde_json::Value> = built
        .timings
        .iter()
        .map(|(step, elapsed)| {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            (format!("{}_ms", step_word(*step)), millis.into())
        })
        .collect();
    serde_json::json!({
        "eif": built.eif.to_string_lossy(),
        "size": built.size,
        "sha256": built.sha256,
        "pcr0": built.measurements.pcr0,
        "pcr1": built.measurements.pcr1,
        "pcr2": built.measurements.pcr2,
        "pcr8": built.pcr8,
        "egress": built.boot_plan.egress,
        "e2e": built.boot_plan.e2e,
        "commit": built.commit.to_string(),
        "image": format!("sha256:{}", built.image),
        "enclaveos": { "id": release.id(), "version": release.reference().version },
        "boot_plan_sha256": built.boot_plan.digest(),
        "logs": built.boot_plan.logs,
        "networked_steps": built.networked_steps,
        "reuse": {
            "layers_ready": built.reuse.layers_ready,
            "layers_unpacked": built.reuse.layers_unpacked,
            "blocks_ready": built.reuse.blocks_ready,
            "blocks_compressed": built.reuse.blocks_compressed,
            "bytes_ready": built.reuse.bytes_ready,
            "bytes_compressed": built.reuse.bytes_compressed,
        },
        "steps": steps,
    })
}
