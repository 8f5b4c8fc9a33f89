//! Which driver, and where its tools are.

use super::Driver;
use super::nitro::{Nitro, Pool};
use super::qemu::Emulator;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What runs enclaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DriverKind {
    /// Nitro hardware where this machine has it and nitro-cli, else QEMU.
    #[default]
    Auto,
    /// QEMU.
    Qemu,
    /// Nitro hardware, by nitro-cli.
    Nitro,
}

impl FromStr for DriverKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "qemu" => Ok(Self::Qemu),
            "nitro" => Ok(Self::Nitro),
            _ => Err("expected auto, qemu or nitro".to_owned()),
        }
    }
}

/// What runs enclaves on this machine: the table `[driver]` of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverSettings {
    /// Which.
    pub kind: DriverKind,
    /// nitro-cli, or a name to be found in `PATH`.
    pub nitro_cli: PathBuf,
    /// What a parent of Nitro enclaves has.
    pub device: PathBuf,
    /// Where the kernel tells what is set apart for enclaves.
    pub sys: PathBuf,
    /// A folder of Unix sockets in the place of AF_VSOCK, for tests.
    #[cfg(any(test, feature = "fake-vsock"))]
    pub vsock_folder: Option<PathBuf>,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            kind: DriverKind::Auto,
            nitro_cli: "nitro-cli".into(),
            device: "/dev/nitro_enclaves".into(),
            sys: "/sys".into(),
            #[cfg(any(test, feature = "fake-vsock"))]
            vsock_folder: None,
        }
    }
}

impl DriverSettings {
    /// The driver; `run` is a folder that marks what is started to find out.
    pub(crate) fn choose(&self, run: &Path) -> Box<dyn Driver> {
        if self.is_nitro(run) { Box::new(Nitro::new(self.clone())) } else { Box::new(Emulator) }
    }

    /// What is set apart for enclaves, where they are not QEMU's.
    pub(crate) fn pool(&self, run: &Path) -> Option<Pool> {
        self.is_nitro(run).then(|| Nitro::pool(self))
    }

    fn is_nitro(&self, run: &Path) -> bool {
        match self.kind {
            DriverKind::Qemu => false,
            DriverKind::Nitro => true,
            DriverKind::Auto => Nitro::is_here(self, run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nitro_is_chosen_where_the_device_is_and_nitro_cli_works() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("nitro_enclaves");
        let here = |kind, nitro_cli: &str| {
            let nitro_cli = PathBuf::from(nitro_cli);
            DriverSettings { kind, nitro_cli, device: device.clone(), ..DriverSettings::default() }
                .is_nitro(root.path())
        };
        assert!(!here(DriverKind::Auto, "true"), "there is no device");
        assert!(here(DriverKind::Nitro, "true"), "whoever asks for it is told what is missing");
        std::fs::write(&device, "").unwrap();
        assert!(here(DriverKind::Auto, "true"));
        assert!(!here(DriverKind::Auto, "false") && !here(DriverKind::Auto, "/nonexistent/nitro-cli"));
        assert!(!here(DriverKind::Qemu, "true"));
    }

    #[test]
    fn settings_are_read_strictly() {
        let read = |text: &str| toml::from_str::<DriverSettings>(text);
        assert_eq!(read("").unwrap(), DriverSettings::default());
        assert_eq!(read("kind = \"nitro\"").unwrap().kind, DriverKind::Nitro);
        assert!(read("kind = \"xen\"").is_err() && read("drive = 1").is_err());
    }
}
