//! What PID 1 and steved say to each other: frames on a socket that nobody else has.
//!
//! Both ends are this very program, so a frame that cannot be read is an error and nothing to recover from.

use caution_abi::e2e::E2e;
use caution_steve::{SessionId, Suite};
use caution_steved::{Attested, Epoch, SessionClaims};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// The first frame: what to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) instance: [u8; 16],
    pub(crate) e2e: E2e,
}

/// From steved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// A document about these keys.
    Attest { epoch: Epoch, nonce: Option<[u8; 32]> },
    /// A document about a session of version 2.
    Session { claims: SessionClaims, nonce: [u8; 32] },
    /// It will end, for this reason.
    Failed(String),
}

/// From PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Attested(Attested),
    Session(Vec<u8>),
    Refused(String),
}

impl Setup {
    pub(crate) fn send(&self, stream: &UnixStream) -> io::Result<()> {
        let e2e = serde_json::to_vec(&self.e2e)?;
        send(stream, &[&self.instance, &e2e])
    }

    pub(crate) fn receive(stream: &UnixStream) -> io::Result<Self> {
        let frame = receive(stream)?;
        let (instance, e2e) = frame.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { instance: *instance, e2e: serde_json::from_slice(e2e)? })
    }
}

impl Question {
    pub(crate) fn send(&self, stream: &UnixStream) -> io::Result<()> {
        match self {
            Self::Attest { epoch, nonce } => send(
                stream,
                &[
                    b"a",
                    &epoch.key_configs_hash,
                    &epoch.not_before_ms.to_be_bytes(),
                    &epoch.not_after_ms.to_be_bytes(),
                    nonce.as_ref().map_or(&[], |nonce| &nonce[..]),
                ],
            ),
            Self::Session { claims, nonce } => {
                let SessionClaims { suite, session, transcript_hash, binder } = claims;
                let suite = suite.kem_id().to_be_bytes();
                send(stream, &[b"s", &suite, &session.0, transcript_hash, binder, nonce])
            }
            Self::Failed(reason) => send(stream, &[b"f", cut(reason)]),
        }
    }

    pub(crate) fn receive(stream: &UnixStream) -> io::Result<Self> {
        let frame = receive(stream)?;
        Self::read(&frame).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let (kind, rest) = frame.split_first()?;
        if *kind == b'f' {
            return Some(Self::Failed(text(rest)));
        }
        if *kind == b's' {
            return Self::session(rest);
        }
        let (key_configs_hash, rest) = rest.split_first_chunk()?;
        let (not_before, rest) = rest.split_first_chunk()?;
        let (not_after, rest) = rest.split_first_chunk()?;
        let epoch = Epoch {
            key_configs_hash: *key_configs_hash,
            not_before_ms: u64::from_be_bytes(*not_before),
            not_after_ms: u64::from_be_bytes(*not_after),
        };
        let nonce = if rest.is_empty() { None } else { Some(rest.try_into().ok()?) };
        (*kind == b'a').then_some(Self::Attest { epoch, nonce })
    }

    fn session(rest: &[u8]) -> Option<Self> {
        let (suite, rest) = rest.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (transcript_hash, rest) = rest.split_first_chunk()?;
        let (binder, nonce) = rest.split_first_chunk()?;
        let claims = SessionClaims {
            suite: Suite::from_kem_id(u16::from_be_bytes(*suite))?,
            session: SessionId(*session),
            transcript_hash: *transcript_hash,
            binder: *binder,
        };
        Some(Self::Session { claims, nonce: nonce.try_into().ok()? })
    }
}

impl Answer {
    pub(crate) fn send(&self, stream: &UnixStream) -> io::Result<()> {
        match self {
            Self::Attested(Attested { document, not_after_ms }) => {
                send(stream, &[b"d", &not_after_ms.to_be_bytes(), document])
            }
            Self::Session(document) => send(stream, &[b"v", document]),
            Self::Refused(reason) => send(stream, &[b"r", cut(reason)]),
        }
    }

    pub(crate) fn receive(stream: &UnixStream) -> io::Result<Self> {
        let frame = receive(stream)?;
        Self::read(&frame).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let (kind, rest) = frame.split_first()?;
        if *kind == b'r' {
            return Some(Self::Refused(text(rest)));
        }
        if *kind == b'v' {
            return Some(Self::Session(rest.to_vec()));
        }
        let (not_after, document) = rest.split_first_chunk()?;
        let attested = Attested { document: document.to_vec(), not_after_ms: u64::from_be_bytes(*not_after) };
        (*kind == b'd').then_some(Self::Attested(attested))
    }
}

fn send(mut stream: &UnixStream, parts: &[&[u8]]) -> io::Result<()> {
    let frame = parts.concat();
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= MAX_FRAME);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes()[..], &frame].concat())
}

fn receive(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.len().min(MAX_REASON)]
}

/// More than any document of a security module, and any boot plan's encryption.
const MAX_FRAME: usize = 64 * 1024;
const MAX_REASON: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionClaims {
        let (session, transcript_hash, binder) = (SessionId([1; 16]), [2; 32], [3; 32]);
        SessionClaims { suite: Suite::XWing, session, transcript_hash, binder }
    }

    #[test]
    fn words_arrive_as_they_were_said() {
        let (one, other) = UnixStream::pair().unwrap();
        let epoch = Epoch { key_configs_hash: [1; 32], not_before_ms: 2, not_after_ms: 3 };
        for question in [
            Question::Attest { epoch, nonce: None },
            Question::Attest { epoch, nonce: Some([4; 32]) },
            Question::Session { claims: session(), nonce: [4; 32] },
            Question::Failed("why".into()),
        ] {
            question.send(&one).unwrap();
            assert_eq!(Question::receive(&other).unwrap(), question);
        }
        for answer in [
            Answer::Attested(Attested { document: vec![5; 6000], not_after_ms: 6 }),
            Answer::Session(vec![5; 6000]),
            Answer::Refused("why".into()),
        ] {
            answer.send(&other).unwrap();
            assert_eq!(Answer::receive(&one).unwrap(), answer);
        }
        drop(one);
        assert!(Question::receive(&other).is_err());
    }

    #[test]
    fn other_words_are_errors() {
        for frame in [&b""[..], b"a", b"x", &[b'a'; 48], &[b'a'; 50], &[b'a'; 82], b"s", &[b's'; 115]] {
            assert_eq!(Question::read(frame), None, "{frame:?}");
        }
        assert_eq!(Answer::read(b"d1234567"), None);
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(Answer::receive(&other).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
