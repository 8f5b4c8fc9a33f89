//! `caution man`: a manual page for every command.

use crate::error::{CliError, Exit};
use crate::{Cli, Context};
use clap::CommandFactory as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `caution man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the pages; made where it is not there. `man` finds those in ~/.local/share/man/man1.
    dir: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let pages = write(&args.dir)
        .map_err(|cause| CliError::io("The manual pages cannot be written", &args.dir, &cause))?;
    if pages == 0 {
        return Err(CliError::new(Exit::Other, "No manual page was written."));
    }
    if context.terminal.json {
        let dir = args.dir.to_string_lossy();
        context.terminal.json_result(&serde_json::json!({ "dir": dir, "pages": pages }));
    } else {
        context.terminal.result(&format!("wrote {pages} manual pages to {}\n", args.dir.display()));
    }
    Ok(())
}

fn write(dir: &Path) -> std::io::Result<usize> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let names = fs::read_dir(dir)?.flatten().map(|entry| entry.file_name());
    Ok(names.filter(|name| name.to_string_lossy().starts_with("caution")).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        let pages = write(dir.path()).unwrap();
        assert!(pages > 30, "{pages}");
        let of = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(of("caution-apps-rollback.1").contains(".SH SYNOPSIS"));
        assert!(of("caution.1").contains("enclaves"));
    }
}
