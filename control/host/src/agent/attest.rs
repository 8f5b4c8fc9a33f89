//! What a new enclave attests, asked on its own socket before anybody else reaches it.

use crate::config::Dirs;
use crate::error::HostError;
use crate::event::Accelerator;
use crate::files::eventlog::unix_ms;
use crate::files::record::Record;
use crate::files::runtime;
use crate::run::dev_root_der;
use caution_abi::evidence::{self, MAX_RESPONSE, Request};
use caution_attest::{Blame, DebugPolicy, Evidence, Expected, Live, Roots, UnixMillis};
use caution_measure::{ImagePcrs, Measurements, Nonce};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the enclave may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How old the answer may be: both clocks are this machine's.
const MAX_AGE_MS: u64 = 5 * 60 * 1000;

/// Has the enclave attest to a fresh nonce that it is this image: on Nitro by AWS' root, elsewhere by the development
/// root of this machine.
///
/// An enclave in debug mode attests zeros, which say nothing about its image: that it answers is all that is asked.
pub(super) fn check(record: &Record, expected: Measurements, dirs: &Dirs) -> Result<(), HostError> {
    let unproven = |detail: String| HostError::Unproven { id: record.id.clone(), detail };
    let roots = match record.accelerator {
        Accelerator::Nitro => Roots::aws(),
        _ => Roots::dev_root(&dev_root_der(dirs)?).map_err(|e| unproven(e.to_string()))?,
    };
    let nonce = Nonce::new(runtime::random()?);
    let document = ask(&record.attestation_socket, &nonce).map_err(|e| unproven(e.to_string()))?;
    let now = UnixMillis(unix_ms());
    let image = [ImagePcrs { measurements: expected, pcr8: None }];
    let expected = Expected {
        profiles: if record.debug { &[] } else { &image },
        debug: if record.debug { DebugPolicy::Allow } else { DebugPolicy::Refuse },
        ..Expected::default()
    };
    let live = Live { now, nonce: nonce.as_bytes(), max_age_ms: MAX_AGE_MS };
    Evidence::parse(&document)
        .map_err(|e| unproven(e.to_string()))?
        .verify(&roots, &live, &expected)
        .map_err(|e| match e.kind() {
            Blame::Mismatch => {
                HostError::NotAsExpected(format!("Enclave {} attests another image: {e}.", record.id))
            }
            _ => unproven(e.to_string()),
        })?;
    Ok(())
}

/// `POST /attestation`; returns the document.
fn ask(socket: &Path, nonce: &Nonce) -> io::Result<Vec<u8>> {
    let malformed = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = serde_json::to_string(&Request::new(nonce))?;
    write!(
        stream,
        "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        evidence::PATH,
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_RESPONSE as u64 + MAX_HEAD).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or_else(|| malformed("it does not answer in HTTP"))?);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(io::Error::other(format!("it answers `{}`", line.escape_ascii())));
    }
    let response: evidence::Response = serde_json::from_slice(&body[4..])?;
    let document = data_encoding::BASE64.decode(response.document.as_bytes());
    document.map_err(|_| malformed("its document is no base64"))
}

/// The longest head of an answer, in bytes.
const MAX_HEAD: u64 = 16 * 1024;
