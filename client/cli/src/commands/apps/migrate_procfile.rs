//! `caution apps migrate-procfile`: the same configuration as HCL.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files::read_limited;
use caution_appspec::ConfigFile;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Arguments of `caution apps migrate-procfile`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to read.
    #[arg(long, value_name = "FILE", default_value = "Procfile")]
    procfile: PathBuf,
    /// The file to write.
    #[arg(long, short, value_name = "FILE", default_value = "caution.hcl")]
    output: PathBuf,
    /// Replace the output if it exists.
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let text = String::from_utf8(read_limited(&args.procfile, caution_appspec::MAX_BYTES)?)
        .map_err(|_| CliError::new(Exit::Other, format!("{} is not UTF-8 text.", args.procfile.display())))?;
    let config = caution_appspec::parse(ConfigFile::Procfile, &text)
        .map_err(|e| CliError::from_error(Exit::Other, &e))?;
    let hcl = caution_appspec::to_hcl(&config.spec);

    let io = |e: std::io::Error| CliError::io("The output cannot be written", &args.output, &e);
    let folder = args.output.parent().filter(|p| !p.as_os_str().is_empty());
    // 0666 less the umask, as every other file the user writes.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(".".as_ref()))
        .map_err(io)?;
    file.write_all(hcl.as_bytes()).map_err(io)?;
    if args.force {
        file.persist(&args.output).map_err(|e| io(e.error))?;
    } else {
        file.persist_noclobber(&args.output).map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                CliError::new(Exit::Other, format!("{} exists.", args.output.display()))
                    .hint("caution apps migrate-procfile --force   (replaces it)")
            }
            _ => io(e.error),
        })?;
    }
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "output": args.output }));
    } else {
        context.terminal.result(&format!(
            "wrote {}; it wins over {} from now on\nnext: read it, commit it, then git rm {}\n",
            args.output.display(),
            args.procfile.display(),
            args.procfile.display(),
        ));
    }
    for problem in &config.not_supported_yet {
        context.terminal.warning(&problem.message, problem.fix.as_deref());
    }
    Ok(())
}
