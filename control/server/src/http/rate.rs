//! How many requests somebody may make: buckets that fill with time. `specs/platform.md` §8.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket for each of whom it counts.
#[derive(Debug)]
pub(super) struct Rate<K>(Mutex<HashMap<K, Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K> Default for Rate<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq> Rate<K> {
    /// Takes one; else says how long until there is one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            // Who has waited long enough to be full again is as one who never came.
            buckets.retain(|_, bucket| bucket.filled(now) < BURST);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: BURST, at: now });
        bucket.tokens = bucket.filled(now);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / A_SECOND));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

impl Bucket {
    fn filled(self, now: Instant) -> f64 {
        (self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * A_SECOND).min(BURST)
    }
}

/// Requests at once.
const BURST: f64 = 200.0;
/// Requests a second.
const A_SECOND: f64 = 20.0;
/// How many buckets stand there before those that are full are put away.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_at_once_and_twenty_a_second() {
        let rate = Rate::default();
        let start = Instant::now();
        assert_eq!((0..300).filter(|_| rate.take("a", start).is_ok()).count(), 200);
        assert!(rate.take("b", start).is_ok());
        let later = start + Duration::from_secs(1);
        assert_eq!((0..300).filter(|_| rate.take("a", later).is_ok()).count(), 20);
        assert!(rate.take("a", later).unwrap_err() <= Duration::from_millis(50));
    }
}
