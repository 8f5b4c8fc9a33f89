//! The address of an application, and what counts as this very machine.

use crate::Error;
use http::Uri;
use std::net::IpAddr;

/// Scheme, host and port of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `https`, or `http` to this machine.
    pub scheme: &'static str,
    /// Host and, where it is not the scheme's own, port, in lower case: what the client means by this deployment.
    pub authority: String,
    pub is_loopback: bool,
}

impl Address {
    /// Reads `https://host[:port][/]`; `http` only of this machine, where nobody else listens.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |cause| Error::Address { url: shown(url), cause };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("it begins with no https://"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("a name or password before @ would be sent to nobody"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("it has a path, which belongs into a request"));
        }
        let is_loopback = is_loopback(authority.host());
        let (scheme, default_port) = match scheme {
            "https" => ("https", 443),
            "http" if is_loopback => ("http", 80),
            "http" => return Err(wrong("http is for this machine only; use https")),
            _ => return Err(wrong("it is neither https nor http")),
        };
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let authority = match authority.port_u16() {
            Some(port) if port != default_port => format!("{host}:{port}"),
            None if authority.as_str().len() != host.len() => return Err(wrong("its port is none")),
            _ => host,
        };
        Ok(Self { scheme, authority, is_loopback })
    }

    /// The URL of a path on it.
    pub(crate) fn at(&self, path: &str) -> Uri {
        let uri = Uri::builder().scheme(self.scheme).authority(self.authority.as_str()).path_and_query(path);
        uri.build().expect("scheme and authority were parsed, paths are this crate's")
    }
}

/// Whether a host names this very machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A URL without what may be a secret in it: what stands before `@`, and everything from the path on.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let text = if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for (url, authority) in [
            ("https://App.example", "app.example"),
            ("https://app.example:443/", "app.example"),
            ("https://app.example:8443", "app.example:8443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost:80/", "localhost"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("https://notes.localhost:8443", "notes.localhost:8443"),
        ] {
            assert_eq!(Address::parse(url).unwrap().authority, authority, "{url}");
        }
        assert!(Address::parse("http://[::1]:1").unwrap().is_loopback);
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for url in [
            "app.example",
            "ftp://app.example",
            "http://app.example",
            "http://127.0.0.1.example",
            "https://me:secret@app.example",
            "https://app.example/path?token=secret",
            "https://app.example:",
            "https://app.example:99999",
            "https:///",
            "",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{url}");
            assert!(!error.to_string().contains("secret"), "{url}");
        }
    }
}
