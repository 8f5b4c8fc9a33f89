//! Signing images: key and certificate from files.

use crate::error::{CliError, Exit};
use crate::files::read_limited;
use crate::terminal::Terminal;
use caution_eif::{Signer, SigningCertificate};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Both or neither.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Sign the image with this key: PEM, curve P-384, not encrypted.
    #[arg(long, value_name = "FILE", requires = "signing_cert")]
    signing_key: Option<PathBuf>,

    /// The certificate of the signing key: PEM, a single one. PCR8 names it.
    #[arg(long, value_name = "FILE", requires = "signing_key")]
    signing_cert: Option<PathBuf>,
}

impl Args {
    /// Whoever signs, when the arguments name one. A certificate that is not valid now is warned about.
    ///
    /// Not refused: the same source, key and certificate give the same image on any day, and who
    /// rebuilds an old one needs it. It is starting it that Nitro refuses.
    pub(crate) fn signer(&self, terminal: Terminal) -> Result<Option<Signer>, CliError> {
        let (Some(key), Some(certificate)) = (&self.signing_key, &self.signing_cert) else {
            return Ok(None);
        };
        let signer = Signer::from_pem(&read_key(key)?, &read_limited(certificate, Signer::MAX_FILE)?)
            .map_err(|cause| CliError {
                message: format!(
                    "The image cannot be signed with {} and {}.",
                    key.display(),
                    certificate.display()
                ),
                causes: vec![cause.to_string()],
                hint: cause.fix().map(str::to_owned),
                exit: Exit::Usage,
            })?;
        if let Some(when) = not_valid(&signer.certificate(), jiff::Timestamp::now()) {
            let message = format!("{} {when}; Nitro does not start such an image", certificate.display());
            terminal.warning(&message, Some("sign with a certificate that is valid when the image starts"));
        }
        Ok(Some(signer))
    }
}

/// When the certificate is valid, if that is not now.
pub(super) fn not_valid(certificate: &SigningCertificate, now: jiff::Timestamp) -> Option<String> {
    let (from, until) = (time(certificate.valid_from), time(certificate.valid_until));
    if now < from {
        Some(format!("is not valid before {from}"))
    } else if now > until {
        Some(format!("has expired at {until}"))
    } else {
        None
    }
}

/// A time in a certificate.
pub(super) fn time(seconds: u64) -> jiff::Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

/// A whole key file, in memory that is wiped, allocated once so that no copy stays behind.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |cause: std::io::Error| CliError::io("The signing key cannot be read", path, &cause);
    let mut bytes = Zeroizing::new(Vec::with_capacity(Signer::MAX_FILE + 1));
    let file = File::open(path).map_err(failed)?;
    file.take(Signer::MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_outside_its_time_is_noticed_with_the_time() {
        let certificate =
            SigningCertificate { pcr8: caution_measure::Pcr::ZERO, valid_from: 1000, valid_until: 2000 };
        let at = |second| not_valid(&certificate, jiff::Timestamp::from_second(second).unwrap());
        assert_eq!(at(999).as_deref(), Some("is not valid before 1970-01-01T00:16:40Z"));
        assert_eq!((at(1000), at(2000)), (None, None));
        assert_eq!(at(2001).as_deref(), Some("has expired at 1970-01-01T00:33:20Z"));
    }
}
