//! Why nothing is reachable, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

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
    /// Two apps have one host name.
    #[error("`{host}` is the name of two apps: `{first}` and `{second}`.")]
    HostTwice {
        /// The name.
        host: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// The path of the folder leaves no room for socket names, or has no form in JSON.
    #[error("The path of the folder {path} is too long for sockets, or not UTF-8.", path = .0.display())]
    Folder(PathBuf),
    /// A file or folder cannot be used.
    #[error("{doing} {path} failed.", path = .path.display())]
    File {
        /// What was done: `Reading`, `Creating` …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The system refused something that has no file.
    #[error("{doing} failed.")]
    System {
        /// What was done.
        doing: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl IngressError {
    /// What a failure at this file becomes.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::File { doing, path, cause }
    }

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
            Self::HostTwice { .. } => "give one of them another `domain`, or another name",
            Self::Folder(_) => "set XDG_RUNTIME_DIR to a short path",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
