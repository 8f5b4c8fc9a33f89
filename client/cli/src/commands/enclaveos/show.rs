//! `caution enclaveos show`: a release and the assembler image beside it.

use crate::Context;
use crate::commands::apps::build::release;
use crate::error::CliError;
use crate::terminal::Terminal;
use caution_build::human_size;
use caution_enclaveos::{ASSEMBLER_IMAGE, Release};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `caution enclaveos show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release: a folder made by `caution enclaveos build`; the one built last when absent.
    #[arg(value_name = "DIR")]
    release: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    print(context.terminal, &release(context, args.release.as_deref())?);
    Ok(())
}

/// Prints a release, here and after it was built.
pub(super) fn print(terminal: Terminal, release: &Release) {
    let (info, assembler) = (&release.info, release.assembler());
    if terminal.json {
        let assembler = assembler.map(|assembler| {
            let image = format!("{ASSEMBLER_IMAGE}@sha256:{}", assembler.digest);
            serde_json::json!({ "image": image, "tagged": assembler.tagged, "archive": assembler.archive })
        });
        terminal.json_result(&serde_json::json!({
            "id": release.id(),
            "dir": release.dir,
            "release": info,
            "assembler": assembler,
        }));
        return;
    }
    let mut text = format!(
        "EnclaveOS {} · kernel {} ({}) · ramdisk 0 {}\n\n  PCR1  {}\n  id    {}\n  in    {}\n",
        info.version,
        info.kernel_version,
        human_size(info.kernel.size),
        human_size(info.ramdisk.size),
        info.pcr1,
        release.id(),
        release.dir.display(),
    );
    if let Some(assembler) = assembler {
        let (digest, archive) = (assembler.digest, assembler.archive.display());
        let (image, tagged) = (format!("{ASSEMBLER_IMAGE}@sha256:{digest}"), assembler.tagged);
        let _ = write!(
            text,
            "\n  {image}\n        for engines that build Containerfile.eif, once a machine one of\n\n    \
             buildah pull oci-archive:{archive}\n    podman pull oci-archive:{archive}\n    \
             docker load --input {archive}\n\n        \
             docker finds it by its tag alone, so its build needs the option\n\n    \
             --build-context {image}=docker-image://{tagged}\n"
        );
    }
    terminal.result(&text);
}
