//! `caution enclaveos verify`: a known release, built again from its source.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::releases;
use crate::scratch::Scratch;
use crate::terminal::{Look, Terminal};
use caution_build::git::{CommitId, Repository};
use caution_enclaveos::{BuildOptions, KnownRelease, KnownReleases, Release};
use caution_measure::Pcr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution enclaveos verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which known release: its version or PCR1; the newest one when absent.
    #[arg(value_name = "VERSION|PCR1")]
    release: Option<String>,
    /// A folder with the source, built as it stands. When absent: the release's commit, exported from the checkout of
    /// Caution's source around the current folder.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Build every step anew, even where a cached result has the same inputs.
    #[arg(long)]
    rebuild: bool,
}

/// Exit 0 when the build gives the known release, 12 when it gives another one.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let list = releases::known(&context.config)?.list;
    let known = find(&list, args.release.as_deref())?;
    let built = build(context, known, args).map_err(|error| error.with_exit(Exit::CannotReproduce))?;
    let differences = known.differences(&built);
    // PCR1 follows from the files, but the list states it by itself.
    let is_equal = differences.is_empty() && built.info.pcr1 == known.pcr1;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({
            "equal": is_equal,
            "known": known,
            "built": KnownRelease::of(&built, &known.source_commit),
            "differing": differences.iter().map(|(part, ..)| part).collect::<Vec<_>>(),
            "dir": built.dir,
        }));
    } else {
        context.terminal.result(&to_text(context.terminal, known, &built, is_equal));
    }
    Ok(if is_equal { 0 } else { Exit::MeasurementMismatch.code() })
}

/// The release with this version or register.
fn find<'l>(list: &'l KnownReleases, wish: Option<&str>) -> Result<&'l KnownRelease, CliError> {
    let found = match wish {
        None => list.releases().last(),
        Some(wish) => match wish.parse::<Pcr>() {
            Ok(pcr1) => list.by_pcr1(&pcr1),
            Err(_) => list.releases().iter().find(|known| known.version == wish),
        },
    };
    found.ok_or_else(|| {
        let wish = wish.map_or_else(|| "any release".to_owned(), |wish| format!("`{wish}`"));
        CliError::new(Exit::CannotReproduce, format!("The list of EnclaveOS releases does not have {wish}."))
            .hint("caution enclaveos releases      (shows those it has)")
    })
}

/// Builds the source of a release. This machine's default stays what it was.
fn build(context: &Context, known: &KnownRelease, args: &Args) -> Result<Release, CliError> {
    let terminal = context.terminal;
    let build = |source: &Path| -> Result<Release, CliError> {
        Ok(caution_enclaveos::build(&BuildOptions {
            source,
            cache: &context.config.cache,
            rebuild: args.rebuild,
            make_default: false,
            notify: &|text| terminal.note(&format!("  {text}")),
        })?)
    };
    if args.source.is_some() {
        return build(&super::source(args.source.as_deref())?);
    }
    let repository = Repository::discover(&super::source(None)?)?;
    let commit: CommitId = known.source_commit.parse()?;
    let scratch = Scratch::new(&context.config.cache)?;
    let source = scratch.path().join("enclaveos");
    terminal.note(&format!("  source: commit {} of {}", commit.short(), repository.root().display()));
    repository.export(&commit, &source)?;
    build(&source)
}

fn to_text(terminal: Terminal, known: &KnownRelease, built: &Release, is_equal: bool) -> String {
    let KnownRelease { version, source_commit, .. } = known;
    let source = &source_commit[..7];
    if is_equal {
        let word = terminal.paint(Look::Good, "EQUAL");
        return format!(
            "{word}  The source of EnclaveOS {version}, commit {source}, gives exactly the known release.\n\n  PCR1  {}\n  id    {}\n  in    {}\n",
            known.pcr1,
            known.id,
            built.dir.display()
        );
    }
    let word = terminal.paint(Look::Bad, "DIFFERENT");
    let mut text = format!("{word}  The source does not give the known EnclaveOS {version}.\n\n");
    for (part, known, built) in known.differences(built) {
        let _ = writeln!(text, "  {part}\n    known  sha256 {known}\n    built  sha256 {built}");
    }
    let _ = write!(
        text,
        "  PCR1\n    known  {}\n    built  {}\n  in    {}\n",
        known.pcr1,
        built.info.pcr1,
        built.dir.display()
    );
    text
}
