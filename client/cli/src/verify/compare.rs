//! Registers against registers, layer by layer.

use super::verdict::{CheckName, Root, Verdict};
use crate::error::Exit;
use caution_abi::boot_plan::BootPlan;
use caution_measure::{ImagePcrs, Pcr, PcrIndex};

/// Of several images the one that is attested, else the first of those that differ least.
pub(super) fn closest<'i>(images: &'i [ImagePcrs], attested: &ImagePcrs) -> Option<&'i ImagePcrs> {
    images.iter().min_by_key(|image| differing(image, attested).len())
}

/// Register, expected, attested, where these differ.
fn differing(expected: &ImagePcrs, attested: &ImagePcrs) -> Vec<(PcrIndex, Pcr, Pcr)> {
    let pairs = expected.iter().zip(attested.iter());
    pairs
        .filter(|((_, expected), (_, attested))| expected != attested)
        .map(|((index, expected), (_, attested))| (index, expected, attested))
        .collect()
}

/// All expected registers, and which layer differs; whether none does. `attested` has them all.
pub(super) fn build(expected: &ImagePcrs, attested: &ImagePcrs, how: &str, verdict: &mut Verdict) -> bool {
    let differing = differing(expected, attested);
    if differing.is_empty() {
        let signer = if expected.pcr8.is_some() { " and PCR8" } else { "" };
        verdict.ok(CheckName::Build, format!("{how}, PCR0–2{signer} equal"));
        return true;
    }
    let has = |number: u8| differing.iter().any(|(index, ..)| index.get() == number);
    let layer = match (has(1), has(2)) {
        (false, false) if !has(0) => "PCR8 differs: the image is the same, its signer is another one or none",
        (false, true) => "PCR2 differs: the application layer (its files, or how it is started)",
        (true, false) => "PCR1 differs: the EnclaveOS layer",
        (true, true) => "PCR1 and PCR2 differ: EnclaveOS and the application",
        (false, false) => "PCR0 differs although both layers are equal: these values are not of one image",
    };
    let lines: Vec<String> = differing
        .into_iter()
        .map(|(index, expected, attested)| {
            format!("{index}  expected {}  running {}", expected.abbreviated(), attested.abbreviated())
        })
        .collect();
    verdict.failed(Exit::MeasurementMismatch, CheckName::Build, layer, &lines);
    false
}

/// How far encryption reaches, by the boot plan of an image that was found to run.
pub(super) fn channel(plan: &BootPlan, verdict: &mut Verdict) {
    let words = caution_plan::channel_in_words(plan).unwrap_or_else(|| "no port leads to the app".to_owned());
    match &plan.e2e {
        Some(e2e) if !e2e.plaintext_fallback => verdict.ok(CheckName::Channel, words),
        _ => verdict.not_checked(CheckName::Channel, words),
    }
}

/// Registers alone do not say what an image does with its connections.
pub(super) fn unknown_channel(verdict: &mut Verdict) {
    let words = format!("not known from registers; without `e2e` {}", caution_plan::TLS_ENDS_OUTSIDE);
    verdict.not_checked(CheckName::Channel, words);
}

/// Where it runs, as the end of a sentence.
pub(super) const fn place(root: Option<Root>) -> &'static str {
    match root {
        Some(Root::AwsNitro) => "on AWS Nitro hardware",
        Some(Root::Development) => "in a local enclave",
        Some(Root::Other) | None => "on a platform under the root you named",
    }
}
