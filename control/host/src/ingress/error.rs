//! Why nothing is reachable, each with what to do about it.

use crate::error::{HostError, in_one_line};
use std::path::PathBuf;

/// Why the ingress does not run, or does not take routes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngressError {
    /// Caddy is not installed.
    #[error("Caddy is not installed; it ends TLS in front of the apps of this machine.")]
    CaddyMissing,
    /// Caddy ended at once, or never answered.
    #[error("Caddy does not run: {reason}.")]
    CaddyEnded {
        /// How it ended, or what is missing, and the end of what it wrote.
        reason: String,
    },
    /// Another program listens where Caddy is to listen.
    #[error("Another program listens on {address}, where apps are to be reached.")]
    AddressTaken {
        /// Address and port.
        address: String,
    },
    /// This user may not listen there, or this machine has no such address.
    #[error("Caddy cannot listen on {address}: {reason}.")]
    AddressRefused {
        /// Address and port.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// Caddy refused the configuration that was made for it.
    #[error("Caddy refused its configuration: {answer}.")]
    Refused {
        /// What it answered.
        answer: String,
    },
    /// The path of the folder leaves no room for socket names, or has no form in JSON.
    #[error("The path of the folder {path} is too long for sockets, or not UTF-8.", path = .0.display())]
    Folder(PathBuf),
    /// A file or folder, or something else of the system, cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl IngressError {
    /// What to do about it, as a command or a sentence.
    pub fn fix(&self) -> Option<String> {
        let text = match self {
            Self::CaddyMissing => {
                "apt-get install --no-install-recommends caddy; systemctl disable --now caddy"
            }
            Self::AddressTaken { .. } => {
                "stop that program (ss -ltnup shows it), or configure another port for the ingress"
            }
            Self::AddressRefused { .. } => {
                "configure another address or a port from 1024 for the ingress, or run the agent as root"
            }
            Self::Folder(_) => "set XDG_RUNTIME_DIR to a short path",
            Self::Host(error) => return error.fix(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The message with its causes, outermost first, as one line.
    pub(crate) fn with_causes(&self) -> String {
        in_one_line(self)
    }
}
