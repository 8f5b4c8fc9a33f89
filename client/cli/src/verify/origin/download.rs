//! An archive over https, into a file.

use crate::error::CliError;
use caution_build::git::{Remote, RemoteError, SourceUrl};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Forges send from an address to another one of theirs, over https still.
const MAX_REDIRECTS: u32 = 5;
const CONNECT: Duration = Duration::from_mins(1);

/// Fetches the archive into a file of `folder`, which it returns. Nobody is told who asks: there is no name or
/// password for archives.
pub(super) fn download(
    url: &SourceUrl,
    remote: &Remote<'_>,
    folder: &Path,
    max: u64,
) -> Result<PathBuf, RemoteError> {
    let failed = |said: String| RemoteError::Failed { url: url.to_string(), said };
    let tls = match remote.authorities()? {
        Some(path) => {
            TlsConfig::builder().root_certs(authorities(&path).map_err(|e| failed(e.message))?).build()
        }
        None => TlsConfig::default(),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .https_only(true)
        .max_redirects(MAX_REDIRECTS)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(remote.time_left()))
        .tls_config(tls)
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent.get(url.as_str()).call().map_err(|error| failed(error.to_string()))?;
    match answer.status().as_u16() {
        200 => {}
        401 | 403 | 404 => {
            let said = format!("it answered HTTP {}", answer.status().as_u16());
            return Err(RemoteError::NotFound { url: url.to_string(), said });
        }
        other => return Err(failed(format!("it answered HTTP {other}"))),
    }
    let path = folder.join("archive");
    let io_error = |source| RemoteError::Io { path: path.clone(), source };
    let mut file = File::create(&path).map_err(io_error)?;
    // One byte more than may be, so that too much is told from exactly enough.
    let mut body = io::Read::take(answer.body_mut().as_reader(), max.saturating_add(1));
    let length = io::copy(&mut body, &mut file).map_err(|error| failed(error.to_string()))?;
    if length > max {
        return Err(RemoteError::TooLarge { url: url.to_string(), limit: max });
    }
    Ok(path)
}

/// The certificates of a PEM file that the user named to git.
fn authorities(path: &Path) -> Result<RootCerts, CliError> {
    let bytes = crate::files::read_limited(path, 4 << 20)?;
    let certificates = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(RootCerts::from(certificates.collect::<Vec<_>>()))
}
