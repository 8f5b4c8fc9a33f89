//! Asking for pages, with `wrk`.

use crate::bench::BenchError;
use crate::bench::caution::run;
use std::path::Path;

/// Each side is measured this often, in turns; the best counts, for all.
const ROUNDS: usize = 3;
/// Seconds of asking.
const SECONDS: usize = 4;

/// What `wrk` saw.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// A second.
    pub(super) requests: f64,
    pub(super) median_ms: f64,
    /// 99 of 100 took no longer.
    pub(super) most_ms: f64,
}

impl Load {
    /// Asks a port for some seconds, with one connection for many requests or for each.
    pub(super) fn run(port: u16, clients: usize, fresh: bool) -> Result<Self, BenchError> {
        let (clients, seconds) = (format!("-c{clients}"), format!("-d{SECONDS}s"));
        let address = format!("http://127.0.0.1:{port}/");
        let mut arguments = vec!["-t1", &clients, &seconds, "--latency"];
        if fresh {
            arguments.extend(["-H", "Connection: close"]);
        }
        arguments.push(&address);
        let text = run(Path::new("/"), "wrk", &arguments)?;
        let found =
            |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label).map(str::trim));
        let answer = |field| BenchError::Answer { command: format!("wrk {}", arguments.join(" ")), field };
        let requests = found("Requests/sec:").and_then(|number| number.parse().ok());
        let time = |label| found(label).and_then(milliseconds);
        Ok(Self {
            requests: requests.ok_or_else(|| answer("Requests/sec"))?,
            median_ms: time("50%").ok_or_else(|| answer("50%"))?,
            most_ms: time("99%").ok_or_else(|| answer("99%"))?,
        })
    }

    /// More requests; less time.
    fn or_better(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            median_ms: self.median_ms.min(other.median_ms),
            most_ms: self.most_ms.min(other.most_ms),
        }
    }
}

/// `12.34us`, `1.20ms` or `1.00s`.
fn milliseconds(text: &str) -> Option<f64> {
    [("us", 1e-3), ("ms", 1.0), ("s", 1e3)]
        .iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// The best of several rounds, in each of which every side has its turn.
pub(super) fn best_of(
    sides: [u16; 3],
    load: impl Fn(u16) -> Result<Load, BenchError>,
) -> Result<[Load; 3], BenchError> {
    let mut best = [Load { requests: 0.0, median_ms: f64::INFINITY, most_ms: f64::INFINITY }; 3];
    for _ in 0..ROUNDS {
        for (best, port) in best.iter_mut().zip(sides) {
            *best = best.or_better(load(port)?);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_times_of_wrk_are_read() {
        for (text, expected) in [("250.00us", 0.25), ("1.20ms", 1.2), ("1.00s", 1000.0)] {
            assert!((super::milliseconds(text).unwrap() - expected).abs() < 1e-9);
        }
        assert_eq!(super::milliseconds("5"), None);
    }
}
