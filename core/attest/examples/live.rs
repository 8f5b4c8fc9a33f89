//! Does this answer come from one of the images that I know, just now?
//!
//! The service that asks keeps its own clock, its own random nonce and its own list of images; the library asks the
//! world for nothing. Here the answer is a file and the nonce is on the command line, so that it can be tried:
//!
//!     cargo run --example live -- DOCUMENT NONCE_HEX PCRS_FILE…

use caution_attest::{Blame, Evidence, Expected, Live, Roots, UnixMillis, Verified, VerifyError};
use caution_measure::{ImagePcrs, Nonce};
use std::error::Error;
use std::time::{Duration, SystemTime};

/// A document may be this old: the time an honest answer takes, and clocks that differ.
const MAX_AGE: Duration = Duration::from_mins(5);

#[expect(clippy::disallowed_methods, reason = "the library reads no clock, so its user does")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [document, nonce, images @ ..] = &arguments[..] else {
        return Err("usage: live DOCUMENT NONCE_HEX PCRS_FILE…".into());
    };
    let nonce: Nonce = nonce.parse()?;
    let images = images
        .iter()
        .map(|path| Ok(ImagePcrs::from_text(&std::fs::read_to_string(path)?)?))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = UnixMillis(u64::try_from(now.as_millis())?);

    match ask(&std::fs::read(document)?, &nonce, now, &images) {
        Ok(verified) => println!("{} runs one of {} images", verified.module_id(), images.len()),
        // Who can do something about it decides what a service does next.
        Err(refusal) => match refusal.kind() {
            Blame::Stale => println!("ask again: {refusal}"),
            Blame::Mismatch => println!("another program: {refusal}"),
            Blame::Debug => println!("proves nothing: {refusal}"),
            Blame::Malformed | Blame::Untrusted => println!("no evidence: {refusal}"),
            Blame::Misuse => println!("the question is wrong: {refusal}"),
        },
    }
    Ok(())
}

fn ask(
    document: &[u8],
    nonce: &Nonce,
    now: UnixMillis,
    images: &[ImagePcrs],
) -> Result<Verified, VerifyError> {
    let max_age_ms = u64::try_from(MAX_AGE.as_millis()).unwrap_or(u64::MAX);
    let live = Live { now, nonce: nonce.as_bytes(), max_age_ms };
    let expected = Expected { profiles: images, ..Expected::default() };
    Evidence::parse(document)?.verify(&Roots::aws(), &live, &expected)
}
