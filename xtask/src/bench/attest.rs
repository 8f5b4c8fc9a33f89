//! One real document, by `core/attest` with AWS-LC, beside two verifiers that others published.

use super::BenchError;
use super::caution::{Answer, run, verifiers};
use super::report::{Goal, Measurement, Peer};
use std::path::Path;

/// Cold (bytes, the whole chain, the signature) and with intermediates that were checked before, each beside the faster of the
/// two; and what is allocated.
pub(crate) fn measure(root: &Path) -> Result<Vec<Measurement>, BenchError> {
    let program = verifiers(root);
    let text = run(root, &program, &[])?;
    let answer = Answer::parse(program.display().to_string(), &text)?;
    let (first, second) = (answer.number("/nitro_attest/us")?, answer.number("/nsm-nitro-enclave-utils/us")?);
    let faster = if first <= second {
        Peer { name: "nitro_attest", value: first }
    } else {
        Peer { name: "nsm-nitro-enclave-utils", value: second }
    };
    let beside = |name, value| Measurement::beside(name, value, "µs", faster, Goal::PartOfPeer(0.25));
    let kib = answer.number("/cold/bytes")? / 1024.0;
    Ok(vec![
        beside("one document", answer.number("/cold/us")?),
        beside("… with known intermediates", answer.number("/cached/us")?),
        Measurement::new("… allocated by Rust", kib, "KiB", Goal::AtMost(32.0)),
    ])
}
