//! What encryption costs in front of an app: steved beside a plain reverse proxy made of the same hyper.

use super::BenchError;
use super::caution::run;
use super::report::{Goal, Measurement, Peer};
use serde::Deserialize;
use std::path::Path;

/// A line of `enclave/steved/examples/measure`, which says how it measures.
#[derive(Deserialize)]
struct Line {
    name: String,
    value: f64,
    unit: String,
    peer: Option<String>,
    peer_value: Option<f64>,
    part: Option<f64>,
}

/// Processor time of the serving thread, each beside its peer's.
pub(crate) fn measure(root: &Path) -> Result<Vec<Measurement>, BenchError> {
    let arguments =
        ["run", "--locked", "--quiet", "--release", "--package", "caution-steved", "--example", "measure"];
    let text = run(root, "cargo", &arguments)?;
    let lines = text.lines().map(|line| {
        let wrong = || BenchError::Answer { command: arguments.join(" "), field: "a line of JSON" };
        serde_json::from_str::<Line>(line).map_err(|_| wrong())
    });
    lines.map(|line| Ok(measurement(line?))).collect()
}

fn measurement(line: Line) -> Measurement {
    let unit = match line.unit.as_str() {
        "ms" => "ms",
        "MiB" => "MiB",
        _ => "µs",
    };
    let (Some(name), Some(value), Some(part)) = (line.peer, line.peer_value, line.part) else {
        return Measurement::new(&line.name, line.value, unit, Goal::Shown);
    };
    let name = if name == "hyper proxy" { "hyper proxy" } else { "hyper proxy that connects, too" };
    // So many hundredths of its speed are so many times its cost.
    let goal = if part > 0.0 { Goal::PartOfPeer((100.0 / part).round() / 100.0) } else { Goal::Shown };
    Measurement::beside(&line.name, line.value, unit, Peer { name, value }, goal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_measurement_beside_its_peer() {
        let line =
            r#"{"name":"n","value":12.0,"unit":"µs","peer":"hyper proxy","peer_value":10.0,"part":0.85}"#;
        let shown = serde_json::to_value(measurement(serde_json::from_str(line).unwrap())).unwrap();
        assert_eq!((&shown["ratio"], &shown["target"]), (&1.2.into(), &"≤ ×1.18".into()));
        assert_eq!((&shown["peer"], &shown["holds"]), (&"hyper proxy".into(), &false.into()));
    }
}
