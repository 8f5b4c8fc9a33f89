//! Limits of time without a timer for each.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of a connection, for one limit after another and for limits within others, all of one task.
///
/// A timer that is due before all others costs system calls: the runtime has to wait for less long. Most limits
/// are never reached, so this one stays as it was set where that is soon enough, and is set anew when it rings too early.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

impl Alarm {
    /// What `work` gives, nothing where it takes longer than `limit`.
    pub(crate) async fn limit<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut until = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let until = *until.get_or_insert_with(|| Instant::now() + limit);
            self.poll(until, context).map(|()| None)
        })
        .await
    }

    fn poll(&self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() > until {
            sleep.as_mut().reset(until);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn limits_of_any_length_hold_one_after_another_and_within_others() {
        let alarm = Alarm::default();
        let never = |limit| alarm.limit(Duration::from_millis(limit), pending::<()>());
        for limit in [20, 5, 40, 1] {
            let begun = Instant::now();
            assert_eq!(never(limit).await, None);
            assert!(begun.elapsed() >= Duration::from_millis(limit));
        }
        let mut silences = 0;
        let talk = async {
            while never(10).await.is_none() {
                silences += 1;
            }
        };
        let begun = Instant::now();
        assert_eq!(alarm.limit(Duration::from_millis(100), talk).await, None);
        assert!(begun.elapsed() >= Duration::from_millis(100) && (1..=10).contains(&silences));
        assert_eq!(alarm.limit(Duration::ZERO, async { 7 }).await, Some(7));
    }
}
