//! `cargo xtask agreement SEED`: documents that somebody meddled with, each with our verdict.
//!
//! Writes a JSON object a line to standard output, without end; `client/sdk-js/tools/agreement.ts` reads
//! them and compares its own verdicts. The same seed gives the same documents.

mod changes;
mod random;
pub(crate) mod steve;

use crate::vectors::scene::{NONCE, NOON_MS, PCRS, Scene, WINDOW};
use caution_attest::{
    Archived, DebugPolicy, Evidence, Expected, Live, Roots, UnixMillis, Verified, VerifyError,
};
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use changes::Forge;
use data_encoding::{BASE64, HEXLOWER};
use random::Random;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write as _};

/// Why no more is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AgreementError {
    /// The seed is no number.
    #[error("`{0}` is not a seed, a whole number.")]
    Seed(String),
    /// Standard output failed for another reason than that its reader had enough.
    #[error("The cases cannot be written.")]
    Write(#[source] io::Error),
}

/// Writes cases until nobody reads them.
///
/// # Errors
/// See [`AgreementError`].
pub(crate) fn run(seed: &str) -> Result<(), AgreementError> {
    let mut random = Random::new(seed.parse().map_err(|_| AgreementError::Seed(seed.to_owned()))?);
    let forge = Forge::new(Scene::new());
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        let case = Case::new(&forge.document(&mut random), forge.root(), &mut random);
        let line = serde_json::to_string(&case).expect("text and numbers have a JSON form");
        match writeln!(out, "{line}") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(AgreementError::Write(error)),
        }
    }
}

/// A document, a question and our answer; keys as in the vectors.
#[derive(Serialize)]
struct Case {
    call: &'static str,
    at: Option<u64>,
    nonce: Option<String>,
    max_age_ms: Option<u64>,
    allow_debug: bool,
    profiles: Vec<Measurements>,
    registers: BTreeMap<u8, Pcr>,
    root: String,
    document: String,
    /// `ok`, or the refusal's name.
    expect: String,
    /// Who is to blame, or nothing.
    blame: String,
    /// What the refusal says; of a verified document what it shows.
    said: String,
}

impl Case {
    fn new(document: &[u8], root: &[u8], random: &mut Random) -> Self {
        let is_live = random.one_in(2);
        let nonce = match random.below(24) {
            0..=11 if !is_live => None,
            0 => Some(vec![]),
            1 => Some(NONCE[..31].to_vec()),
            _ => Some(NONCE.to_vec()),
        };
        let mut case = Self {
            call: if is_live { "live" } else { "archived" },
            at: if !is_live && random.one_in(4) { None } else { Some(time(random)) },
            nonce: nonce.map(|bytes| HEXLOWER.encode(&bytes)),
            max_age_ms: is_live.then(|| random.pick(&[0, 300_000, 8_000_000])),
            allow_debug: random.one_in(3),
            profiles: (0..random.pick(&[0, 0, 1, 2])).map(|_| profile(random)).collect(),
            registers: BTreeMap::new(),
            root: BASE64.encode(root),
            document: BASE64.encode(document),
            expect: "ok".to_owned(),
            blame: String::new(),
            said: String::new(),
        };
        if random.one_in(6) {
            let register = random.pick(&[0, 2, 8, 31]);
            case.registers.insert(register, Pcr::new([random.pick(&[0, 0xa0, 0xa0, 0xa2]); 48]));
        }
        match case.verdict(document, root) {
            Ok(verified) => case.said = shown(&verified),
            Err(refusal) => {
                refusal.name().clone_into(&mut case.expect);
                case.blame = refusal.kind().to_string();
                case.said = refusal.to_string();
            }
        }
        case
    }

    fn verdict(&self, document: &[u8], root: &[u8]) -> Result<Verified, VerifyError> {
        let roots = Roots::dev_root(root).expect("the honest root is a certificate");
        let nonce =
            self.nonce.as_ref().map(|hex| HEXLOWER.decode(hex.as_bytes()).expect("it was written as hex"));
        let profiles: Vec<_> =
            self.profiles.iter().map(|&measurements| ImagePcrs { measurements, pcr8: None }).collect();
        let register = |n: u8| PcrIndex::try_from(u64::from(n)).expect("registers are numbered to 31");
        let registers: Vec<_> = self.registers.iter().map(|(n, pcr)| (register(*n), *pcr)).collect();
        let debug = if self.allow_debug { DebugPolicy::Allow } else { DebugPolicy::Refuse };
        let expected = Expected { profiles: &profiles, registers: &registers, debug };
        let (evidence, at) = (Evidence::parse(document)?, self.at.map(UnixMillis));
        match (at, &nonce, self.max_age_ms) {
            (Some(now), Some(nonce), Some(max_age_ms)) => {
                evidence.verify(&roots, &Live { now, nonce, max_age_ms }, &expected)
            }
            _ => evidence.verify_archived(&roots, &Archived { at, nonce: nonce.as_deref() }, &expected),
        }
    }
}

/// What a verified document shows, as far as two readers could differ.
fn shown(verified: &Verified) -> String {
    let chain = verified.chain().iter();
    let names: Vec<String> = chain
        .map(|c| format!("{} {}-{} {}", c.common_name, c.not_before.0, c.not_after.0, c.sha256))
        .collect();
    let pcrs: Vec<String> = verified.pcrs().map(|(n, pcr)| format!("{}={pcr}", n.get())).collect();
    let hex = |bytes: Option<&[u8]>| bytes.map_or_else(|| "null".to_owned(), |b| HEXLOWER.encode(b));
    let (module, timestamp, debug) = (verified.module_id(), verified.timestamp().0, verified.is_debug());
    let fields = [hex(verified.public_key()), hex(verified.user_data()), hex(verified.nonce())].join(" ");
    format!("{module} {timestamp} {debug} {fields} {} {}", pcrs.join(","), names.join("; "))
}

/// A time of checking: mostly when everything is valid, else at a border.
fn time(random: &mut Random) -> u64 {
    let (from, until) = (WINDOW.0 * 1000, WINDOW.1 * 1000);
    match random.below(12) {
        0 => from - 1,
        1 => from,
        2 => until,
        3 => until + 1,
        4 => NOON_MS - 300_000,
        5 => NOON_MS - 300_001,
        _ => NOON_MS + u64::try_from(random.below(400_000)).unwrap_or(0),
    }
}

/// An expected image: mostly the honest one.
fn profile(random: &mut Random) -> Measurements {
    let mut values = PCRS;
    if random.one_in(3) {
        values[random.below(3)] = [random.pick(&[0, 1, 1, 1, 0xa0]); 48];
    }
    let [pcr0, pcr1, pcr2] = values.map(Pcr::new);
    Measurements { pcr0, pcr1, pcr2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_decides_the_documents_and_many_refusals_are_reached() {
        let forge = Forge::new(Scene::new());
        let cases = |seed| {
            let mut random = Random::new(seed);
            let case = |_| Case::new(&forge.document(&mut random), forge.root(), &mut random);
            (0..150).map(case).collect::<Vec<_>>()
        };
        let lines =
            |seed| cases(seed).iter().map(|case| serde_json::to_string(case).unwrap()).collect::<Vec<_>>();
        assert_eq!(lines(7), lines(7));
        let all: BTreeSet<_> = cases(1).into_iter().chain(cases(2)).map(|case| case.expect).collect();
        assert!(all.contains("ok") && all.len() > 20, "{all:?}");
    }
}
