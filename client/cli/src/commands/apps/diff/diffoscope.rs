//! A second opinion: diffoscope on both sides, unpacked.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::scratch::Scratch;
use caution_compare::{Facts, Side};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Unpacks what is no folder yet, and lets diffoscope write to this program's stdout.
pub(super) fn run(context: &Context, sides: [&Side; 2]) -> Result<(), CliError> {
    let scratch = Scratch::new(&context.config.cache)?;
    let [left, right] = sides;
    let folders = [unpacked(left, &scratch, "left")?, unpacked(right, &scratch, "right")?];
    context.terminal.begin("diffoscope");
    let ended = Command::new(PROGRAM).args(folders).current_dir(scratch.path()).status();
    let code = ended.map_err(|error| cannot_start(&error))?.code();
    // As diff(1): 0 and 1 are answers.
    if matches!(code, Some(0 | 1)) {
        return Ok(());
    }
    let how = code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
    Err(CliError::new(Exit::Other, format!("diffoscope ended {how}; its own words are above.")))
}

/// Where a side lies as a folder.
fn unpacked(side: &Side, scratch: &Scratch, name: &str) -> Result<PathBuf, CliError> {
    if matches!(side.facts(), Facts::Folder) {
        return std::path::absolute(side.path())
            .map_err(|error| CliError::io("The folder cannot be found", side.path(), &error));
    }
    let layers: Vec<usize> = (0..side.layers().len()).collect();
    caution_compare::extract(side, &layers, &scratch.path().join(name))?;
    // Its reports name what they are given: `left`, not a folder of the cache.
    Ok(Path::new(name).to_owned())
}

fn cannot_start(error: &std::io::Error) -> CliError {
    let message = "diffoscope could not be started.";
    let wrong = CliError { causes: vec![error.to_string()], ..CliError::new(Exit::Other, message) };
    match error.kind() {
        ErrorKind::NotFound => wrong.hint("apt-get install diffoscope      (or leave --diffoscope out)"),
        _ => wrong,
    }
}

const PROGRAM: &str = "diffoscope";
