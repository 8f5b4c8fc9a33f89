//! What a client asks for: the first line of an HTTP request, and how much is asked.

use std::io::{self, Read};

/// The longest request head, prompt included, in bytes.
const MAX_HEAD: u64 = 8 * 1024;
/// The longest answer, in tokens.
pub const MAX_TOKENS: usize = 10_000;
const DEFAULT_TOKENS: usize = 32;

/// A request this server knows.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /health`
    Health,
    /// `GET /generate?prompt=…&tokens=…`
    Generate { prompt: String, tokens: usize },
}

/// Status line and reason for a client whose request is none.
pub type Refusal = (&'static str, &'static str);

/// Reads a head and nothing beyond its empty line; `None` when the client said nothing.
pub fn read(stream: impl Read) -> io::Result<Option<Result<Request, Refusal>>> {
    let mut head = Vec::new();
    for byte in stream.take(MAX_HEAD).bytes() {
        head.push(byte?);
        if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
            return Ok(Some(parse(&head)));
        }
    }
    Ok(match head.len() as u64 {
        0 => None,
        MAX_HEAD => Some(Err(("431 Request Header Fields Too Large", "The request is too long.\n"))),
        _ => Some(Err(("400 Bad Request", "The request ends early.\n"))),
    })
}

fn parse(head: &[u8]) -> Result<Request, Refusal> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let words: Vec<_> = line.split_whitespace().collect();
    let target = match words[..] {
        ["GET", target, "HTTP/1.1"] => target,
        [_, _, "HTTP/1.1"] => return Err(("405 Method Not Allowed", "Only GET.\n")),
        _ => return Err(("400 Bad Request", "Not an HTTP/1.1 request.\n")),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/health" => Ok(Request::Health),
        "/generate" => generate(query),
        _ => Err(("404 Not Found", "Nothing here but /generate and /health.\n")),
    }
}

fn generate(query: &str) -> Result<Request, Refusal> {
    let (mut prompt, mut tokens) = (String::new(), DEFAULT_TOKENS);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "prompt" => {
                prompt = decode(value).ok_or(("400 Bad Request", "The prompt is not UTF-8 text.\n"))?
            }
            "tokens" => {
                tokens = value
                    .parse()
                    .ok()
                    .filter(|count| (1..=MAX_TOKENS).contains(count))
                    .ok_or(("400 Bad Request", "`tokens` is a number from 1 to 10000.\n"))?;
            }
            _ => return Err(("400 Bad Request", "Only `prompt` and `tokens` can be given.\n")),
        }
    }
    Ok(Request::Generate { prompt, tokens })
}

/// Undoes the encoding of a query (WHATWG URL, application/x-www-form-urlencoded).
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) =
                    (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str) -> &'static str {
        read(head.as_bytes()).expect("reads").expect("something").expect_err("refused").0
    }

    #[test]
    fn prompts_are_decoded() {
        let head = b"GET /generate?prompt=one+two%20%C3%BC&tokens=7 HTTP/1.1\r\nhost: x\r\n\r\nmore";
        let request = read(&head[..]).expect("reads").expect("something");
        assert_eq!(request, Ok(Request::Generate { prompt: "one two ü".into(), tokens: 7 }));
        let request = read(&b"GET /generate HTTP/1.1\n\n"[..]).expect("reads").expect("something");
        assert_eq!(request, Ok(Request::Generate { prompt: String::new(), tokens: DEFAULT_TOKENS }));
        assert_eq!(read(&b""[..]).expect("reads"), None);
    }

    #[test]
    fn bad_requests_get_their_status() {
        for (target, status) in [
            ("/generate?tokens=0", "400"),
            ("/generate?tokens=10001", "400"),
            ("/generate?tokens=-1", "400"),
            ("/generate?prompt=%ff", "400"),
            ("/generate?prompt=%2", "400"),
            ("/generate?model=big", "400"),
            ("/", "404"),
        ] {
            assert!(refused(&format!("GET {} HTTP/1.1\r\n\r\n", target)).starts_with(status), "{}", target);
        }
        assert!(refused("POST /generate HTTP/1.1\r\n\r\n").starts_with("405"));
        assert!(refused("GET /generate HTTP/2\r\n\r\n").starts_with("400"));
        assert!(refused("GET /generate").starts_with("400"));
        assert!(refused(&"x".repeat(9000)).starts_with("431"));
    }
}
