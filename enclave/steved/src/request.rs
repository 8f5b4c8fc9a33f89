//! Messages of the tunnel as those of the app's HTTP, and back.

use crate::body::Pipe;
use crate::upstream::Protocol;
use caution_steve::Suite;
use caution_steve::http::{Fields, RequestHead, ResponseHead};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};

/// How a request came, which the app is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    version: u8,
    suite: Suite,
}

impl Came {
    /// By version 3, in this suite.
    pub(crate) fn by_3(suite: Suite) -> Self {
        Self { version: 3, suite }
    }

    /// By version 2.
    pub(crate) fn by_2(suite: Suite) -> Self {
        Self { version: 2, suite }
    }
}

/// The app's request; nothing where the head is none that may reach it.
pub(crate) fn to_app(
    head: &RequestHead,
    content: Pipe,
    protocol: Protocol,
    came: Came,
) -> Option<Request<Pipe>> {
    if is_platform(&head.path) {
        return None;
    }
    let mut request = Request::new(content);
    *request.method_mut() = Method::from_bytes(head.method.as_bytes()).ok()?;
    // A tunnel would take over the connection that other requests depend on.
    if request.method() == Method::CONNECT {
        return None;
    }
    let mut fields = marked(&head.fields, came)?;
    match protocol {
        Protocol::Http1 => {
            *request.uri_mut() = head.path.parse().ok()?;
            fields.insert(HOST, HeaderValue::from_str(&head.authority).ok()?);
            // Says that this connection takes trailers, which is ours to say.
            fields.remove("te");
        }
        Protocol::H2c => {
            let uri = Uri::builder().scheme("http").authority(head.authority.as_str());
            *request.uri_mut() = uri.path_and_query(head.path.as_str()).build().ok()?;
        }
    }
    *request.headers_mut() = fields;
    Some(request)
}

/// The app's request for a WebSocket, which is HTTP/1.1's; nothing where the head is none that may reach it.
pub(crate) fn to_app_socket(head: &RequestHead, key: &str, suite: Suite) -> Option<Request<Pipe>> {
    if head.method != "GET" {
        return None;
    }
    let mut request = to_app(head, Pipe::empty(), Protocol::Http1, Came::by_3(suite))?;
    let fields = request.headers_mut();
    fields.remove(CONTENT_LENGTH);
    // Each hop makes its own, and has no extensions.
    for name in ["sec-websocket-accept", "sec-websocket-extensions"] {
        fields.remove(name);
    }
    for (name, value) in
        [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
    {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.insert("sec-websocket-key", HeaderValue::from_str(key).ok()?);
    Some(request)
}

/// Fields as the app may have them, with what says that they came by STEVE.
fn marked(fields: &Fields, came: Came) -> Option<HeaderMap> {
    let mut fields = to_map(fields)?;
    let marker = format!("v={}; suite={}", came.version, came.suite.name());
    fields.insert(MARKER, HeaderValue::from_str(&marker).expect("names of suites are tokens"));
    Some(fields)
}

/// Fields as the app may have them.
pub(crate) fn to_map(fields: &Fields) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(fields.len() + 2);
    for (name, value) in fields.iter().filter(|(name, _)| !is_ours(name) && name != "host") {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(map)
}

/// Whether only the platform may say this to the app. Many programs read `_` and `-` as the same.
pub(crate) fn is_ours(name: &str) -> bool {
    let same =
        |(ours, theirs): (u8, u8)| ours == if theirs == b'_' { b'-' } else { theirs.to_ascii_lowercase() };
    let begins = |with: &str| with.len() <= name.len() && with.bytes().zip(name.bytes()).all(same);
    let is = |it: &str| it.len() == name.len() && begins(it);
    begins("x-enclave-") || begins("x-forwarded-") || is("forwarded") || is("x-real-ip")
}

/// The head of the app's response.
pub(crate) fn from_app(status: StatusCode, headers: &HeaderMap) -> ResponseHead {
    ResponseHead { status: status.as_u16(), fields: to_fields(headers) }
}

/// Fields without those of the app's connection.
pub(crate) fn to_fields(headers: &HeaderMap) -> Fields {
    // Of the two that is what the message was read by, and the length any number (RFC 9112, section 6.3).
    let is_coded = headers.contains_key(TRANSFER_ENCODING);
    let named = headers.get_all(CONNECTION);
    let named: Vec<String> = named
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| {
            !OF_A_CONNECTION.contains(&name.as_str())
                && !named.iter().any(|n| n == name.as_str())
                && (!is_coded || *name != CONTENT_LENGTH)
        })
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().trim_ascii().to_vec()))
        .collect()
}

/// Whether a path is the platform's, however it is written.
pub(crate) fn is_platform(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in unescape(path.as_bytes()).split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment.to_ascii_lowercase()),
        }
    }
    let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    match segments.as_slice() {
        [first, second, ..] if *first == b".well-known" => matches!(*second, b"steve" | b"caution"),
        [only] => *only == b"attestation",
        _ => false,
    }
}

/// `%`-escapes as the bytes they are; what is none stays.
fn unescape(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

const MARKER: &str = "x-enclave-e2e";
/// Those of one connection (RFC 9110, section 7.6.1).
const OF_A_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_platform_are_known_however_they_are_written() {
        for path in [
            "/.well-known/steve/x",
            "/.well-known/steve",
            "//.well-known//steve/x?y",
            "/a/../.well-known/./steve/x",
            "/.%77ell-known%2fsteve/x",
            "/%2e%2e/.well-known/caution/health",
            "/attestation",
            "/attestation/",
            "/a/..%2fattestation?x",
            "/.Well-Known\\steve",
            "/ATTESTATION",
        ] {
            assert!(is_platform(path), "{path}");
        }
        for path in
            ["/", "*", "/attestations", "/x/attestation", "/.well-known/acme-challenge/x", "/%", "/%zz"]
        {
            assert!(!is_platform(path), "{path}");
        }
    }

    #[test]
    fn what_only_the_platform_says_is_dropped_in_every_spelling() {
        for name in [
            "x-enclave-e2e",
            "X_Enclave_E2E",
            "x-forwarded-for",
            "x_forwarded-host",
            "forwarded",
            "x-real-ip",
        ] {
            assert!(is_ours(name), "{name}");
        }
        assert!(!is_ours("x-enclaved"));
    }

    #[test]
    fn fields_of_a_connection_do_not_leave_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "x-mine, close"), ("x-mine", "1"), ("keep-alive", "2"), ("a", " b ")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("a", HeaderValue::from_static("c"));
        let fields = to_fields(&headers);
        assert_eq!(fields, [("a".to_owned(), b"b".to_vec()), ("a".to_owned(), b"c".to_vec())]);
    }
}
