//! Numbers in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts what was answered.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<(String, u16), Answered>>);

#[derive(Debug, Clone, Copy, Default)]
struct Answered {
    requests: u64,
    seconds: f64,
}

impl Metrics {
    /// A request was answered.
    pub(super) fn answered(&self, operation: &str, status: u16, after: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.entry((operation.to_owned(), status)).or_default();
        one.requests += 1;
        one.seconds += after.as_secs_f64();
    }

    /// All of them, and how many jobs are in which phase.
    pub(super) fn text(&self, jobs: &[(String, i64)]) -> String {
        let mut text = String::new();
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str("# TYPE caution_http_requests_total counter\n");
        for ((operation, status), one) in all.iter() {
            let labels = format!("operation=\"{operation}\",status=\"{status}\"");
            let _ = writeln!(text, "caution_http_requests_total{{{labels}}} {}", one.requests);
        }
        text.push_str("# TYPE caution_http_seconds_total counter\n");
        for ((operation, status), one) in all.iter() {
            let labels = format!("operation=\"{operation}\",status=\"{status}\"");
            let _ = writeln!(text, "caution_http_seconds_total{{{labels}}} {:.6}", one.seconds);
        }
        text.push_str("# TYPE caution_jobs gauge\n");
        for (phase, number) in jobs {
            let _ = writeln!(text, "caution_jobs{{phase=\"{phase}\"}} {number}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_operation_and_status() {
        let metrics = Metrics::default();
        metrics.answered("app_get", 200, Duration::from_millis(500));
        metrics.answered("app_get", 200, Duration::from_millis(250));
        metrics.answered("app_get", 404, Duration::ZERO);
        let text = metrics.text(&[("live".to_owned(), 3)]);
        for line in [
            "caution_http_requests_total{operation=\"app_get\",status=\"200\"} 2\n",
            "caution_http_requests_total{operation=\"app_get\",status=\"404\"} 1\n",
            "caution_http_seconds_total{operation=\"app_get\",status=\"200\"} 0.750000\n",
            "caution_jobs{phase=\"live\"} 3\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
