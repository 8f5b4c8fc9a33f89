//! `--cat`: the content of one file.

use crate::Context;
use crate::error::{CliError, Exit};
use caution_compare::{Content, Kind, Listed, Side, SideError};
use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub(super) fn run(context: &Context, side: &Side, layers: &[usize], path: &OsStr) -> Result<(), CliError> {
    if context.terminal.json {
        let message = "The content of a file is written as it is, and never as JSON.";
        return Err(
            CliError::new(Exit::Usage, message).hint("--cat without --json; --list --json has its SHA-256")
        );
    }
    let file = find(side, layers, path)?;
    let shown = path.to_string_lossy();
    let refused =
        |why: &str| CliError::new(Exit::Other, format!("`{shown}` {why}")).hint(ways_out(side, &shown));
    if !context.terminal.shows_results() {
        return side.contents(&[file.place], |_, bytes| copy(context, path, bytes));
    }
    if file.size > MOST_ON_TERMINAL {
        return Err(refused(&format!("has {} bytes, too many for a terminal.", file.size)));
    }
    side.contents(&[file.place], |_, stored| {
        let mut bytes = Vec::new();
        stored.take(MOST_ON_TERMINAL).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        match str::from_utf8(&bytes) {
            Ok(text) if !text.chars().any(is_obeyed) => copy(context, path, &mut text.as_bytes()),
            _ => Err(refused("is no text, and a terminal would obey its bytes.")),
        }
    })
}

/// Copies content to stdout.
fn copy(context: &Context, path: &OsStr, stored: &mut dyn Read) -> Result<(), CliError> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let n = match stored.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(path, error)),
        };
        match context.terminal.bytes(&buffer[..n]) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(CliError::io("The content cannot be written", Path::new("stdout"), &error));
            }
        }
    }
}

fn unreadable(path: &OsStr, source: std::io::Error) -> CliError {
    SideError::Content { path: path.as_bytes().to_vec(), source }.into()
}

/// The file that a path means, in the layers that are looked at.
fn find(side: &Side, layers: &[usize], path: &OsStr) -> Result<Content, CliError> {
    let listing = side.list_only(|layer| layers.contains(&layer))?;
    let wanted = [path.as_bytes().to_vec(), [b"/", path.as_bytes()].concat()];
    let mut found: Vec<(String, &Listed)> = Vec::new();
    for layer in &listing.layers {
        let entries = layer.listed();
        // As it is shown, else without the slash; of several entries with one path the last counts.
        let entry = wanted.iter().find_map(|path| entries.iter().rfind(|listed| listed.entry.path == *path));
        found.extend(entry.map(|entry| (layer.name.folder_name(), entry)));
    }
    let shown = path.to_string_lossy();
    let file = side.path().display();
    match found.as_slice() {
        [] => {
            let problem = listing.layers.into_iter().find_map(|layer| layer.problem);
            let error = CliError::new(Exit::Other, format!("There is no `{shown}` in {file}."))
                .hint(format!("caution apps extract {file} --list"));
            let causes = problem.map(|problem| CliError::from_error(Exit::Other, &problem).summary());
            Err(CliError { causes: causes.into_iter().collect(), ..error })
        }
        [(_, Listed { content: Some(content), .. })] => Ok(*content),
        [(_, Listed { entry, .. })] => Err(match &entry.kind {
            Kind::Symlink(target) => {
                let target = String::from_utf8_lossy(target).into_owned();
                CliError::new(Exit::Other, format!("`{shown}` is a symbolic link to `{target}`."))
                    .hint("--cat with the path that it leads to")
            }
            kind => {
                CliError::new(Exit::Other, format!("`{shown}` is no file but a {}.", kind.name().words()))
                    .hint(format!("caution apps extract {file} --list"))
            }
        }),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("Several layers have a `{shown}`: {}.", names.join(", "));
            Err(CliError::new(Exit::Other, message).hint(format!("--layer {}", names[names.len() - 1])))
        }
    }
}

/// What moves a cursor or changes a terminal otherwise; ends of lines and tabs are text.
fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t' | '\r')
}

fn ways_out(side: &Side, path: &str) -> String {
    let command = format!("caution apps extract {} --cat {path}", side.path().display());
    format!("{command} > FILE\n{command} | xxd | less")
}

const MOST_ON_TERMINAL: u64 = 1 << 20;
