//! A platform on another machine that this user logged in to: `~/.config/caution/login.json`, mode 0600.

use super::Platform;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::files;
use caution_api::TokenMade;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// What is kept of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    api: String,
    token_id: String,
    token: String,
}

/// The platform, and the id of the token that it knows this user by.
pub(crate) fn kept(context: &Context) -> Result<Option<(Platform, String)>, CliError> {
    let path = file(context);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = files::read_limited(&path, 64 * 1024)?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|cause| CliError {
        causes: vec![cause.to_string()],
        ..CliError::new(Exit::Other, format!("{} cannot be read.", path.display()))
            .hint(format!("rm {}", path.display()))
    })?;
    Ok(Some((Platform::known_by(&address(&kept.api)?, kept.token), kept.token_id)))
}

/// Keeps what the platform gave.
pub(crate) fn keep(context: &Context, api: &str, made: &TokenMade) -> Result<Platform, CliError> {
    let (token, token_id) = (made.secret.clone(), made.token.id.to_string());
    let kept = Kept { api: api.to_owned(), token_id, token };
    let path = file(context);
    let bytes = serde_json::to_vec_pretty(&kept)
        .map_err(|e| CliError::io("The login cannot be kept", &path, &e.into()))?;
    super::own_folder(context)?;
    files::write_private(&path, &bytes)?;
    Ok(Platform::known_by(&kept.api, kept.token))
}

/// Forgets it.
pub(crate) fn forget(context: &Context) -> Result<(), CliError> {
    let path = file(context);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(CliError::io("The login cannot be removed", &path, &e))
        }
        _ => Ok(()),
    }
}

/// A platform's address without what stands behind its host and port. A token goes there: HTTPS, or this machine.
pub(crate) fn address(text: &str) -> Result<String, CliError> {
    let text = text.trim_end_matches('/');
    let host = |rest: &str| rest.rsplit_once(':').map_or(rest.to_owned(), |(host, _)| host.to_owned());
    let plain = |rest: &str| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
    };
    let usable = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => plain(rest),
        (None, Some(rest)) => plain(rest) && ["localhost", "127.0.0.1", "[::1]"].contains(&&*host(rest)),
        (None, None) => false,
    };
    if usable {
        return Ok(text.to_owned());
    }
    Err(CliError::new(Exit::Usage, format!("`{text}` is not the address of a platform."))
        .hint("https://platform.example.com"))
}

fn file(context: &Context) -> PathBuf {
    context.config.settings.join("login.json")
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_token_goes_over_https_or_stays_on_this_machine() {
        for good in ["https://platform.example.com", "https://p.example:8443", "http://localhost:7280"] {
            assert_eq!(address(good).unwrap(), good);
        }
        assert_eq!(address("https://p.example/").unwrap(), "https://p.example");
        for bad in [
            "http://platform.example.com",
            "http://localhost.example.com",
            "http://localhost:1@evil.example",
            "https://a@b",
            "https://a/b",
            "https://",
            "ftp://a",
            "a",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
