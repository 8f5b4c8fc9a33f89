//! What to run, and where the host agent keeps its files.

use crate::error::HostError;
use crate::ingress::IngressSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The folders of one user's host agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dirs {
    /// Survives reboots: the development root and logs, and the images of live enclaves; for example
    /// `~/.local/state/caution`.
    pub state: PathBuf,
    /// Sockets and records of live enclaves; short, because a Unix socket's path has at most 107
    /// bytes. For example `$XDG_RUNTIME_DIR/caution`. Created with mode 0700.
    pub runtime: PathBuf,
    /// Room for the private copy of an image while it runs (unnamed files), and probe results.
    pub cache: PathBuf,
}

impl Dirs {
    /// Where the development root lies.
    pub(crate) fn dev_root(&self) -> PathBuf {
        self.state.join("devroot")
    }

    /// Where event logs lie.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Where the images of live enclaves lie.
    pub(crate) fn deployed(&self) -> PathBuf {
        self.state.join("deployed")
    }

    /// The folder of one live enclave.
    pub(crate) fn enclave(&self, id: &str) -> PathBuf {
        self.runtime.join(id)
    }
}

/// One enclave to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The app's name, for people, `list` and the log's file name: 1 to 64 of `a-z A-Z 0-9 - _ .`,
    /// not beginning with a dot.
    pub name: String,
    /// The image.
    pub eif: PathBuf,
    /// The manifest's bytes, handed to the enclave as they are.
    pub manifest: Option<Vec<u8>>,
    /// The checkout the app was built from.
    pub checkout: Option<PathBuf>,
    /// Application ports to publish on 127.0.0.1.
    pub ports: Vec<PublishedPort>,
    /// The port of the enclave that speaks HTTP, which the run's Unix socket `http` leads to.
    pub http_port: Option<u16>,
    /// Whether STEVE stands in front of `http_port`: what comes to it goes to the enclave's port for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub e2e: bool,
    /// What the app declares about being reached; nothing of it is measured.
    pub ingress: IngressSpec,
    /// Where raw ports, all but `http_port`, are opened besides 127.0.0.1; an unspecified address: everywhere. For apps of
    /// an agent it is the agent that says so.
    #[serde(default)]
    pub listen: Vec<IpAddr>,
    /// Where `/attestation` is published on 127.0.0.1; `None`: 49502, or a free one if that is taken.
    pub attestation_port: Option<u16>,
    /// Virtual CPUs, 1 to 64.
    pub cpus: u32,
    /// Memory of the enclave in MiB.
    pub memory_mib: u32,
    /// Debug mode: console and logs are open, attested PCRs are zero.
    pub debug: bool,
}

impl RunConfig {
    /// The vsock port that one of the app's leads to.
    pub(crate) fn way_to(&self, port: u16) -> u16 {
        if self.e2e && self.http_port == Some(port) { caution_abi::ports::E2E } else { port }
    }

    /// Whether `name` may name a log file.
    pub(crate) fn name_is_valid(&self) -> bool {
        name_is_valid(&self.name)
    }

    /// One for tests.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self {
            name: "t".to_owned(),
            eif: PathBuf::new(),
            manifest: None,
            checkout: None,
            ports: Vec::new(),
            http_port: None,
            e2e: false,
            ingress: IngressSpec::default(),
            listen: Vec::new(),
            attestation_port: None,
            cpus: 1,
            memory_mib: 64,
            debug: false,
        }
    }
}

/// Whether `name` may name a log file, and a folder of the agent.
pub(crate) fn name_is_valid(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// A port of the enclave made reachable on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// The app's port, and the vsock port of the same number.
    pub enclave: u16,
    /// The TCP port on 127.0.0.1; `None`: the same number.
    pub host: Option<u16>,
}

impl PublishedPort {
    /// The TCP port on 127.0.0.1.
    pub fn host_port(&self) -> u16 {
        self.host.unwrap_or(self.enclave)
    }
}

/// The binary that is started again for the hidden sub-commands: as an agent, a supervisor, a janitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    exe: PathBuf,
}

impl Program {
    /// A binary whose `internal` sub-command is [`crate::internal`].
    pub fn new(exe: &Path) -> Self {
        Self { exe: exe.to_owned() }
    }

    /// This very binary, even when its file was replaced since it started.
    pub(crate) fn this_binary() -> Self {
        Self { exe: PathBuf::from("/proc/self/exe") }
    }

    /// The path to start.
    pub(crate) fn exe(&self) -> &Path {
        &self.exe
    }
}

/// Reads a file of settings, TOML; nothing where there is none.
pub fn read_settings<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, HostError> {
    let failed = |why: String| HostError::Settings { path: path.to_owned(), why };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SETTINGS + 1).read_to_string(&mut text));
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e.to_string())),
        Ok(length) if length as u64 > MAX_SETTINGS => {
            Err(failed(format!("it has more than {MAX_SETTINGS} bytes")))
        }
        Ok(_) => toml::from_str(&text).map(Some).map_err(|e| failed(e.to_string())),
    }
}

/// The longest file of settings, in bytes.
const MAX_SETTINGS: u64 = 64 * 1024;
