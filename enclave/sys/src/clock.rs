//! The clock of the calendar.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time since the Unix epoch; zero for a clock that stands before it.
pub fn now() -> Duration {
    // CLOCK_REALTIME fails on no kernel.
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, |t| {
        let (seconds, nanoseconds) = (u64::try_from(t.tv_sec()), u32::try_from(t.tv_nsec()));
        Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
    })
}
