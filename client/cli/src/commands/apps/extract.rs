//! `caution apps extract`: the ramdisks of an image as folders, as a list, or one file of them.

mod cat;
mod list;

use super::build::LimitArgs;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::terminal::Look;
use caution_build::human_size;
use caution_compare::{Extracted, Side};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps extract`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An enclave image, a ramdisk (cpio, compressed or not), or a container image; also a folder with --list and
    /// --cat.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The folder to extract to, which must not exist yet or be empty. Several ramdisks get a folder each in there:
    /// `enclaveos` and `app`, or `ramdisk0`, `ramdisk1` …; what could not be made is listed in DIR.meta.json.
    #[arg(value_name = "DIR", required_unless_present_any = ["list", "cat"], conflicts_with_all = ["list", "cat"])]
    dir: Option<PathBuf>,

    /// List what is in it, and extract nothing.
    #[arg(long, conflicts_with = "cat")]
    list: bool,

    /// Write one file to stdout, by its path as --list shows it.
    #[arg(long, value_name = "PATH")]
    cat: Option<OsString>,

    /// Only this layer: `enclaveos`, `app`, or the number of a ramdisk, counted from 0.
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let side = Side::open(&args.file, &args.limits.limits(), &std::env::temp_dir())?;
    let layers = wanted(&side, args.layer.as_deref())?;
    match (&args.cat, &args.dir) {
        (Some(path), _) => cat::run(context, &side, &layers, path),
        (None, Some(dir)) => {
            let extracted = caution_compare::extract(&side, &layers, dir)?;
            show(context, dir, &extracted);
            Ok(())
        }
        (None, None) => list::run(context, &side, &layers),
    }
}

/// The indices of the layers that are meant.
fn wanted(side: &Side, name: Option<&str>) -> Result<Vec<usize>, CliError> {
    let Some(wanted) = name else { return Ok((0..side.layers().len()).collect()) };
    let plain = |name: &str| name.replace(' ', "").to_lowercase();
    let is_wanted = |index: usize| {
        let name = side.layers()[index].name;
        let names = [index.to_string(), plain(&name.to_string()), name.folder_name()];
        names.contains(&plain(wanted))
    };
    if let Some(index) = (0..side.layers().len()).find(|index| is_wanted(*index)) {
        return Ok(vec![index]);
    }
    let names: Vec<String> = side.layers().iter().map(|layer| layer.name.folder_name()).collect();
    let message = format!("{} has no layer `{wanted}`; it has: {}.", side.path().display(), names.join(", "));
    Err(CliError::new(Exit::Usage, message))
}

fn show(context: &Context, dir: &Path, extracted: &Extracted) {
    let Extracted { folder, meta, layers, differing, left_out } = extracted;
    if context.terminal.json {
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let (name, folder) = (layer.name.to_string(), layer.folder.to_string_lossy());
                serde_json::json!({
                    "name": name, "folder": folder, "entries": layer.entries, "bytes": layer.bytes,
                })
            })
            .collect();
        return context.terminal.json_result(&serde_json::json!({
            "folder": folder.to_string_lossy(), "meta": meta.to_string_lossy(), "layers": layers,
            "differing": differing, "left_out": left_out,
        }));
    }
    let mut text = String::new();
    for layer in layers {
        let shown =
            layer.folder.strip_prefix(folder).map_or_else(|_| dir.to_owned(), |below| dir.join(below));
        let name = context.terminal.paint(Look::Faint, &layer.name.to_string());
        let size = human_size(layer.bytes);
        let _ = writeln!(text, "{}  {name}, {} entries, {size}", shown.display(), layer.entries);
    }
    context.terminal.result(&text);
    if *differing > 0 {
        let what = match left_out {
            0 => String::new(),
            count => format!(", and {count} could not be made"),
        };
        let message = format!(
            "{} of them have another owner, mode or time than in the image{what}: {}",
            differing - left_out,
            meta.display()
        );
        context.terminal.note(&message);
    }
}
