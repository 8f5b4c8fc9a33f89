//! Why an enclave does not run on Nitro, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// What went wrong between this program, nitro-cli and the parent's kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NitroError {
    /// nitro-cli is not installed.
    #[error("nitro-cli is not installed: there is no `{}`.", .0.display())]
    CliMissing(PathBuf),
    /// Not an EC2 instance that may run enclaves.
    #[error("This machine cannot run Nitro enclaves: there is no {}.", .0.display())]
    NoDevice(PathBuf),
    /// The device belongs to others.
    #[error("{} cannot be opened.", .path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The allocator's pool has too little left.
    #[error(
        "The enclave needs {asked}{unit}, and the pool that is set apart for enclaves has {free} free of {whole}."
    )]
    Pool {
        /// ` MiB of memory` or ` CPUs`.
        unit: &'static str,
        /// Needed.
        asked: u64,
        /// Not given to an enclave.
        free: u64,
        /// In the pool.
        whole: u64,
        /// The setting of the allocator.
        setting: &'static str,
    },
    /// A command failed, with an error code of its own.
    #[error("`nitro-cli {command}` failed: {said}")]
    Refused {
        /// Which.
        command: &'static str,
        /// Its code, such as `E27`, where it named one.
        code: Option<String>,
        /// In its own words.
        said: String,
    },
    /// A command printed something else than it should.
    #[error("`nitro-cli {command}` answered something that is not understood: {why}.")]
    Answer {
        /// Which.
        command: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A command did not end.
    #[error("`nitro-cli {command}` did not end within {seconds} s and was killed.")]
    Hung {
        /// Which.
        command: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The enclave is not what was asked for.
    #[error("nitro-cli started an enclave whose {what} is {found}, and {asked} was asked for; it was ended.")]
    Other {
        /// `CID`, `debug mode` …
        what: &'static str,
        /// Asked for.
        asked: String,
        /// Reported.
        found: String,
    },
    /// A port that enclaves know their parent by is somebody else's.
    #[error("Port {port} of this parent, which its enclaves connect to, cannot be listened on.")]
    ParentPort {
        /// The port.
        port: u32,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Every context id of ours is in use.
    #[error("No context id is free for the enclave: {0} run under this user.")]
    NoCid(u32),
}

impl NitroError {
    /// What to do about it.
    pub(crate) fn fix(&self) -> Option<String> {
        Some(match self {
            Self::CliMissing(_) => "dnf install aws-nitro-enclaves-cli".to_owned(),
            Self::NoDevice(_) => {
                "start the instance with `--enclave-options Enabled=true`, or choose the driver qemu"
                    .to_owned()
            }
            Self::Device { .. } => JOIN.to_owned(),
            Self::Pool { setting, .. } => allocator(setting),
            Self::Refused { code, .. } => return code.as_deref().and_then(fix_of),
            Self::ParentPort { .. } => {
                "stop what listens there; enclaves of one parent are looked after by one user".to_owned()
            }
            _ => return None,
        })
    }
}

/// By the codes of nitro-cli (its `document_errors.rs`; the user guide's page `cli-errors`).
fn fix_of(code: &str) -> Option<String> {
    Some(match code {
        "E07" | "E18" | "E19" | "E56" => {
            format!("systemctl enable --now nitro-enclaves-allocator      (and {JOIN})")
        }
        "E21" | "E22" => allocator("cpu_count"),
        "E25" | "E27" | "E35" | "E42" => allocator("memory_mib"),
        "E26" => "declare more `memory`: it holds the image, and what is unpacked of it".to_owned(),
        "E29" | "E31" | "E32" | "E33" => {
            "dmesg | grep nitro_enclaves      (the kernel says why it refused; often CPUs or memory of an enclave \
             that has just ended, which is over in a moment)"
                .to_owned()
        }
        // The console of --debug is opened after the heartbeat, which did not come.
        "E36" => "see its console: nitro-cli run-enclave --debug-mode --attach-console --cpu-count N --memory MIB \
                  --eif-path FILE"
            .to_owned(),
        _ => return None,
    })
}

fn allocator(setting: &str) -> String {
    format!(
        "raise `{setting}` in /etc/nitro_enclaves/allocator.yaml, then: systemctl restart nitro-enclaves-allocator"
    )
}

const JOIN: &str = "join the group ne: usermod -aG ne USER, then log in again";
