//! What to do about each failure.

use super::HostError;
use std::io;

impl HostError {
    /// What to do about it, as a command or a sentence.
    pub fn fix(&self) -> Option<String> {
        let text = match self {
            Self::QemuMissing { .. } => "apt-get install qemu-system-x86".to_owned(),
            Self::Nitro(error) => return error.fix(),
            Self::OtherRuntime { runtime, .. } => {
                let base = runtime.parent().unwrap_or(runtime).display();
                format!("XDG_RUNTIME_DIR={base} (`runtime` of caution-host's file), or end them there first")
            }
            Self::SetprivMissing => "apt-get install util-linux".to_owned(),
            Self::GuestReset { debug: false, .. }
            | Self::QemuEnded { debug: false, .. }
            | Self::BootTimeout { debug: false, .. } => "run it with --debug to see the console".to_owned(),
            Self::EnclaveMemory { needed_mib, .. } => {
                let suggestion = needed_mib.next_multiple_of(256);
                format!("`memory: {suggestion}` in Procfile, or a smaller base image")
            }
            Self::Signature { .. } => {
                "sign it again: caution apps build --signing-key FILE --signing-cert FILE".to_owned()
            }
            Self::HostMemory { .. } => {
                "stop another enclave (caution apps ps), or declare less `memory`".to_owned()
            }
            Self::Disk { path, .. } => format!("make room on the file system of {}", path.display()),
            Self::PortTaken { enclave, .. } if *enclave == caution_abi::ports::ATTESTATION => {
                "choose another port with --attestation-port, or stop what listens there".to_owned()
            }
            Self::PortTaken { enclave, .. } => {
                format!("--publish OTHER:{enclave}, or stop what listens there")
            }
            Self::PortDenied { enclave, address, .. } if address.port() < 1024 => {
                format!(
                    "--publish {}:{enclave}; ports below 1024 are for root",
                    u32::from(address.port()) + 8000
                )
            }
            Self::PathNotUtf8(_) => "move it to a path that is UTF-8".to_owned(),
            Self::File { path, cause, .. } if cause.kind() == io::ErrorKind::StorageFull => {
                format!("make room on the file system of {}", path.display())
            }
            Self::DevRoot { path, cause: caution_devnsm::DevRootError::File { source, .. } }
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                format!("make room on the file system of {}", path.display())
            }
            Self::NoDeployedImage { name, .. } => {
                format!("caution apps stop {name}      (then run it again: its image is kept while it runs)")
            }
            Self::NotOurs { .. } => {
                "run this as that user, or choose other folders (XDG_STATE_HOME, XDG_RUNTIME_DIR)".to_owned()
            }
            Self::RuntimePath { .. } => "set XDG_RUNTIME_DIR to a short path".to_owned(),
            Self::Told { fix, .. } => return fix.clone(),
            Self::NotRunning(_) | Self::Ambiguous { .. } => {
                "caution apps ps      (then name it, or its id)".to_owned()
            }
            Self::RunsAlready(name) => {
                format!(
                    "caution apps run --replace --name {name}      (a new version in its place), or another --name"
                )
            }
            Self::HostTwice { .. } => "give one of them another `domain`, or another name".to_owned(),
            Self::BootsAlready(name) => {
                format!("wait until it is ready, or end it (caution apps stop {name})")
            }
            Self::NothingToReplace(_) => "caution apps run --detach      (without --replace)".to_owned(),
            Self::NotAdmitted(_) => {
                "stop one of them (caution apps stop NAME), or ask for less (--memory MIB, --cpus N)"
                    .to_owned()
            }
            Self::OtherImage(name) => format!("caution apps stop {name}      (then run it again)"),
            Self::AgentProtocol { .. } => {
                "stop that agent; the next command starts one of this version".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}
