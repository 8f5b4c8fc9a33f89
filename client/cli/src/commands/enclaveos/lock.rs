//! `caution enclaveos lock`: pin the kernel source the mirror offers now.

use crate::Context;
use crate::error::CliError;
use std::path::PathBuf;

/// Arguments of `caution enclaveos lock`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A checkout of Caution's source; the current one when absent.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let source = super::source(args.source.as_deref())?;
    let locked = caution_enclaveos::relock_kernel(&source, &context.config.cache)?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({
            "package": locked.package,
            "version": locked.version,
            "sha256": locked.sha256,
        }));
    } else {
        context.terminal.result(&format!(
            "locked {} {}\nPCR1 changes with it. next: caution enclaveos build, then commit enclave/kernel/kernel.lock\n",
            locked.package, locked.version
        ));
    }
    Ok(())
}
