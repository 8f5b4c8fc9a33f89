//! Platform configuration registers as Nitro Enclaves defines them.

use crate::bytes::{HexError, hex_newtype};
use alloc::format;
use alloc::string::{String, ToString as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};

/// One register value: 48 bytes, 96 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pcr([u8; 48]);
hex_newtype!(Pcr, 48);

impl Pcr {
    /// The reset value, and what hardware attests for a debug enclave.
    pub const ZERO: Self = Self([0; 48]);

    /// The PCR2 of an image that has no application ramdisk: the extend of an empty content.
    pub const EMPTY: Self = Self([
        0x21, 0xb9, 0xef, 0xbc, 0x18, 0x48, 0x07, 0x66, 0x2e, 0x96, 0x6d, 0x34, 0xf3, 0x90, 0x82, 0x13, 0x09,
        0xee, 0xac, 0x68, 0x02, 0x30, 0x97, 0x98, 0x82, 0x62, 0x96, 0xbf, 0x3e, 0x8b, 0xec, 0x7c, 0x10, 0xed,
        0xb3, 0x09, 0x48, 0xc9, 0x0b, 0xa6, 0x73, 0x10, 0xf7, 0xb9, 0x64, 0xfc, 0x50, 0x0a,
    ]);

    /// Whether every byte is zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The first and last four hex digits, for one line on a screen: `8c1f…e07a`.
    pub fn abbreviated(&self) -> String {
        let hex = self.to_string();
        format!("{}…{}", &hex[..4], &hex[92..])
    }
}

/// A register number, 0 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PcrIndex(u8);

/// A number that names no register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a PCR number (0 to 31)")]
pub struct PcrIndexError(pub u64);

impl PcrIndex {
    /// The register that names who signed the image.
    pub const SIGNER: Self = Self(8);

    /// The register's number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u64> for PcrIndex {
    type Error = PcrIndexError;

    fn try_from(number: u64) -> Result<Self, PcrIndexError> {
        match u8::try_from(number) {
            Ok(index @ 0..=31) => Ok(Self(index)),
            _ => Err(PcrIndexError(number)),
        }
    }
}

impl core::fmt::Display for PcrIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PCR{}", self.0)
    }
}

/// Computes a register from the content it covers: `SHA384(0⁴⁸ ‖ SHA384(content))`.
///
/// Source of the formula: AWS Nitro Enclaves user guide, "Cryptographic attestation", checked
/// against real documents and the AWS image builder.
#[derive(Clone, Default)]
pub struct PcrHasher(Sha384);

impl PcrHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// The register after one extend with the digest of all content.
    pub fn finish(self) -> Pcr {
        let mut extend = Sha384::new();
        extend.update([0u8; 48]);
        extend.update(self.0.finalize());
        Pcr(extend.finalize().into())
    }
}

/// The three registers that identify an enclave image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// The whole image: kernel, command line, every ramdisk.
    pub pcr0: Pcr,
    /// Kernel, command line and ramdisk 0: EnclaveOS.
    pub pcr1: Pcr,
    /// Ramdisks after the first: the application and its boot plan.
    pub pcr2: Pcr,
}

/// Why a text is not an `enclave.pcrs` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MeasurementsTextError {
    /// The text is longer than any such file.
    #[error("{0} bytes are too many for a PCR file (at most 4096)")]
    TooLong(usize),
    /// A line is not `<96 hex> PCRn` or `PCRn: <96 hex>`.
    #[error("line {line}: expected `<96 hex digits> PCRn`, found `{found}`")]
    Line {
        /// One-based line number.
        line: usize,
        /// The line's beginning.
        found: String,
    },
    /// The digest of a line is malformed.
    #[error("line {line}: {cause}")]
    Digest {
        /// One-based line number.
        line: usize,
        /// What is wrong with the digits.
        cause: HexError,
    },
    /// A register stands in the file twice.
    #[error("line {line}: PCR{index} stands twice")]
    Duplicate {
        /// One-based line number of the second one.
        line: usize,
        /// The register.
        index: u8,
    },
    /// PCR0, PCR1 or PCR2 is absent.
    #[error("PCR{0} is missing")]
    Missing(u8),
}

impl Measurements {
    /// Each register with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PcrIndex, Pcr)> + use<> {
        [(PcrIndex(0), self.pcr0), (PcrIndex(1), self.pcr1), (PcrIndex(2), self.pcr2)].into_iter()
    }
}

/// Every register that an image's file decides: what `enclave.pcrs` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImagePcrs {
    /// What the image is.
    pub measurements: Measurements,
    /// Who signed it, when it is signed.
    pub pcr8: Option<Pcr>,
}

impl ImagePcrs {
    /// Each register with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PcrIndex, Pcr)> + use<> {
        self.measurements.iter().chain(self.pcr8.map(|pcr8| (PcrIndex::SIGNER, pcr8)))
    }

    /// The `enclave.pcrs` form: lines `<96 lower-case hex> PCRn`, three or, signed, four.
    pub fn to_text(&self) -> String {
        self.iter().map(|(index, pcr)| format!("{pcr} {index}\n")).collect()
    }

    /// Reads the `enclave.pcrs` form; `PCRn: <hex>` lines are read too, other PCRs are skipped.
    pub fn from_text(text: &str) -> Result<Self, MeasurementsTextError> {
        if text.len() > 4096 {
            return Err(MeasurementsTextError::TooLong(text.len()));
        }
        let mut found: [Option<Pcr>; 32] = [None; 32];
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (index, digits) = split_line(line).ok_or_else(|| MeasurementsTextError::Line {
                line: number,
                found: line.chars().take(40).collect(),
            })?;
            let pcr: Pcr =
                digits.parse().map_err(|cause| MeasurementsTextError::Digest { line: number, cause })?;
            if found[usize::from(index.get())].replace(pcr).is_some() {
                return Err(MeasurementsTextError::Duplicate { line: number, index: index.get() });
            }
        }
        let get = |index: u8| found[usize::from(index)].ok_or(MeasurementsTextError::Missing(index));
        Ok(Self {
            measurements: Measurements { pcr0: get(0)?, pcr1: get(1)?, pcr2: get(2)? },
            pcr8: found[usize::from(PcrIndex::SIGNER.get())],
        })
    }
}

/// Splits `<hex> PCRn` or `PCRn: <hex>` into register and digits.
fn split_line(line: &str) -> Option<(PcrIndex, &str)> {
    let (first, second) = line.split_once([' ', ':'])?;
    let (first, second) = (first.trim(), second.trim());
    let (name, digits) =
        if first.to_ascii_uppercase().starts_with("PCR") { (first, second) } else { (second, first) };
    let number = name.get(..3).filter(|p| p.eq_ignore_ascii_case("PCR")).and_then(|_| name.get(3..))?;
    let index = PcrIndex::try_from(number.parse::<u64>().ok()?).ok()?;
    Some((index, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ImagePcrs {
        let measurements = Measurements { pcr0: Pcr([1; 48]), pcr1: Pcr([2; 48]), pcr2: Pcr::EMPTY };
        ImagePcrs { measurements, pcr8: None }
    }

    #[test]
    fn the_extend_of_nothing_is_the_empty_constant() {
        assert_eq!(PcrHasher::new().finish(), Pcr::EMPTY);
    }

    #[test]
    fn pcr_file_round_trips_in_both_orders() {
        for (pcr8, lines) in [(None, 3), (Some(Pcr([8; 48])), 4)] {
            let pcrs = ImagePcrs { pcr8, ..sample() };
            let text = pcrs.to_text();
            assert_eq!(text.lines().count(), lines);
            assert_eq!(ImagePcrs::from_text(&text), Ok(pcrs));
            let turned: String = pcrs.iter().map(|(i, p)| format!("{i}: {p}\n")).collect();
            assert_eq!(ImagePcrs::from_text(&turned), Ok(pcrs));
        }
    }

    #[test]
    fn pcr_file_refusals_are_named() {
        let text = sample().to_text();
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(ImagePcrs::from_text(first), Err(MeasurementsTextError::Missing(1)));
        assert!(matches!(
            ImagePcrs::from_text(&format!("{first}\n{first}")),
            Err(MeasurementsTextError::Duplicate { line: 2, index: 0 })
        ));
        assert!(matches!(
            ImagePcrs::from_text("00 PCR0"),
            Err(MeasurementsTextError::Digest {
                line: 1,
                cause: HexError::Length { expected: 96, found: 2 }
            })
        ));
        for bad in ["hello", "PCR32: 00", "00 PCRx", "é PCR"] {
            assert!(matches!(ImagePcrs::from_text(bad), Err(MeasurementsTextError::Line { .. })), "{bad}");
        }
        assert_eq!(ImagePcrs::from_text(&"x".repeat(5000)), Err(MeasurementsTextError::TooLong(5000)));
    }

    #[test]
    fn register_numbers_end_at_31() {
        assert_eq!(PcrIndex::try_from(31).map(PcrIndex::get), Ok(31));
        assert_eq!(PcrIndex::try_from(32), Err(PcrIndexError(32)));
        assert_eq!(PcrIndex::try_from(256), Err(PcrIndexError(256)));
    }
}
