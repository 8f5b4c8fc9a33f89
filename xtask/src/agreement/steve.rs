//! `cargo xtask agreement-steve SEED`: what a host can put in the place of STEVE's messages, each with what we
//! make of it.
//!
//! Writes a JSON object a line to standard output, without end; `client/sdk-js/tools/agreementSteve.ts` reads
//! them and compares what it makes of the same. The same seed gives the same lines.

mod handshakes;
mod messages;
mod records;
mod values;

use super::AgreementError;
use super::random::Random;
use data_encoding::HEXLOWER;
use handshakes::Sessions;
use serde::Serialize;
use std::io::{self, Write as _};

/// Writes cases until nobody reads them.
///
/// # Errors
/// See [`AgreementError`].
pub(crate) fn run(seed: &str) -> Result<(), AgreementError> {
    let mut cases = Cases::new(seed.parse().map_err(|_| AgreementError::Seed(seed.to_owned()))?);
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        let line = serde_json::to_string(&cases.next()).expect("text and numbers have a JSON form");
        match writeln!(out, "{line}") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(AgreementError::Write(error)),
        }
    }
}

/// A question, and what we say to it: of what is read all that it shows, and the bytes it is written as.
#[derive(Serialize)]
struct Case {
    #[serde(flatten)]
    question: Question,
    /// `ok`, `none`, or the refusal's name.
    expect: String,
    said: String,
}

/// Bytes are hex digits.
#[derive(Serialize)]
#[serde(tag = "of", rename_all = "snake_case")]
enum Question {
    Bundle { bytes: String },
    KeyConfigs { bytes: String },
    Claims { bytes: String },
    SealedError { bytes: String },
    Message { what: &'static str, bytes: String, pieces: Vec<usize> },
    Request { head: messages::Request },
    Response { head: messages::Response },
    Handshake(handshakes::Handshake),
    Records(records::Records),
}

/// What came of a question: how it is counted, and all of it.
struct Answer {
    expect: String,
    said: String,
}

impl Answer {
    fn ok(said: String) -> Self {
        Self { expect: "ok".to_owned(), said }
    }

    /// `before` is what was said before the refusal.
    fn refused(before: &str, error: &(impl std::fmt::Debug + std::fmt::Display)) -> Self {
        let debug = format!("{error:?}");
        let name = debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        Self { expect: name.to_owned(), said: format!("{before}{name}: {error}") }
    }

    /// Bytes that are none of this.
    fn none() -> Self {
        Self { expect: "none".to_owned(), said: "none".to_owned() }
    }
}

/// All cases of a seed.
struct Cases {
    random: Random,
    sessions: Sessions,
}

impl Cases {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), sessions: Sessions::default() }
    }

    fn next(&mut self) -> Case {
        let random = &mut self.random;
        let (question, answer) = match random.below(32) {
            _ if self.sessions.are_missing() => self.sessions.honest(random),
            0 => self.sessions.honest(random),
            1..=3 => handshakes::meddled_with(random),
            4..=14 => self.sessions.records(random),
            15..=24 => messages::message(random),
            25..=27 => messages::head(random),
            28 => values::bundle(random),
            29 => values::key_configs(random),
            30 => values::claims(random),
            _ => values::sealed_error(random),
        };
        Case { question, expect: answer.expect, said: answer.said }
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    std::array::from_fn(|_| random.byte())
}

/// Lengths of the pieces that bytes come in.
fn pieces(length: usize, random: &mut Random) -> Vec<usize> {
    let mut left = length;
    let mut pieces = Vec::new();
    let most = random.pick(&[1, 30, 3000, 100_000]).max(length / 200 + 1);
    while left > 0 {
        pieces.push((1 + random.below(most)).min(left));
        left -= pieces[pieces.len() - 1];
    }
    pieces
}

/// The pieces themselves.
fn cut<'a>(mut bytes: &'a [u8], pieces: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    pieces.iter().map(move |&length| {
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        piece
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_decides_the_cases_and_many_refusals_are_reached() {
        let cases = |seed| {
            let mut cases = Cases::new(seed);
            (0..300).map(|_| cases.next()).collect::<Vec<_>>()
        };
        let lines =
            |seed| cases(seed).iter().map(|case| serde_json::to_string(case).unwrap()).collect::<Vec<_>>();
        assert_eq!(lines(7), lines(7));
        let all: BTreeSet<_> = cases(1).into_iter().chain(cases(2)).map(|case| case.expect).collect();
        assert!(all.contains("ok") && all.contains("none") && all.len() > 20, "{all:?}");
    }
}
