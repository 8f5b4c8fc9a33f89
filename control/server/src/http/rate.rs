//! How many requests somebody may make: buckets that fill with time. `specs/platform.md` §8.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket for each of whom it counts.
#[derive(Debug)]
pub(super) struct Rate<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
    /// Requests at once.
    burst: f64,
    /// Requests a second.
    a_second: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K> Rate<K> {
    /// Of all requests.
    pub(super) fn of_requests() -> Self {
        Self { buckets: Mutex::default(), burst: 200.0, a_second: 20.0 }
    }

    /// Of those that sign somebody in: 20 a minute.
    pub(super) fn of_sign_in() -> Self {
        Self { buckets: Mutex::default(), burst: 20.0, a_second: 20.0 / 60.0 }
    }
}

/// Whom an address counts as: who has one of IPv6 has the 2^64 of its network.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        IpAddr::V4(v4) => v4.into(),
    }
}

impl<K: Hash + Eq> Rate<K> {
    /// Takes one; else says how long until there is one.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            // Who has waited long enough to be full again is as one who never came.
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = self.filled(*bucket, now);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.a_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + since * self.a_second).min(self.burst)
    }
}

/// How many buckets stand there before those that are full are put away.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_at_once_and_twenty_a_second() {
        let rate = Rate::of_requests();
        let start = Instant::now();
        assert_eq!((0..300).filter(|_| rate.take("a", start).is_ok()).count(), 200);
        assert!(rate.take("b", start).is_ok());
        let later = start + Duration::from_secs(1);
        assert_eq!((0..300).filter(|_| rate.take("a", later).is_ok()).count(), 20);
        assert!(rate.take("a", later).unwrap_err() <= Duration::from_millis(50));
        let sign_in = Rate::of_sign_in();
        assert_eq!((0..30).filter(|_| sign_in.take("a", start).is_ok()).count(), 20);
        assert!(sign_in.take("a", start + Duration::from_secs(2)).is_err());
        assert!(sign_in.take("a", start + Duration::from_secs(4)).is_ok());
    }
}
