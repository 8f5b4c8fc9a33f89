//! Places of connections: whose peer keeps a connection waiting for how long, and who gives way to whom.
//!
//! A peer owes something where a request that has begun does not go on, where it does not take what is there for it,
//! and where there is no request. Who waits for the app owes nothing, however long: an answer that takes its time, a
//! stream of events, a WebSocket.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Every connection's place.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    next: AtomicU64,
}

/// A place that is taken; given back when dropped.
pub(crate) struct Place {
    taken: Arc<Mutex<HashMap<u64, Arc<Seat>>>>,
    number: u64,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.number);
    }
}

impl Places {
    pub(crate) fn new(connections: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(connections)), taken: Arc::default(), next: AtomicU64::new(0) }
    }

    /// A place, as soon as there is one. Where there is none, who has kept us waiting longest, and for
    /// `patience` at least, has to leave.
    pub(crate) async fn take(&self, patience: Duration) -> Place {
        let mut permit = Arc::clone(&self.free).try_acquire_owned().ok();
        let permit = loop {
            if let Some(permit) = permit {
                break permit;
            }
            self.make_room(patience);
            // Nobody tells when somebody has waited for long enough.
            let free = timeout(LOOK, Arc::clone(&self.free).acquire_owned()).await;
            permit = free.ok().and_then(Result::ok);
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat::new());
        lock(&self.taken).insert(number, Arc::clone(&seat));
        Place { taken: Arc::clone(&self.taken), number, seat, _permit: permit }
    }

    fn make_room(&self, patience: Duration) {
        let now = Instant::now();
        let taken = lock(&self.taken);
        let waits = taken.values().map(|seat| (seat.owes(now), seat));
        let longest = waits.max_by_key(|(owes, _)| *owes).filter(|(owes, _)| *owes >= Some(patience));
        if let Some((_, seat)) = longest {
            seat.leave();
        }
    }

    /// Ends the connections of peers that owe something and moved nothing for so long.
    pub(crate) fn sweep(&self, silence: Duration) {
        let now = Instant::now();
        lock(&self.taken).values().filter(|seat| seat.is_silent(silence, now)).for_each(|seat| seat.leave());
    }
}

impl Place {
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

/// Who sits in a place.
pub(crate) struct Seat {
    state: Mutex<State>,
    left: Notify,
}

struct State {
    /// Requests under way: one, and a WebSocket while its opening is answered.
    requests: u32,
    /// For the next one, while there is none.
    idle: Wait,
    /// For more of a request.
    upload: Wait,
    /// For room for more of a response.
    download: Wait,
    leaves: bool,
}

/// Waiting for a peer.
#[derive(Default)]
struct Wait {
    since: Option<Instant>,
    /// How long before, while fewer bytes moved than count.
    before: Duration,
    moved: usize,
}

impl Wait {
    fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.before += since.elapsed();
        }
        self.moved += bytes;
        if self.moved >= ENOUGH {
            *self = Self::default();
        }
    }

    /// So many bytes moved otherwise: who only asks little, over and over, has kept us waiting all the time.
    fn paid(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= ENOUGH {
            *self = Self { since: self.since.map(|_| Instant::now()), ..Self::default() };
        }
    }

    fn owes(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| self.before + now.saturating_duration_since(since))
    }

    fn is_silent(&self, silence: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= silence)
    }
}

impl Seat {
    fn new() -> Self {
        let (mut idle, upload, download) = (Wait::default(), Wait::default(), Wait::default());
        idle.begin();
        let state = State { requests: 0, idle, upload, download, leaves: false };
        Self { state: Mutex::new(state), left: Notify::new() }
    }

    /// A request has begun; it is over when what this gives is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        let mut state = lock(&self.state);
        state.requests += 1;
        state.idle.moved(0);
        drop(state);
        Busy(Arc::clone(self))
    }

    /// Has to leave.
    pub(crate) fn leave(&self) {
        lock(&self.state).leaves = true;
        self.left.notify_one();
    }

    /// What `work` gives, unless it has to leave before.
    pub(crate) async fn unless_it_leaves<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut left = pin!(self.left.notified());
        let mut work = pin!(work);
        poll_fn(|context| match left.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => work.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// For how long its peer has kept us waiting, where it does and is not leaving already.
    fn owes(&self, now: Instant) -> Option<Duration> {
        let state = lock(&self.state);
        let owes = state.idle.owes(now).max(state.upload.owes(now)).max(state.download.owes(now));
        owes.filter(|_| !state.leaves)
    }

    fn is_silent(&self, silence: Duration, now: Instant) -> bool {
        let state = lock(&self.state);
        state.upload.is_silent(silence, now) || state.download.is_silent(silence, now)
    }
}

/// A request under way.
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.requests -= 1;
        if state.requests == 0 {
            state.idle.begin();
        }
    }
}

/// One of the two things that a peer can owe while there is a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owed {
    /// More of the request.
    Upload,
    /// Room for more of the response.
    Download,
}

impl Seat {
    /// Looks at whether that can go on. `moved` says how many bytes went where it can.
    pub(crate) fn looked<T>(&self, owed: Owed, polled: &Poll<T>, moved: impl FnOnce(&T) -> usize) {
        let mut state = lock(&self.state);
        match polled {
            Poll::Pending => state.wait(owed).begin(),
            Poll::Ready(it) => {
                let moved = moved(it);
                state.wait(owed).moved(moved);
                state.idle.paid(moved);
            }
        }
    }

    /// Nothing of that is owed any more.
    pub(crate) fn is_over(&self, owed: Owed) {
        *lock(&self.state).wait(owed) = Wait::default();
    }
}

impl State {
    fn wait(&mut self, owed: Owed) -> &mut Wait {
        match owed {
            Owed::Upload => &mut self.upload,
            Owed::Download => &mut self.download,
        }
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many bytes count; who moves fewer has kept us waiting all the time.
const ENOUGH: usize = 16 * 1024;
/// Between two looks at who has to leave.
const LOOK: Duration = Duration::from_secs(1);
