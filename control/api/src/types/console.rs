//! What an app writes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which part of what an app writes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleQuery {
    /// How many lines of what is there, the last ones: 0 to 10,000; 100 where absent.
    pub lines: Option<u32>,
    /// Go on until the run ends.
    #[serde(default)]
    pub follow: bool,
}

/// A line of an app's console: one JSON object a line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLine {
    /// When, milliseconds since 1970; of the app's own lines by the enclave's clock.
    pub unix_ms: u64,
    /// Who says it.
    pub from: ConsoleFrom,
    /// The text, without its newline. What apps write is not looked at: whoever shows it takes care of its control characters.
    pub text: String,
}

/// Who says a line of a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleFrom {
    /// The app, on its standard output.
    Stdout,
    /// The app, on its standard error.
    Stderr,
    /// What runs the app.
    Host,
}
