//! The TypeScript verifier in a browser.

use super::report::{Goal, Measurement};
use super::{BenchError, caution};
use std::path::Path;

/// One document of the vectors, in Chromium; the script prints the median last.
pub(super) fn measure(root: &Path) -> Result<Measurement, BenchError> {
    let output = caution::run(root, root.join("tools/sdk-js"), &["bench"])?;
    let millis = output.lines().last().and_then(|line| line.trim().parse().ok());
    let missing = || BenchError::Answer { command: "tools/sdk-js bench".into(), field: "milliseconds" };
    let millis = millis.ok_or_else(missing)?;
    Ok(Measurement::new("one document in Chromium, TypeScript", millis, "ms", Goal::AtMost(25.0)))
}
