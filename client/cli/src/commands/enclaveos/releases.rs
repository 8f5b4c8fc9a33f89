//! `caution enclaveos releases`: the releases that `caution verify` believes in.

use crate::Context;
use crate::error::CliError;
use crate::releases::{self, Known};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `caution enclaveos releases`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take this list, if `FILE.sig` is its signature by a key that this program knows and it is not older than the
    /// known one.
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let known = match &args.update {
        Some(file) => releases::update(&context.config, file)?,
        None => releases::known(&context.config)?,
    };
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({
            "serial": known.list.serial(),
            "update": known.update.as_ref().map(|path| path.to_string_lossy()),
            "releases": known.list.releases(),
        }));
    } else {
        context.terminal.result(&to_text(&known));
    }
    Ok(())
}

fn to_text(Known { list, update }: &Known) -> String {
    let origin = update.as_ref().map_or_else(
        || "built into this program".to_owned(),
        |path| format!("signed update in {}", path.display()),
    );
    let mut text = format!("EnclaveOS releases · list {}, {origin}\n", list.serial());
    for known in list.releases() {
        let released = known.released.as_deref().unwrap_or("not tagged yet");
        let _ = write!(
            text,
            "\n  {} · {released} · kernel {}\n    PCR1    {}\n    id      {}\n    source  commit {}\n",
            known.version, known.kernel_version, known.pcr1, known.id, known.source_commit
        );
    }
    text
}
