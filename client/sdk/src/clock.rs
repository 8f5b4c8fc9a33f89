//! What time it is: for certificates, and for how long a session is used.

use caution_attest::UnixMillis;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Everything that depends on time asks it, so that a test can be years long.
pub trait Clock: Send + Sync {
    /// The date: what certificates and evidence are valid at.
    fn now(&self) -> UnixMillis;
    /// Time that passed since some moment, never less than before: how old a session is.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place the ban points to; callers can bring another clock"
    )]
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
