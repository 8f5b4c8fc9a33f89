//! A channel for a few things, whose ends are nearly always one task's.
//!
//! That of tokio allocates for 32 things and lines of the processor's cache for either end: for one response, which is
//! one piece, that costs more than to open its record and seal it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct State<T> {
    waiting: VecDeque<T>,
    room: usize,
    senders: usize,
    is_read: bool,
    reader: Option<Waker>,
    writers: Vec<Waker>,
}

/// Both ends of one that holds `room` things at most.
pub(crate) fn channel<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let (waiting, writers) = (VecDeque::new(), Vec::new());
    let state = State { waiting, room, senders: 1, is_read: true, reader: None, writers };
    let shared = Shared(Arc::new(Mutex::new(state)));
    (Sender(Shared(Arc::clone(&shared.0))), Receiver(shared))
}

struct Shared<T>(Arc<Mutex<State<T>>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_reader(&self) {
        let reader = self.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn wake_writers(&self) {
        let writers = std::mem::take(&mut self.lock().writers);
        writers.into_iter().for_each(Waker::wake);
    }
}

/// Puts things in. Without any of these the channel is closed.
pub(crate) struct Sender<T>(Shared<T>);

impl<T> Sender<T> {
    /// Waits for room; false when nobody reads any more.
    pub(crate) async fn send(&self, thing: T) -> bool {
        let mut thing = Some(thing);
        poll_fn(|context| {
            let mut state = self.0.lock();
            if !state.is_read {
                return Poll::Ready(false);
            }
            if state.waiting.len() >= state.room {
                if !state.writers.iter().any(|writer| writer.will_wake(context.waker())) {
                    state.writers.push(context.waker().clone());
                }
                return Poll::Pending;
            }
            state.waiting.extend(thing.take());
            drop(state);
            self.0.wake_reader();
            Poll::Ready(true)
        })
        .await
    }

    /// False when there is no room, or nobody reads any more.
    pub(crate) fn try_send(&self, thing: T) -> bool {
        let mut state = self.0.lock();
        if !state.is_read || state.waiting.len() >= state.room {
            return false;
        }
        state.waiting.push_back(thing);
        drop(state);
        self.0.wake_reader();
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Shared(Arc::clone(&self.0.0)))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.wake_reader();
    }
}

/// Takes things out.
pub(crate) struct Receiver<T>(Shared<T>);

impl<T> Receiver<T> {
    /// The next thing; none when the channel is closed and empty.
    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(thing) = state.waiting.pop_front() {
            drop(state);
            self.0.wake_writers();
            return Poll::Ready(Some(thing));
        }
        if state.senders == 0 {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(context.waker()),
            reader => *reader = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The next thing that is there.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        let thing = self.0.lock().waiting.pop_front()?;
        self.0.wake_writers();
        Some(thing)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_read = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.0.wake_writers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next<T>(receiver: &mut Receiver<T>) -> Option<T> {
        poll_fn(|context| receiver.poll_recv(context)).await
    }

    #[tokio::test]
    async fn everything_arrives_in_order_whoever_waits_and_then_it_is_closed() {
        let (sender, mut receiver) = channel(2);
        let other = sender.clone();
        let writers = [sender, other].map(|sender| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            std::thread::spawn(move || {
                runtime.block_on(async {
                    for number in 0..10_000 {
                        assert!(sender.send(number).await);
                    }
                });
            })
        });
        let mut counts = vec![0; 10_000];
        let mut largest = -1;
        while let Some(number) = next(&mut receiver).await {
            // Of two that count, the first to say a number is one further than anybody was.
            assert!(number <= largest + 1);
            largest = largest.max(number);
            counts[usize::try_from(number).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count == 2));
        for writer in writers {
            writer.join().unwrap();
        }
    }

    #[tokio::test]
    async fn it_holds_no_more_than_it_has_room_for_and_who_waits_learns_that_nobody_reads() {
        let (sender, mut receiver) = channel(1);
        assert!(sender.try_send(1) && !sender.try_send(2));
        let waits = tokio::spawn(async move { (sender.send(2).await, sender.send(3).await) });
        tokio::task::yield_now().await;
        assert_eq!((receiver.try_recv(), next(&mut receiver).await), (Some(1), Some(2)));
        drop(receiver);
        assert_eq!(waits.await.unwrap(), (true, false));
    }
}
