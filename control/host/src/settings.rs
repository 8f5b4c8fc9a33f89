//! What a user says about this machine: the file `<state>/host.toml`.

use crate::config::{Dirs, read_settings};
use crate::driver::DriverSettings;
use crate::error::HostError;
use crate::ingress::Overrides;
use serde::Deserialize;

/// The file; what it does not name stays as it is without one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserFile {
    /// How apps are reached by HTTPS.
    pub(crate) ingress: Overrides,
    /// What runs enclaves.
    pub(crate) driver: DriverSettings,
}

/// Reads it, where it exists.
pub(crate) fn of_user(dirs: &Dirs) -> Result<UserFile, HostError> {
    Ok(read_settings(&dirs.state.join("host.toml"))?.unwrap_or_default())
}
