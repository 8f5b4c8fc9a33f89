//! What time it is, and ids made of it: the only place of this crate that reads the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::{Builder, Uuid};

/// Milliseconds since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A new id: a UUID of version 7. Those of one process sort by when they were made, also within a millisecond and when
/// the clock is set back.
///
/// # Errors
/// - the operating system has no random bytes
pub fn new_id() -> Result<Uuid, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let earliest = u64::try_from(now_ms()).unwrap_or_default() << COUNTER_BITS;
    let next = |last: u64| Some(earliest.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(earliest);
    let this = earliest.max(last + 1);
    // The counter stands in the 12 bits before the random ones (RFC 9562 §6.2, method 1).
    let counter = u16::try_from(this & ((1 << COUNTER_BITS) - 1)).unwrap_or_default();
    random[..2].copy_from_slice(&counter.to_be_bytes());
    Ok(Builder::from_unix_timestamp_millis(this >> COUNTER_BITS, &random).into_uuid())
}

/// Milliseconds and counter of the last id.
static LAST: AtomicU64 = AtomicU64::new(0);
const COUNTER_BITS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_when_they_were_made() {
        let ids: Vec<Uuid> = (0..10_000).map(|_| new_id().unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
