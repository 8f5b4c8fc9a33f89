//! What this machine's user reads from a file, not over the wire.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `local.json` in the data folder of a platform on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Where the API answers: `http://127.0.0.1:7280`.
    pub api: String,
    /// Where git is served by SSH.
    pub git: SocketAddr,
    /// The git server's public key: algorithm and key, as in `known_hosts` after the host.
    pub git_host_key: String,
    /// This user's token.
    pub token: String,
    /// The server's process.
    pub pid: u32,
}
