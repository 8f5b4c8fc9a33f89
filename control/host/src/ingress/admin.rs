//! Caddy's admin API over its Unix socket: HTTP/1.0, one question a connection.

use super::error::IngressError;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Caddy answers only requests that name it: pages that a browser shows cannot.
pub(crate) const ORIGIN: &str = "caution";
/// Longer answers are none of Caddy's.
const MAX_ANSWER: u64 = 64 * 1024;
/// Taking a configuration lasts milliseconds; on a busy machine, some more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a question has no good answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody is there, or went away meanwhile.
    Gone,
    /// Caddy said no.
    Refused(String),
}

impl Unanswered {
    /// The error that what Caddy said stands for.
    pub(crate) fn into_error(self) -> IngressError {
        match self {
            Self::Gone => IngressError::CaddyEnded { reason: "its admin socket does not answer".to_owned() },
            Self::Refused(answer) => refusal(answer),
        }
    }
}

/// Hands Caddy a configuration. Nothing changes when it already has this one, or refuses it.
pub(crate) fn load(socket: &Path, config: &[u8]) -> Result<(), Unanswered> {
    ask(socket, "POST", "/load", config)
}

/// Whether Caddy answers.
pub(crate) fn is_there(socket: &Path) -> bool {
    ask(socket, "GET", "/config/admin", b"").is_ok()
}

/// Asks Caddy to end.
pub(crate) fn stop(socket: &Path) -> Result<(), Unanswered> {
    ask(socket, "POST", "/stop", b"")
}

fn ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> Result<(), Unanswered> {
    let answer = exchange(socket, method, path, body).map_err(|_| Unanswered::Gone)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(Unanswered::Gone)?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(Unanswered::Refused(said(body))),
    }
}

fn exchange(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {ORIGIN}\r\nOrigin: http://{ORIGIN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The text of `{"error": "…"}`.
fn said(body: &str) -> String {
    let error = serde_json::from_str::<serde_json::Value>(body).ok();
    let text = error.as_ref().and_then(|error| error.get("error")?.as_str()).unwrap_or(body);
    text.trim().trim_end_matches('.').chars().take(400).collect()
}

/// Tells an address that cannot be listened on from a configuration that is wrong. The text is
/// Go's: `listening on :443: listen tcp :443: bind: address already in use`.
fn refusal(answer: String) -> IngressError {
    let listening = ["listen tcp ", "listen udp "].iter().find_map(|word| {
        let (_, rest) = answer.split_once(word)?;
        rest.split_once(": ")
    });
    match listening {
        None => IngressError::Refused { answer },
        Some((address, why)) if why.contains("address already in use") => {
            IngressError::AddressTaken { address: address.to_owned() }
        }
        Some((address, why)) => {
            let reason = why.trim_start_matches("bind: ").to_owned();
            IngressError::AddressRefused { address: address.to_owned(), reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_says_of_addresses_is_understood() {
        let text = |address: &str, why: &str| {
            let said = format!("http app module: start: listening on {address}: listen tcp {address}: {why}");
            refusal(said).to_string()
        };
        assert_eq!(
            text(":443", "bind: address already in use"),
            "Another program listens on :443, where apps are to be reached."
        );
        assert_eq!(
            text("[::1]:443", "bind: permission denied"),
            "Caddy cannot listen on [::1]:443: permission denied."
        );
        assert_eq!(refusal("no".to_owned()).to_string(), "Caddy refused its configuration: no.");
        assert_eq!(said("{\"error\":\"so it is.\"}\n"), "so it is");
        assert_eq!(said("no JSON"), "no JSON");
    }
}
