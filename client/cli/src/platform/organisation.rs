//! Which organisation is meant, where none is named.

use crate::error::{CliError, Exit};
use crate::platform::Platform;
use caution_api::Membership;
use caution_appspec::printable;

/// The organisation of this name or id, or the only one that this user belongs to.
pub(crate) fn pick(platform: &Platform, wanted: Option<&str>) -> Result<Membership, CliError> {
    let mut of = platform.whoami()?.organisations;
    if let Some(wanted) = wanted {
        of.retain(|one| one.name == wanted || one.organisation.to_string() == wanted);
    }
    let names: Vec<String> = of.iter().map(|one| printable(&one.name)).collect();
    of.pop().filter(|_| of.is_empty()).ok_or_else(|| match names.len() {
        0 => CliError::new(Exit::NotFound, "You belong to no such organisation."),
        _ => CliError::new(Exit::Usage, format!("Which organisation: {}?", names.join(", ")))
            .hint("--organisation NAME"),
    })
}
