//! End-to-end encryption in the boot plan: what EnclaveOS puts in front of the app.
//!
//! It is measured, so a verifier knows the suite, who may ask from a browser, and whether anything
//! reaches the app without encryption. `specs/steve.md` is the text of what it switches on.

use crate::ports::{self, AppPort};
use serde::{Deserialize, Serialize};

/// What EnclaveOS puts in front of the app's HTTP port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct E2e {
    /// The one suite.
    pub suite: Suite,
    /// Where the app listens, on 127.0.0.1. Nothing else leads there from outside.
    pub app_port: AppPort,
    /// What it speaks there.
    pub app_protocol: AppProtocol,
    /// Pages of other origins that may ask, ascending, none twice.
    pub origins: Vec<Origin>,
    /// Whether requests that are not encrypted reach the app, too.
    pub plaintext_fallback: bool,
    /// Whether clients of version 2 are served.
    pub steve_v2: bool,
}

/// A suite of `specs/steve.md` §1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// X25519 alone.
    X25519,
    /// X-Wing: with ML-KEM-768.
    Xwing,
}

/// What the app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppProtocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    H2c,
}

/// Where a page comes from, exactly as browsers write it: `https://` and a host, a port where it is not the
/// scheme's own; `http://` for the machine that the browser runs on only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// Why a text is no [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// More bytes than a host name with a port.
    #[error("an origin has {0} bytes (at most {MAX_ORIGIN})")]
    TooLong(usize),
    /// `https://` is missing.
    #[error("the origin `{0}` is not `https://` and a host (`http://` is for localhost only)")]
    Scheme(String),
    /// Not a host that a browser would write.
    #[error("the origin `{0}` has no host in lower case behind `//`, or something behind it that is no port")]
    Host(String),
    /// Not a port that a browser would write.
    #[error(
        "the origin `{0}` has a port that browsers write in another way: a number, and not the scheme's own"
    )]
    Port(String),
}

/// Why this encryption cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum E2eError {
    /// Two programs cannot listen on one port.
    #[error("the app's port cannot be {STEVED}, where the encryption itself listens inside the enclave")]
    OwnPort,
    /// A way past the encryption.
    #[error("port {0} is the app's behind encryption, and cannot be published without it")]
    Published(AppPort),
    /// It would lead to the encryption and not to the app.
    #[error("port {STEVED} cannot be published: the encryption listens there inside the enclave")]
    OwnPortPublished,
    /// One HTTP port has two ways in.
    #[error("with encryption there is no other http_port")]
    HttpPort,
    /// Lists have an order.
    #[error("origins are not ascending, or there are more than {MAX_ORIGINS}")]
    Origins,
}

impl E2e {
    /// The rules that types cannot carry, beside the rest of a boot plan.
    pub(crate) fn check(&self, published: &[AppPort], http_port: Option<AppPort>) -> Result<(), E2eError> {
        let ports = || published.iter().copied();
        if self.app_port.get() == STEVED {
            return Err(E2eError::OwnPort);
        }
        if ports().any(|port| port == self.app_port) {
            return Err(E2eError::Published(self.app_port));
        }
        if ports().any(|port| port.get() == STEVED) {
            return Err(E2eError::OwnPortPublished);
        }
        if http_port.is_some() {
            return Err(E2eError::HttpPort);
        }
        if self.origins.len() > MAX_ORIGINS || !self.origins.is_sorted_by(|a, b| a < b) {
            return Err(E2eError::Origins);
        }
        Ok(())
    }
}

impl Origin {
    /// As a browser writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        if text.len() > MAX_ORIGIN {
            return Err(OriginError::TooLong(text.len()));
        }
        let (scheme, own_port, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("https", 443, rest),
            Some(("http", rest)) => ("http", 80, rest),
            _ => return Err(OriginError::Scheme(text)),
        };
        let end = rest.rfind(':').filter(|at| !rest[*at..].contains(']')).unwrap_or(rest.len());
        let (host, port) = rest.split_at(end);
        if !is_host(host) {
            return Err(OriginError::Host(text));
        }
        if scheme == "http" && !["localhost", "127.0.0.1", "[::1]"].contains(&host) {
            return Err(OriginError::Scheme(text));
        }
        if !port.is_empty() && !is_other_port(&port[1..], own_port) {
            return Err(OriginError::Port(text));
        }
        Ok(Self(text))
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels of lower case letters, digits and inner hyphens, or an IPv6 address in brackets as it is written back.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    host.split('.').all(|label| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn is_other_port(text: &str, own: u16) -> bool {
    text.parse::<u16>().is_ok_and(|port| port != 0 && port != own && port.to_string() == text)
}

/// Where the encryption listens inside the enclave.
const STEVED: u16 = ports::STEVED;
/// The longest origin, in bytes: a host name's 253, with scheme and port.
const MAX_ORIGIN: usize = 267;
/// Origins of a plan, and of the file that it is made of. A manifest, which repeats them, has to fit its limit.
pub const MAX_ORIGINS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn port(port: u16) -> AppPort {
        AppPort::try_from(port).unwrap()
    }

    fn origin(text: &str) -> Result<Origin, OriginError> {
        Origin::try_from(text.to_owned())
    }

    fn e2e() -> E2e {
        E2e {
            suite: Suite::Xwing,
            app_port: port(8083),
            app_protocol: AppProtocol::Http,
            origins: vec![origin("https://a.example").unwrap(), origin("https://b.example:8443").unwrap()],
            plaintext_fallback: false,
            steve_v2: false,
        }
    }

    #[test]
    fn the_canonical_text_of_encryption_is_this() {
        let text = concat!(
            r#"{"suite":"xwing","app_port":8083,"app_protocol":"http","#,
            r#""origins":["https://a.example","https://b.example:8443"],"#,
            r#""plaintext_fallback":false,"steve_v2":false}"#,
        );
        assert_eq!(serde_json::to_string(&e2e()).unwrap(), text);
        assert_eq!(serde_json::from_str::<E2e>(text).unwrap(), e2e());
        let other = text.replace("xwing", "x25519").replace(r#""http""#, r#""h2c""#);
        let read: E2e = serde_json::from_str(&other).unwrap();
        assert_eq!((read.suite, read.app_protocol), (Suite::X25519, AppProtocol::H2c));
        for (from, to) in
            [("xwing", "p256"), ("8083", "49500"), ("https://a.example", "*"), ("steve_v2", "v2")]
        {
            assert!(serde_json::from_str::<E2e>(&text.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn nothing_leads_past_the_encryption() {
        let check = |e2e: &E2e, ports: &[u16], http| {
            e2e.check(&ports.iter().map(|p| port(*p)).collect::<Vec<_>>(), http)
        };
        assert_eq!(check(&e2e(), &[9000], None), Ok(()));
        assert_eq!(check(&e2e(), &[8083, 9000], None), Err(E2eError::Published(port(8083))));
        assert_eq!(check(&e2e(), &[8080], None), Err(E2eError::OwnPortPublished));
        assert_eq!(check(&e2e(), &[9000], Some(port(9000))), Err(E2eError::HttpPort));
        let own = E2e { app_port: port(8080), ..e2e() };
        assert_eq!(check(&own, &[], None), Err(E2eError::OwnPort));
        let mut twice = e2e();
        twice.origins[1] = twice.origins[0].clone();
        assert_eq!(check(&twice, &[], None), Err(E2eError::Origins));
        let many = |count: usize| {
            let origins = (0..count).map(|at| origin(&format!("https://{at:02}.example")).unwrap()).collect();
            check(&E2e { origins, ..e2e() }, &[], None)
        };
        // As many as the file may have that a plan is made of (`specs/appspec.md`).
        assert_eq!((many(16), many(17)), (Ok(()), Err(E2eError::Origins)));
    }

    #[test]
    fn origins_are_what_browsers_write() {
        for text in [
            "https://app.example",
            "https://a-b.example:8443",
            "http://localhost:3000",
            "https://[::1]",
            "http://127.0.0.1",
            "https://10.0.0.1:1",
        ] {
            assert_eq!(origin(text).unwrap().as_str(), text);
        }
        for text in
            ["null", "*", "app.example", "http://app.example", "wss://app.example", "HTTPS://app.example"]
        {
            assert!(matches!(origin(text), Err(OriginError::Scheme(_))), "{text}");
        }
        for text in [
            "https://",
            "https://App.example",
            "https://*.example",
            "https://a.example/",
            "https://a..b",
            "https://u@a.example",
            "https://-a",
            "https://[0:0::1]",
            "https://a.example:443/x",
            "https://ä.example",
        ] {
            assert!(matches!(origin(text), Err(OriginError::Host(_) | OriginError::Port(_))), "{text}");
        }
        for text in
            ["https://a.example:443", "http://localhost:80", "https://a:", "https://a:0", "https://a:08"]
        {
            assert!(matches!(origin(text), Err(OriginError::Port(_))), "{text}");
        }
        assert_eq!(origin(&format!("https://{}", "a".repeat(300))), Err(OriginError::TooLong(308)));
    }
}
