//! Telling another service of a change, so that it can know who tells.

use crate::error::{CliError, Exit};
use crate::files::read_limited;
use crate::verify::fetch::{agent, is_loopback};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// An address, and the key that both sides know.
pub(crate) struct Webhook {
    url: String,
    key: Zeroizing<Vec<u8>>,
}

impl Webhook {
    /// Takes the key from a file of 16 bytes to 4 KiB; line ends at its end do not count.
    pub(crate) fn new(url: &str, key: &Path) -> Result<Self, CliError> {
        let secure = url.starts_with("https://") || (url.starts_with("http://") && is_loopback(url));
        if !secure {
            return Err(CliError::new(Exit::Usage, format!("`{url}` is not an https URL."))
                .hint("--webhook https://… (http only to this machine itself)"));
        }
        let mut bytes = Zeroizing::new(read_limited(key, MAX_KEY)?);
        let length = bytes.trim_ascii_end().len();
        bytes.truncate(length);
        if bytes.len() < MIN_KEY {
            let message =
                format!("{} has {} bytes; a key has {MIN_KEY} at least.", key.display(), bytes.len());
            return Err(
                CliError::new(Exit::Usage, message).hint("openssl rand -hex 32 >FILE; chmod 600 FILE")
            );
        }
        Ok(Self { url: url.to_owned(), key: bytes })
    }

    /// Posts one event; no redirects, ten seconds, any 2xx answer will do.
    pub(super) fn tell(&self, event: &str, now: jiff::Timestamp) -> Result<(), CliError> {
        let failed = |cause: String| CliError {
            exit: Exit::Other,
            message: "The webhook was not told.".to_owned(),
            causes: vec![cause],
            hint: None,
        };
        let answer = agent(&self.url, TIMEOUT)
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header(HEADER, signature(&self.key, now.as_second(), event))
            .send(event)
            .map_err(|cause| failed(cause.to_string()))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(failed(format!("it answered {}", answer.status())))
        }
    }
}

/// `t=<seconds since 1970>,v1=<hex HMAC-SHA-256 over "<t>.<body>">`. With the time in it, a recording ages.
fn signature(key: &[u8], time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

const HEADER: &str = "X-Caution-Signature";
const TIMEOUT: Duration = Duration::from_secs(10);
const MIN_KEY: usize = 16;
const MAX_KEY: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// The figure is of `printf '7.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn events_are_signed_with_their_time() {
        assert_eq!(
            signature(b"0123456789abcdef", 7, "{}"),
            "t=7,v1=3cd0ad802237a2c96b7ee3b06705b7350cc8cf0ba4123033d13eda91ad9c4ec2"
        );
    }

    #[test]
    fn keys_are_long_enough_and_addresses_private() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "0123456789abcdef\r\n").unwrap();
        assert_eq!(Webhook::new("https://a.b/hook", &key).unwrap().key.len(), 16);
        assert!(Webhook::new("http://127.0.0.1:1/hook", &key).is_ok());
        assert_eq!(Webhook::new("http://a.b/hook", &key).err().unwrap().exit, Exit::Usage);
        std::fs::write(&key, "short\n").unwrap();
        assert_eq!(Webhook::new("https://a.b/hook", &key).err().unwrap().exit, Exit::Usage);
    }
}
