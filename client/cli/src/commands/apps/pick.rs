//! Which enclave is meant, where none is named.

use crate::commands::apps::default_name;
use crate::error::{CliError, Exit};
use caution_build::git::Repository;
use caution_host::{Dirs, Record};
use std::path::Path;

/// The running enclave of this name or id, or the one of this checkout.
pub(crate) fn pick(dirs: &Dirs, app: Option<&str>) -> Result<Record, CliError> {
    if let Some(app) = app {
        return Ok(caution_host::find(dirs, app)?);
    }
    let root = Repository::discover(Path::new(".")).ok().map(|repo| repo.root().to_path_buf());
    let mut mine: Vec<Record> = caution_host::list(dirs)?
        .into_iter()
        .filter(|record| root.is_some() && record.checkout == root)
        .collect();
    match (mine.pop(), mine.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => Err(CliError::new(Exit::Usage, "Several enclaves of this checkout run.")
            .hint("caution apps ps      (then name one)")),
        (None, _) => Err(CliError::new(Exit::Other, "No enclave of this checkout runs on this machine.")
            .hint("caution apps ps")),
    }
}

/// What the app of this checkout is called unless somebody named it.
pub(crate) fn checkout_name() -> Option<String> {
    let repo = Repository::discover(Path::new(".")).ok()?;
    repo.root().file_name().map(default_name)
}
