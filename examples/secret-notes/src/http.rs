//! HTTP/1.1, as far as steved speaks it to an app: one request a connection, content with a length or in chunks.

use std::io::{self, BufRead, Error, ErrorKind, Read, Write};

/// The longest request head, in bytes.
const MAX_HEAD: u64 = 16 * 1024;
/// The longest line before a chunk.
const MAX_CHUNK_LINE: u64 = 256;

/// A request without its content.
#[derive(Debug)]
pub struct Head {
    pub method: String,
    pub path: String,
    pub query: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads as far as the empty line; `None` when the client said nothing.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut limited = from.take(MAX_HEAD);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if limited.read_line(&mut line)? == 0 {
                return if lines.is_empty() {
                    Ok(None)
                } else {
                    Err(invalid("the head ends early, or is too long"))
                };
            }
            match line.trim_end_matches(&['\r', '\n'][..]) {
                "" => return Self::parse(&lines).map(Some),
                line => lines.push(line.to_owned()),
            }
        }
    }

    fn parse(lines: &[String]) -> io::Result<Self> {
        let words: Vec<_> = lines.first().map_or("", |line| line).split(' ').collect();
        let (method, target) = match words[..] {
            [method, target, "HTTP/1.1"] => (method, target),
            _ => return Err(invalid("that is no request of HTTP/1.1")),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let field = |line: &String| {
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a field has no name"))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let fields = lines[1..].iter().map(field).collect::<io::Result<_>>()?;
        Ok(Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), fields })
    }

    /// The first value of a field; its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The content; `None` when it is longer than `limit` bytes, which then were not all read.
    pub fn content(&self, from: &mut impl BufRead, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        if self.field("transfer-encoding").is_some() {
            while let Some(size) = chunk(from)? {
                if size > limit - content.len() {
                    return Ok(None);
                }
                append(from, size, &mut content)?;
                line(from)?;
            }
        } else {
            let length = self.field("content-length").unwrap_or("0");
            match length.parse() {
                Ok(size) if size <= limit => append(from, size, &mut content)?,
                Ok(_) => return Ok(None),
                Err(_) => return Err(invalid("the length of the content is no number")),
            }
        }
        Ok(Some(content))
    }
}

/// The size of the next chunk; after the last one nothing, and trailers are read.
fn chunk(from: &mut impl BufRead) -> io::Result<Option<usize>> {
    let first = line(from)?;
    let digits = first.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16).map_err(|_| invalid("the size of a chunk is no number"))?;
    if size > 0 {
        return Ok(Some(size));
    }
    while !line(from)?.is_empty() {}
    Ok(None)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX_CHUNK_LINE).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(invalid("the content was cut"));
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn append(from: &mut impl BufRead, size: usize, content: &mut Vec<u8>) -> io::Result<()> {
    // What a length claims is not allocated before it comes.
    let read = from.take(size as u64).read_to_end(content)?;
    if read < size {
        return Err(invalid("the content was cut"));
    }
    Ok(())
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

/// Writes a whole response.
pub fn respond(to: &mut impl Write, status: &str, fields: &str, content: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{fields}content-length: {}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\n\r\n",
        content.len(),
    );
    to.write_all(&[head.as_bytes(), content].concat())?;
    to.flush()
}

/// Undoes `%` escapes of a query's value.
pub fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// Escapes what is neither letter nor digit (RFC 8187).
pub fn encode(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(request: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut from = request.as_bytes();
        let head = Head::read(&mut from)?.expect("a head");
        head.content(&mut from, limit)
    }

    #[test]
    fn content_comes_with_a_length_or_in_chunks() {
        let whole = "POST /notes HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret";
        let chunked = "POST /notes HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\nsecr\r\n2\r\net\r\n0\r\nt: 1\r\n\r\n";
        for request in [whole, chunked] {
            assert_eq!(content(request, 6).expect("reads").expect("not too long"), b"secret");
            assert_eq!(content(request, 5).expect("reads"), None);
        }
    }

    #[test]
    fn what_is_cut_or_broken_is_an_error() {
        for request in [
            "POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\nsecret",
            "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\nsecret",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsec",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsecr\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n",
            "POST /\r\n\r\n",
            "POST / HTTP/1.1\r\nno field\r\n\r\n",
            "POST / HTTP/1.1\r\n",
        ] {
            content(request, 100).expect_err(request);
        }
        assert!(Head::read(&mut &b""[..]).expect("reads").is_none());
        Head::read(&mut "x".repeat(20_000).as_bytes()).expect_err("too long");
    }

    #[test]
    fn names_are_escaped_and_back() {
        assert_eq!(encode("größe 1.pdf"), "gr%C3%B6%C3%9Fe%201.pdf");
        assert_eq!(decode("gr%C3%B6%C3%9Fe%201.pdf").as_deref(), Some("größe 1.pdf"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(broken), None);
        }
    }
}
