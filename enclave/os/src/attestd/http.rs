//! HTTP/1.1, as much as attestd needs: one small request a connection, then close.

use std::io::{self, Read, Write};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The method, in upper case as sent.
    pub(crate) method: String,
    /// The path, without its query.
    pub(crate) path: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// A response; every one ends its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: u16,
    /// Content-Type.
    pub(crate) content_type: &'static str,
    /// Methods for an `Allow` field.
    pub(crate) allow: Option<&'static str>,
    /// Whether only the head is sent, as HEAD wants it.
    pub(crate) head_only: bool,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// Why there is no request. Each but the first is worth an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HttpError {
    /// The peer closed before it asked anything, or the connection broke.
    #[error("the connection ended before the request did")]
    Closed(#[source] io::Error),
    /// The request did not arrive in time.
    #[error("The request took too long to arrive.")]
    TimedOut,
    /// Not HTTP/1.x.
    #[error("The request is not valid HTTP/1.1.")]
    Malformed,
    /// Request line and fields are too long.
    #[error("The request's head is longer than {MAX_HEAD} bytes or has more than {MAX_FIELDS} fields.")]
    HeadTooLong,
    /// A body without a length.
    #[error("The request's body must come with a Content-Length.")]
    LengthRequired,
    /// The body is too long.
    #[error("The request's body has {length} bytes (at most {limit}).")]
    BodyTooLong {
        /// What the request announced.
        length: u64,
        /// What is read.
        limit: usize,
    },
}

impl HttpError {
    /// The status code that says it; none where nobody listens.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Closed(_) => None,
            Self::TimedOut => Some(408),
            Self::Malformed => Some(400),
            Self::HeadTooLong => Some(431),
            Self::LengthRequired => Some(411),
            Self::BodyTooLong { .. } => Some(413),
        }
    }
}

/// Reads one request with a body of at most `max_body` bytes. Bytes after it are left or lost.
pub(crate) fn read_request(stream: &mut (impl Read + Write), max_body: usize) -> Result<Request, HttpError> {
    let mut bytes = Vec::with_capacity(1024);
    let head = loop {
        if let Some(head) = parse_head(&bytes)? {
            break head;
        }
        if bytes.len() >= MAX_HEAD {
            return Err(HttpError::HeadTooLong);
        }
        let room = (MAX_HEAD - bytes.len()).min(1024);
        read_some(stream, &mut bytes, room)?;
    };
    let too_long = HttpError::BodyTooLong { length: head.body_length, limit: max_body };
    let length = usize::try_from(head.body_length).ok().filter(|n| *n <= max_body).ok_or(too_long)?;
    let mut body = bytes.split_off(head.length);
    body.truncate(length);
    if head.expects_continue && body.len() < length {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(HttpError::Closed)?;
    }
    while body.len() < length {
        let room = length - body.len();
        read_some(stream, &mut body, room)?;
    }
    Ok(Request { method: head.method, path: head.path, body })
}

/// Appends at least one and at most `room` bytes.
fn read_some(stream: &mut impl Read, bytes: &mut Vec<u8>, room: usize) -> Result<(), HttpError> {
    let old = bytes.len();
    bytes.resize(old + room, 0);
    let read = loop {
        match stream.read(&mut bytes[old..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    bytes.truncate(old + read.as_ref().map_or(0, |n| *n));
    match read {
        Ok(0) => Err(HttpError::Closed(io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => Ok(()),
        // A socket's read timeout.
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(HttpError::TimedOut)
        }
        Err(e) => Err(HttpError::Closed(e)),
    }
}

struct Head {
    method: String,
    path: String,
    /// Of the head, in bytes.
    length: usize,
    body_length: u64,
    expects_continue: bool,
}

/// The head, once `bytes` hold all of it.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpError::HeadTooLong),
        Err(_) => return Err(HttpError::Malformed),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(HttpError::Malformed);
    };
    let path = target.split(['?', '#']).next().unwrap_or(target);
    Ok(Some(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        length,
        body_length: body_length(request.headers)?,
        expects_continue: request
            .headers
            .iter()
            .any(|f| f.name.eq_ignore_ascii_case("expect") && f.value.eq_ignore_ascii_case(b"100-continue")),
    }))
}

/// Content-Length, once and in digits only, else 0 (RFC 9112 §6.3). Transfer codings are refused:
/// two ways to say where a request ends are one too many.
fn body_length(fields: &[httparse::Header<'_>]) -> Result<u64, HttpError> {
    if fields.iter().any(|f| f.name.eq_ignore_ascii_case("transfer-encoding")) {
        return Err(HttpError::LengthRequired);
    }
    let mut lengths = fields.iter().filter(|f| f.name.eq_ignore_ascii_case("content-length"));
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => return Ok(0),
        (Some(length), None) => length.value,
        _ => return Err(HttpError::Malformed),
    };
    let digits = !length.is_empty() && length.len() <= 19 && length.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(length).ok().filter(|_| digits).ok_or(HttpError::Malformed)?;
    text.parse().map_err(|_| HttpError::Malformed)
}

impl Response {
    /// A JSON response.
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", allow: None, head_only: false, body }
    }

    /// The bytes on the wire. Any web page may read them (CORS), as on the existing platform: the
    /// evidence is public and the request carries no credentials.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // A 204 has no body and says nothing about one (RFC 9110 §8.6).
        let content = match self.body.len() {
            0 => String::new(),
            length => format!(
                "Content-Length: {length}\r\nContent-Type: {}\r\nX-Content-Type-Options: nosniff\r\n",
                self.content_type
            ),
        };
        let allow = self.allow.map(|methods| format!("Allow: {methods}\r\n")).unwrap_or_default();
        let retry = if self.status == 503 { RETRY } else { "" };
        let head = format!(
            "HTTP/1.1 {} {}\r\n{content}Connection: close\r\nCache-Control: no-store\r\n\
             Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n\
             Access-Control-Allow-Headers: content-type\r\nAccess-Control-Max-Age: 86400\r\n\
             {allow}{retry}\r\n",
            self.status,
            reason(self.status),
        );
        let mut bytes = head.into_bytes();
        if !self.head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// RFC 9110 §15.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// What is not there yet can be asked for again a second later (RFC 9110 §10.2.3).
const RETRY: &str = "Retry-After: 1\r\n";
/// The longest request line and fields, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// The most fields.
const MAX_FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its input in pieces of `step` bytes and keeps what is written.
    struct Wire {
        input: Vec<u8>,
        at: usize,
        step: usize,
        output: Vec<u8>,
    }

    impl Read for Wire {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.step.min(buffer.len()).min(self.input.len() - self.at);
            buffer[..n].copy_from_slice(&self.input[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn wire(input: impl Into<Vec<u8>>, step: usize) -> Wire {
        Wire { input: input.into(), at: 0, step, output: Vec::new() }
    }

    fn status(input: impl Into<Vec<u8>>) -> Option<u16> {
        read_request(&mut wire(input, 4096), 16).unwrap_err().status()
    }

    #[test]
    fn requests_are_read_however_they_arrive() {
        let text = "POST /attestation?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello, and more";
        for step in [1, 2, 7, 4096] {
            let request = read_request(&mut wire(text, step), 16).unwrap();
            assert_eq!(
                request,
                Request { method: "POST".into(), path: "/attestation".into(), body: b"hello".into() }
            );
        }
        let request = read_request(&mut wire("GET / HTTP/1.0\r\n\r\n", 3), 16).unwrap();
        assert!(request.body.is_empty());
    }

    #[test]
    fn who_waits_for_permission_gets_it() {
        let text = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
        let mut wire = wire(text, text.len() - 2);
        assert_eq!(read_request(&mut wire, 16).unwrap().body, b"hi");
        assert_eq!(wire.output, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn refusals_have_their_status() {
        assert_eq!(status(""), None);
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell"), None);
        assert_eq!(status("nonsense\r\n\r\n"), Some(400));
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00".as_slice()), Some(400));
        for bad in ["x", "-1", "+1", "", "99999999999999999999", "1\r\nContent-Length: 1"] {
            assert_eq!(
                status(format!("POST / HTTP/1.1\r\nContent-Length: {bad}\r\n\r\n")),
                Some(400),
                "{bad:?}"
            );
        }
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), Some(411));
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n"), Some(413));
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n"), Some(413));
        assert_eq!(status(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD))), Some(431));
        let fields = "A: b\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(status(format!("GET / HTTP/1.1\r\n{fields}\r\n")), Some(431));
    }

    #[test]
    fn responses_say_how_long_they_are_and_that_they_are_the_last() {
        let text = String::from_utf8(Response::json(200, b"{}".to_vec()).to_bytes()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n")
        );
        assert!(text.contains("\r\nConnection: close\r\n"));
        assert!(text.contains("\r\nAccess-Control-Allow-Origin: *\r\n"));
        assert!(text.ends_with("\r\n\r\n{}"));
        let head = Response { head_only: true, ..Response::json(503, b"{}".to_vec()) };
        let text = String::from_utf8(head.to_bytes()).unwrap();
        assert!(text.contains("\r\nContent-Length: 2\r\n") && text.ends_with("Retry-After: 1\r\n\r\n"));
        let empty = String::from_utf8(Response::json(204, Vec::new()).to_bytes()).unwrap();
        assert!(empty.starts_with("HTTP/1.1 204 No Content\r\nConnection: close\r\n"));
    }
}
