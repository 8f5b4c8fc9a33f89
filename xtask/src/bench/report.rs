//! What a measurement looks like, in the file and on the screen.

use super::BenchError;
use super::compression::Row;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// A line of `target/bench.jsonl`.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    name: String,
    value: f64,
    unit: &'static str,
    /// What it was compared with in the same run.
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    /// `value / peer_value`.
    ratio: Option<f64>,
    /// The promise, as text.
    target: String,
    /// Whether it is kept.
    holds: bool,
}

/// A promise about a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The value, in its unit.
    AtMost(f64),
    /// The value, as a part of the peer's in the same run.
    PartOfPeer(f64),
    /// The value, as so many times the peer's in the same run or more.
    PeerTimes(f64),
    /// None: the value is shown, and nothing promised.
    Shown,
}

/// What a value is compared with, measured in the same run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

impl Measurement {
    /// A value with a promise and no peer.
    pub(crate) fn new(name: &str, value: f64, unit: &'static str, goal: Goal) -> Self {
        Self::of(name, value, unit, None, goal)
    }

    /// A value with a promise, beside that of a peer.
    pub(crate) fn beside(name: &str, value: f64, unit: &'static str, peer: Peer, goal: Goal) -> Self {
        Self::of(name, value, unit, Some(peer), goal)
    }

    fn of(name: &str, value: f64, unit: &'static str, peer: Option<Peer>, goal: Goal) -> Self {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let ratio = peer.map(|peer| value / peer.value);
        let (target, holds) = match goal {
            Goal::AtMost(limit) => (format!("≤ {limit} {unit}"), value <= limit),
            Goal::PeerTimes(times) => (format!("≥ ×{times}"), ratio.is_some_and(|ratio| ratio >= times)),
            Goal::Shown => ("–".to_owned(), true),
            Goal::PartOfPeer(part) => (format!("≤ ×{part}"), ratio.is_some_and(|ratio| ratio <= part)),
        };
        Self {
            name: name.to_owned(),
            value: rounded(value),
            unit,
            peer: peer.map(|peer| peer.name),
            peer_value: peer.map(|peer| rounded(peer.value)),
            ratio: ratio.map(rounded),
            target,
            holds,
        }
    }
}

/// One object a line.
pub(crate) fn write(path: &Path, measured: &[Measurement], compressions: &[Row]) -> Result<(), BenchError> {
    fn line(one: &impl Serialize) -> String {
        serde_json::to_string(one).expect("numbers that were measured are finite") + "\n"
    }
    let text: String = measured.iter().map(line).chain(compressions.iter().map(line)).collect();
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| BenchError::Io("Writing target/bench.jsonl", error))
}

/// The same as a table.
pub(crate) fn table(measured: &[Measurement]) -> String {
    let width = measured.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for one in measured {
        let value = format!("{:.2} {}", one.value, one.unit);
        let verdict = if one.holds { "✓ holds" } else { "✗ missed" };
        let _ = write!(text, "  {:<width$}  {value:>12}   target {:<10} {verdict}", one.name, one.target);
        if let (Some(peer), Some(value), Some(ratio)) = (one.peer, one.peer_value, one.ratio) {
            let _ = write!(text, "   {peer}: {value:.2} {} (×{ratio:.2})", one.unit);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_field_and_says_whether_it_holds() {
        let kept = Measurement::new("boot", 2.34567, "s", Goal::AtMost(3.0));
        assert_eq!(
            serde_json::to_string(&kept).unwrap(),
            r#"{"name":"boot","value":2.346,"unit":"s","peer":null,"peer_value":null,"ratio":null,"target":"≤ 3 s","holds":true}"#
        );
        let missed = Measurement::new("boot", 3.5, "s", Goal::AtMost(3.0));
        assert!(table(&[missed]).contains("✗ missed"));
        let peer = Peer { name: "another", value: 20.0 };
        let beside = Measurement::beside("image", 2.0, "s", peer, Goal::PartOfPeer(0.125));
        let line = table(&[beside]);
        assert!(line.contains("✓ holds") && line.contains("another: 20.00 s (×0.10)"), "{line}");
    }
}
