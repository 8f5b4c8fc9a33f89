//! Points in time, as numbers.

/// Milliseconds since 1970-01-01T00:00:00 UTC, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The point this many whole seconds after the epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl core::fmt::Display for UnixMillis {
    /// RFC 3339 in UTC, to the second: `2026-01-15T12:00:00Z`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match der::DateTime::from_unix_duration(core::time::Duration::from_secs(self.seconds())) {
            Ok(date) => write!(f, "{date}"),
            // After the year 9999; only a hostile document gets here.
            Err(_) => write!(f, "{} ms after 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnixMillis;

    #[test]
    fn times_read_as_dates() {
        assert_eq!(UnixMillis(1_768_478_400_999).to_string(), "2026-01-15T12:00:00Z");
        assert_eq!(UnixMillis(u64::MAX).to_string(), "18446744073709551615 ms after 1970");
        assert_eq!(UnixMillis::from_seconds(u64::MAX), UnixMillis(u64::MAX));
    }
}
