//! Clients of end-to-end encryption: whom they trust, and what their failures mean to a script.

use crate::Context;
use crate::commands::verify::{parse_register, read_pcrs};
use crate::error::{CliError, Exit};
use crate::files::read_limited;
use crate::verify::target::{TrustRoot, certificate_from_file, here, named_roots};
use caution_build::git::Repository;
use caution_measure::{Pcr, PcrIndex};
use caution_sdk::{
    Blame, Client, Error, EvidenceError, FileStore, Policy, PolicyError, Receipt, RootKind, Suite, Trust,
};
use std::path::{Path, PathBuf};

/// Whom to trust: options of every command that speaks to an enclave.
#[derive(Debug, clap::Args)]
pub(crate) struct Trusting {
    /// Trust an image with these PCR values: `enclave.pcrs` or `trusted_hashes.json`. Given several times, one of them
    /// must run. When absent: what `caution verify` verified last in this checkout, `.caution/trusted_hashes.json`.
    #[arg(long, value_name = "FILE")]
    pcrs: Vec<PathBuf>,

    /// Trust what is there the first time, remember it in this folder, and refuse everything else from then on.
    #[arg(long, value_name = "DIR", conflicts_with = "pcrs")]
    tofu_store: Option<PathBuf>,

    /// Expect this value of a further register: 3 is the parent's IAM role, 4 the parent instance, 8 the image's signer.
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = parse_register)]
    registers: Vec<(PcrIndex, Pcr)>,

    /// The deployment's key exchange; another one is refused, nothing is negotiated. When absent: the one that `caution
    /// verify` found in the source, else xwing.
    #[arg(long, value_name = "xwing|x25519", value_parser = parse_suite)]
    key_exchange: Option<Suite>,

    /// Whose root to believe: `aws`, `dev` (this machine's development root: proves no hardware), or a certificate file.
    /// When absent: `dev` for an application that this machine runs itself at exactly this address, else `aws`.
    #[arg(long, value_name = "aws|dev|FILE")]
    trust_root: Option<TrustRoot>,

    /// Have a document made for this session, in place of the one that the enclave shows everybody for some minutes.
    #[arg(long)]
    fresh: bool,

    /// Speak to an enclave that lets requests without encryption through to its application, too.
    #[arg(long)]
    allow_plaintext_fallback: bool,

    /// The certificate authority of the outer TLS, where it is none that everybody knows: PEM or DER.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

fn parse_suite(text: &str) -> Result<Suite, String> {
    let found = Suite::ALL.into_iter().find(|suite| suite.name() == text);
    found.ok_or_else(|| "not one of xwing, x25519".to_owned())
}

impl Trusting {
    /// Verifies the enclave at an address and makes a session with it.
    pub(crate) async fn connect(&self, context: &Context, address: &str) -> Result<Client, CliError> {
        let files = self.files()?;
        let here = match &self.trust_root {
            None => here(context, address.trim_end_matches('/'))?,
            Some(_) => None,
        };
        let roots = match &here {
            Some(here) => here.roots.clone(),
            None => named_roots(context, self.trust_root.as_ref())?,
        };
        let suite = self.key_exchange.or_else(|| files.iter().find_map(|path| recorded_suite(path)));
        let mut builder = Client::builder(address, self.policy(&files)?).evidence_roots(roots);
        if let Some(suite) = suite {
            builder = builder.suite(suite);
        }
        if let Some(root) = here.and_then(|here| here.tls_root) {
            builder = builder.tls_root(root);
        }
        if self.fresh {
            builder = builder.fresh_evidence();
        }
        if self.allow_plaintext_fallback {
            builder = builder.allow_plaintext_fallback();
        }
        if let Some(path) = &self.cacert {
            builder = builder.tls_root(certificate_from_file(path)?);
        }
        builder.connect().await.map_err(|e| failure(&e))
    }

    /// The files of registers that are trusted; none where the first sight is.
    fn files(&self) -> Result<Vec<PathBuf>, CliError> {
        match (&self.tofu_store, self.pcrs.as_slice()) {
            (Some(_), _) => Ok(Vec::new()),
            (None, []) => Ok(vec![last_verified()?]),
            (None, pcrs) => Ok(pcrs.to_vec()),
        }
    }

    fn policy(&self, files: &[PathBuf]) -> Result<Policy, CliError> {
        let mut policy = if let Some(folder) = &self.tofu_store {
            Policy::tofu(FileStore::new(folder))
        } else {
            let images = files.iter().map(|path| read_pcrs(path)).collect::<Result<Vec<_>, _>>()?;
            Policy::pinned(images).map_err(|e| CliError::from_error(Exit::Usage, &e))?
        };
        for (register, value) in &self.registers {
            policy =
                policy.and_register(*register, *value).map_err(|e| CliError::from_error(Exit::Usage, &e))?;
        }
        Ok(policy)
    }
}

/// What this checkout verified last.
fn last_verified() -> Result<PathBuf, CliError> {
    let root = Repository::discover(Path::new(".")).map(|repo| repo.root().to_path_buf());
    let path = root.unwrap_or_else(|_| PathBuf::from(".")).join(".caution/trusted_hashes.json");
    if path.is_file() {
        return Ok(path);
    }
    Err(CliError::new(Exit::Usage, "Nothing says which enclave is trusted.").hint(
        "caution verify --attestation-url URL      (writes .caution/trusted_hashes.json here)\n\
         --pcrs FILE, with the registers of an image that you built\n\
         --tofu-store DIR, to trust what is there the first time",
    ))
}

/// The suite that `caution verify` found in the source of these registers, if the file says one. The registers decide:
/// a file that says another one gets a refusal, and no other enclave.
fn recorded_suite(path: &Path) -> Option<Suite> {
    let bytes = read_limited(path, 64 * 1024).ok()?;
    let file: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    parse_suite(file["e2e"]["key_exchange"].as_str()?).ok()
}

/// One line about who is trusted and why.
pub(crate) fn trust_line(receipt: &Receipt) -> String {
    let who = match receipt.trust {
        Trust::Pinned => "its image is a trusted one".to_owned(),
        Trust::TofuEnrolled => "seen for the first time, trusted from now on".to_owned(),
        Trust::TofuMatched => "its image is the one that was seen first".to_owned(),
        Trust::Signed { version } => format!("its image is of release {version}"),
        _ => receipt.trust.to_string(),
    };
    let root = match receipt.root {
        RootKind::Aws => "AWS Nitro hardware",
        RootKind::Dev => "a development root, not hardware",
        RootKind::Other => "the root you named",
    };
    let pcr = |n: u8| receipt.pcrs.get(&n).map_or_else(|| "absent".to_owned(), Pcr::abbreviated);
    format!(
        "{}: {who} (PCR0 {}, PCR1 {}, PCR2 {}); evidence by {root}; encrypted into the enclave by {}",
        receipt.authority,
        pcr(0),
        pcr(1),
        pcr(2),
        receipt.suite
    )
}

/// A failure of the client, with its exit code and what to do about it.
pub(crate) fn failure(error: &Error) -> CliError {
    let shown = CliError::from_error(exit(error), error);
    match hint(error) {
        Some(hint) => shown.hint(hint),
        None => shown,
    }
}

fn exit(error: &Error) -> Exit {
    match error {
        Error::Address { .. } | Error::Request(_) => Exit::Usage,
        Error::Unreachable { .. } => Exit::Unreachable,
        Error::Evidence { cause, .. } => match &**cause {
            EvidenceError::Attestation(refusal) => match refusal.kind() {
                Blame::Debug => Exit::DebugMode,
                Blame::Mismatch => Exit::MeasurementMismatch,
                Blame::Misuse => Exit::Usage,
                _ => Exit::EvidenceInvalid,
            },
            _ => Exit::EvidenceInvalid,
        },
        Error::Untrusted { cause, .. } => match **cause {
            PolicyError::Changed { .. } => Exit::MeasurementMismatch,
            PolicyError::Release(_) => Exit::EvidenceInvalid,
            _ => Exit::Other,
        },
        Error::Handshake { .. } | Error::TooManyHandshakes { .. } => Exit::ChannelNotBound,
        error if error.may_have_run() => Exit::MayHaveRun,
        _ => Exit::Other,
    }
}

fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Unreachable { .. } => "is this an application with `e2e`, and does it run?",
        Error::Evidence { cause, .. } => match &**cause {
            EvidenceError::SuiteMismatch { found: Some(suite), .. } => {
                return Some(format!("--key-exchange {suite}, if you know that it is the deployment's"));
            }
            EvidenceError::PlaintextFallback => "--allow-plaintext-fallback, if that is what you want",
            _ if exit(error) == Exit::MeasurementMismatch => {
                "caution verify      (if another version was deployed: it compares with the source, and remembers)"
            }
            _ => return None,
        },
        Error::Untrusted { cause, .. } if matches!(**cause, PolicyError::Changed { .. }) => {
            "find out why it changed before you trust it: caution verify; then remove its file from the store"
        }
        _ if exit(error) == Exit::MayHaveRun => {
            "find out whether it ran, before you send it again; repeating a GET is safe"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Runs what waits for the network. What still reads standard input does not keep the program.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| CliError::from_error(Exit::Other, &e))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
