//! Asks a running enclave for evidence that answers a fresh nonce. Nothing here is trusted yet.

use crate::error::{CliError, Exit};
use caution_abi::evidence::{ErrorResponse, MAX_RESPONSE, PATH, Request, Response};
use caution_appspec::excerpt;
use caution_measure::Nonce;
use data_encoding::BASE64;
use std::time::Duration;

/// What came back, unauthenticated.
pub(crate) struct Fetched {
    /// The nonce that was sent.
    pub nonce: Nonce,
    /// COSE_Sign1 bytes.
    pub document: Vec<u8>,
    /// The manifest's JSON text, exactly as received.
    pub manifest: Option<String>,
}

/// Longest wait for the whole exchange. A cold NSM signs in well under a second; slow links are slow.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest text of a stranger that is repeated to the user, in characters.
pub(super) const MAX_SHOWN: usize = 300;

/// Requests evidence from an address of [`attestation_url`]'s form, following no redirects, reading at most 1 MiB.
pub(crate) fn fetch(url: &str) -> Result<Fetched, CliError> {
    let nonce = fresh_nonce()?;
    let body = serde_json::to_string(&Request::new(&nonce)).map_err(|e| malformed(url, &e.to_string()))?;
    let mut answer = agent(url, TIMEOUT)
        .post(url)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json")
        .send(body)
        .map_err(|cause| unreachable(url, &cause.to_string()))?;
    let status = answer.status().as_u16();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(MAX_RESPONSE as u64)
        .read_to_vec()
        .map_err(|cause| unreachable(url, &cause.to_string()))?;
    if status != 200 {
        let said = serde_json::from_slice::<ErrorResponse>(&bytes)
            .map_or_else(|_| "no explanation".to_owned(), |e| e.errors.join(" "));
        return Err(unreachable(url, &format!("it answered HTTP {status}: {}", excerpt(&said, MAX_SHOWN))));
    }
    let response: Response =
        serde_json::from_slice(&bytes).map_err(|cause| malformed(url, &cause.to_string()))?;
    let document = BASE64
        .decode(response.document.as_bytes())
        .map_err(|cause| malformed(url, &format!("`document` is not base64: {cause}")))?;
    Ok(Fetched { nonce, document, manifest: response.manifest.map(|raw| raw.get().to_owned()) })
}

/// What asks this address once: at most so long, following no redirects, with every status an answer.
pub(super) fn agent(url: &str, timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        // A proxy of the environment cannot reach what runs on this machine.
        .proxy(if is_loopback(url) { None } else { ureq::Proxy::try_from_env() })
        .http_status_as_error(false)
        .build()
        .into()
}

/// 32 bytes from the operating system.
fn fresh_nonce() -> Result<Nonce, CliError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|cause| CliError {
        exit: Exit::Other,
        message: "The operating system gave no random bytes for the nonce.".into(),
        causes: vec![cause.to_string()],
        hint: None,
    })?;
    Ok(Nonce::new(bytes))
}

/// The URL to ask: `http` or `https`; a bare host gets the standard path.
pub(super) fn attestation_url(url: &str) -> Result<String, CliError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        return Err(CliError::new(Exit::Usage, format!("`{url}` is not an http or https URL."))
            .hint("--attestation-url https://your-app.example.com/attestation"));
    };
    match rest.split_once('/') {
        None => Ok(format!("{url}{PATH}")),
        Some((_, "")) => Ok(format!("{}{PATH}", url.trim_end_matches('/'))),
        Some(_) => Ok(url.to_owned()),
    }
}

/// Whether a URL of [`attestation_url`]'s form names this very machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let Some(host) = authority.and_then(|authority| authority.rsplit('@').next()) else { return false };
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A URL of [`attestation_url`]'s form without what may be a secret in it: what stands before `@`, and the query.
/// Bundles and webhooks carry it to others.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (address, hidden) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}{hidden}")
}

fn unreachable(url: &str, cause: &str) -> CliError {
    let hint = if is_loopback(url) {
        "see whether the application runs: caution apps ps"
    } else {
        "ask whoever runs the application whether it is up, and whether this is its address"
    };
    CliError {
        exit: Exit::Unreachable,
        message: format!("No evidence could be fetched from {}.", shown(url)),
        causes: vec![cause.to_owned()],
        hint: Some(hint.into()),
    }
}

fn malformed(url: &str, cause: &str) -> CliError {
    CliError {
        exit: Exit::EvidenceInvalid,
        message: format!("The answer of {} is not an attestation response.", shown(url)),
        causes: vec![excerpt(cause, MAX_SHOWN)],
        hint: Some("is this the application's /attestation address?".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_get_the_standard_path() {
        assert_eq!(attestation_url("https://a.b").unwrap(), "https://a.b/attestation");
        assert_eq!(attestation_url("http://127.0.0.1:49502/").unwrap(), "http://127.0.0.1:49502/attestation");
        assert_eq!(attestation_url("https://a.b/x").unwrap(), "https://a.b/x");
        for bad in ["a.b", "ftp://a.b", "https://"] {
            assert_eq!(attestation_url(bad).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn passwords_and_tokens_of_an_address_are_not_repeated() {
        for (url, safe) in [
            ("https://me:secret@a.b:8443/attestation", "https://a.b:8443/attestation"),
            ("https://a.b/x?token=secret/@c", "https://a.b/x?…"),
            ("https://secret@c@a.b/@x#y", "https://a.b/@x?…"),
            ("http://[::1]:49502/attestation", "http://[::1]:49502/attestation"),
        ] {
            assert_eq!(shown(url), safe);
            assert!(!unreachable(url, "").message.contains("secret"), "{url}");
        }
    }

    #[test]
    fn what_runs_here_is_listed_and_what_runs_elsewhere_is_asked_about() {
        let hint = |url| unreachable(url, "").hint.unwrap();
        assert!(hint("http://127.0.0.1:49502/attestation").ends_with("caution apps ps"));
        assert!(!hint("https://a.b/attestation").contains("caution"));
    }

    #[test]
    fn this_machine_is_asked_without_a_proxy() {
        for url in ["http://127.0.0.1:49502/attestation", "http://[::1]:1/x", "http://LOCALHOST/attestation"]
        {
            assert!(is_loopback(url), "{url}");
        }
        for url in
            ["https://a.b/attestation", "http://127.0.0.1@a.b/x", "http://127.0.0.1.a.b/x", "http://[::2]/x"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn remote_text_cannot_move_the_cursor() {
        assert_eq!(
            malformed("https://a.b/attestation", "a\x1b[2Jb\n\u{202e}").causes,
            [r"a\u{1b}[2Jb\u{a}\u{202e}"]
        );
    }
}
