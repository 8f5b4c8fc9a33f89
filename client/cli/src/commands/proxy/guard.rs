//! Whose requests a port on this machine takes. Pages of other origins reach it through the user's browser: by a
//! name of their own that leads to 127.0.0.1 (DNS rebinding), or simply by its address.

use caution_sdk::http::Request;
use caution_sdk::http::header::{HOST, HeaderMap, ORIGIN};
use std::net::SocketAddr;

/// Knows the names of the port that is listened on.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    hosts: [String; 3],
}

impl Guard {
    pub(super) fn new(local: SocketAddr) -> Self {
        let port = local.port();
        Self { hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")] }
    }

    /// Refuses what a page of another origin sends, or what is meant for somebody else.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), &'static str> {
        let host = only(request.headers(), HOST.as_str())?.ok_or("The request names no host.")?;
        if !self.is_mine(host) {
            return Err(
                "The request is for another host: this port answers to 127.0.0.1 and localhost only.",
            );
        }
        if request.uri().authority().is_some_and(|authority| !self.is_mine(authority.as_str())) {
            return Err("The request is for another host: this port is no proxy of others.");
        }
        if let Some(origin) = only(request.headers(), ORIGIN.as_str())? {
            let host = origin.strip_prefix("http://");
            if !host.is_some_and(|host| self.is_mine(host)) {
                return Err("The request comes from a page of another origin.");
            }
        }
        match only(request.headers(), "sec-fetch-site")? {
            None | Some("none" | "same-origin") => Ok(()),
            Some(_) => Err("The request comes from a page of another origin."),
        }
    }

    fn is_mine(&self, host: &str) -> bool {
        self.hosts.iter().any(|mine| mine.eq_ignore_ascii_case(host))
    }
}

/// The one value of a field. A second one could be what somebody else reads.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| "A field of the request is malformed."),
        (Some(_), Some(_)) => Err("A field that stands once stands twice in the request."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, fields: &[(&str, &str)]) -> Result<(), &'static str> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        Guard::new("127.0.0.1:9000".parse().unwrap()).check(&request.body(()).unwrap())
    }

    #[test]
    fn programs_of_this_machine_are_let_in() {
        for host in ["127.0.0.1:9000", "localhost:9000", "LocalHost:9000", "[::1]:9000"] {
            assert_eq!(check("/x", &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check("http://localhost:9000/x", &[("host", "localhost:9000")]), Ok(()));
        let own = [
            ("host", "localhost:9000"),
            ("origin", "http://localhost:9000"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(check("/x", &own), Ok(()));
    }

    #[test]
    fn pages_of_other_origins_are_not() {
        let local = ("host", "127.0.0.1:9000");
        for fields in [
            &[][..],
            &[("host", "evil.example:9000")],
            &[("host", "127.0.0.1")],
            &[("host", "127.0.0.1:9001")],
            &[("host", "127.0.0.1.evil.example:9000")],
            &[("host", "localhost.:9000")],
            &[local, ("host", "evil.example")],
            &[local, ("origin", "https://evil.example")],
            &[local, ("origin", "null")],
            &[local, ("origin", "http://127.0.0.1:9001")],
            &[local, ("origin", "https://127.0.0.1:9000")],
            &[local, ("sec-fetch-site", "cross-site")],
            &[local, ("sec-fetch-site", "same-site")],
        ] {
            assert!(check("/x", fields).is_err(), "{fields:?}");
        }
        assert!(check("http://evil.example/x", &[local]).is_err());
    }
}
