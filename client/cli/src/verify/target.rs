//! Which enclave to ask, and whose root to believe.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::link;
use crate::verify::fetch::{attestation_url, shown};
use caution_api::AppState;
use caution_attest::Roots;
use caution_build::git::{GitError, Repository};
use caution_host::agent::{AgentClient, Reached};
use caution_host::{Accelerator, Record};
use std::path::Path;

/// An enclave to verify.
pub(crate) struct Target {
    /// Where `/attestation` answers. It may hold a password: others are told what [`shown`] leaves of it.
    pub url: String,
    /// What people call it.
    pub name: String,
    /// The roots evidence may come from.
    pub roots: Roots,
    /// What this machine's host agent knows of it, where it runs here.
    pub record: Option<Record>,
}

/// `--trust-root`.
#[derive(Debug, Clone)]
pub(crate) enum TrustRoot {
    /// AWS Nitro Enclaves Root-G1.
    Aws,
    /// This machine's development root.
    Dev,
    /// A PEM or DER certificate.
    File(std::path::PathBuf),
}

impl std::str::FromStr for TrustRoot {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "aws" => Self::Aws,
            "dev" => Self::Dev,
            path => Self::File(path.into()),
        })
    }
}

/// Finds the enclave: the URL if given, else that of the app that this checkout is linked to, else the one this
/// checkout runs on this machine.
///
/// The development root is trusted only when it is named, or for an enclave that this machine's own
/// records say it runs, without Nitro hardware, at exactly this address.
pub(crate) fn resolve(
    context: &Context,
    url: Option<&str>,
    trust: Option<&TrustRoot>,
) -> Result<Target, CliError> {
    let records = caution_host::list(&context.config.host_dirs())?;
    let (url, local) = if let Some(url) = url {
        let url = attestation_url(url)?;
        let local = records.into_iter().find(|record| record.attestation_url == url);
        (url, local)
    } else if let Some(url) = of_the_platform(context)? {
        let local = records.into_iter().find(|record| record.attestation_url == url);
        (url, local)
    } else {
        let record = of_this_checkout(records)?;
        (record.attestation_url.clone(), Some(record))
    };
    let roots = match (trust, &local) {
        (None, Some(record)) if record.accelerator != Accelerator::Nitro => dev_roots(context)?,
        (named, _) => named_roots(context, named)?,
    };
    let name = local.as_ref().map_or_else(|| host_of(&shown(&url)).to_owned(), |record| record.name.clone());
    Ok(Target { url, name, roots, record: local })
}

/// An application of this machine.
pub(crate) struct Here {
    /// Whose evidence counts.
    pub roots: Roots,
    /// The authority of its HTTPS, where it is reached by that.
    pub tls_root: Option<Vec<u8>>,
}

/// The application that this machine's own records say it runs at exactly this address, `scheme://host:port`.
pub(crate) fn here(context: &Context, address: &str) -> Result<Option<Here>, CliError> {
    let dirs = context.config.host_dirs();
    let records = caution_host::list(&dirs)?;
    let roots = |record: &Record| match record.accelerator {
        Accelerator::Nitro => Ok(Roots::aws()),
        _ => dev_roots(context),
    };
    let is_published = |record: &&Record| {
        record.ports.iter().any(|(_, host)| *address == format!("http://127.0.0.1:{host}"))
    };
    if let Some(record) = records.iter().find(is_published) {
        return Ok(Some(Here { roots: roots(record)?, tls_root: None }));
    }
    // Names that lead to this machine wherever they are asked for; an agent runs where it has an app to look after.
    let host = host_of(address).rsplit_once(':').map_or_else(|| host_of(address), |(host, _)| host);
    if !host.ends_with(".localhost") || records.iter().all(|record| record.generation.is_none()) {
        return Ok(None);
    }
    let Reached::By(state) = AgentClient::new(&dirs).ingress()? else { return Ok(None) };
    let is_at = |urls: &[String]| urls.iter().any(|url| url.trim_end_matches('/') == address);
    let name = state.addresses.iter().find(|(_, urls)| is_at(urls)).map(|(name, _)| name);
    let Some(record) = records.iter().find(|record| Some(&record.name) == name) else { return Ok(None) };
    let tls_root = Some(certificate_from_file(&state.local_root)?);
    Ok(Some(Here { roots: roots(record)?, tls_root }))
}

/// Where the app answers that this checkout is linked to, where a platform knows it. Nothing else is taken from there.
fn of_the_platform(context: &Context) -> Result<Option<String>, CliError> {
    let Some((_, app)) = link::of_this_checkout(context) else { return Ok(None) };
    match (app.state, app.attestation_url) {
        (AppState::Empty, _) => Ok(None),
        (_, Some(url)) => attestation_url(&url).map(Some),
        (_, None) => Err(CliError::new(Exit::Unreachable, format!("Nothing of {} runs.", app.name))
            .hint("caution apps start\ncaution apps get")),
    }
}

/// The roots that were named; AWS's when none was.
pub(crate) fn named_roots(context: &Context, trust: Option<&TrustRoot>) -> Result<Roots, CliError> {
    match trust {
        Some(TrustRoot::Aws) | None => Ok(Roots::aws()),
        Some(TrustRoot::Dev) => dev_roots(context),
        Some(TrustRoot::File(path)) => roots_from_file(path),
    }
}

/// The enclave started from the repository around the current folder.
fn of_this_checkout(records: Vec<Record>) -> Result<Record, CliError> {
    let root = match Repository::discover(Path::new(".")) {
        Ok(repo) => Some(repo.root().to_path_buf()),
        // Which checkout this is cannot be known, so nothing can be said about its enclave.
        Err(error @ GitError::Missing) => return Err(CliError::from(error).with_exit(Exit::CannotReproduce)),
        Err(_) => None,
    };
    records
        .into_iter()
        .filter(|record| root.is_some() && record.checkout == root)
        .max_by_key(|record| record.started_at_unix)
        .ok_or_else(|| {
            CliError::new(Exit::Unreachable, "No enclave of this checkout runs on this machine.")
                .hint("caution apps run --detach      (then verify)\ncaution verify --attestation-url https://your-app.example.com/attestation")
        })
}

fn dev_roots(context: &Context) -> Result<Roots, CliError> {
    let der = caution_host::dev_root_der(&context.config.host_dirs())?;
    Roots::dev_root(&der).map_err(|e| CliError::from_error(Exit::Other, &e))
}

/// A root certificate from a PEM or DER file of at most 64 KiB.
pub(crate) fn roots_from_file(path: &Path) -> Result<Roots, CliError> {
    let der = certificate_from_file(path)?;
    Roots::from_der(&[&der]).map_err(|e| CliError { causes: vec![e.to_string()], ..no_certificate(path) })
}

/// The DER form of a certificate in a PEM or DER file of at most 64 KiB. What is in it is not looked at.
pub(crate) fn certificate_from_file(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = crate::files::read_limited(path, 64 * 1024)?;
    let der = if bytes.starts_with(b"-----BEGIN") { pem_to_der(&bytes) } else { Some(bytes) };
    der.ok_or_else(|| no_certificate(path))
}

fn no_certificate(path: &Path) -> CliError {
    CliError::new(Exit::Usage, format!("{} holds no PEM or DER certificate.", path.display()))
        .hint("--trust-root dev, --trust-root aws, or a certificate file")
}

/// The first certificate of a PEM text (RFC 7468).
fn pem_to_der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    data_encoding::BASE64.decode(body.as_bytes()).ok()
}

/// The authority of a URL, for display.
fn host_of(url: &str) -> &str {
    url.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or(url)
}
