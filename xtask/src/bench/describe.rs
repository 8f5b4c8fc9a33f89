//! Measuring an image that exists, beside the reader of the AWS tools.

use super::BenchError;
use super::caution::{Caution, run};
use super::image::{Cost, cost};
use super::large::Large;
use super::report::{Goal, Measurement, Peer};
use std::path::Path;

/// Each side is measured this often, in turn; the best counts, for both.
const ROUNDS: usize = 5;
const PEER: &str = "EifReader of aws-nitro-enclaves-image-format";
const SMALLEST: u64 = 300_000_000;

/// Time and memory of `apps describe` for an image of 300 MB and more, and the time of the peer.
pub(crate) fn measure(caution: &Caution, peer: &Path, large: &Large) -> Result<Vec<Measurement>, BenchError> {
    let eif = large.image("plain", &large.ramdisk)?;
    let size = std::fs::metadata(&eif).map_err(|error| BenchError::Io("Reading an image", error))?.len();
    if size < SMALLEST {
        return Err(BenchError::TooSmall { size, needed: SMALLEST });
    }
    let folder = eif.parent().unwrap_or(&eif);
    let path = eif.to_string_lossy();
    same_registers(caution, peer, folder, &path)?;
    let (mut ours, mut theirs) = (Cost::WORST, Cost::WORST);
    for _ in 0..ROUNDS {
        ours = ours.or_better(cost(folder, caution.program(), &["apps", "describe", &path])?);
        theirs = theirs.or_better(cost(folder, peer, &[&path])?);
    }
    let beside = Peer { name: PEER, value: theirs.seconds };
    let name = format!("describe an image of {} MB", size / 1_000_000);
    Ok(vec![
        Measurement::beside(&name, ours.seconds, "s", beside, Goal::PartOfPeer(0.5)),
        Measurement::new("… peak memory", ours.peak_mib, "MiB", Goal::AtMost(16.0)),
    ])
}

/// A faster answer that is another answer counts for nothing.
fn same_registers(caution: &Caution, peer: &Path, folder: &Path, eif: &str) -> Result<(), BenchError> {
    let ours = caution.json(folder, &["apps", "describe", eif])?;
    let theirs = run(folder, peer, &[eif])?;
    for (pointer, register) in [("/pcr0", "PCR0"), ("/pcr1", "PCR1"), ("/pcr2", "PCR2")] {
        let ours = ours.text(pointer)?;
        if !theirs.lines().any(|line| line == format!("{ours} {register}")) {
            return Err(BenchError::Registers { register, ours, theirs });
        }
    }
    Ok(())
}
