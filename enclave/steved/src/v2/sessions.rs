//! Sessions of version 2: who is there, and until when.

use super::room::{Room, Rooms};
use crate::Limits;
use crate::places::Seat;
use crate::turns::{Turn, Turns};
use caution_steve::SessionId;
use caution_steve::v2::ServerSession;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Every session of version 2 of this enclave.
pub(crate) struct Sessions {
    all: Mutex<HashMap<SessionId, Arc<Entry>>>,
    /// For what is whole in memory.
    rooms: Arc<Rooms>,
}

/// A session with what limits it.
pub(crate) struct Entry {
    session: Mutex<ServerSession>,
    turns: Turns,
    born: Instant,
}

impl Entry {
    /// Does `f` with the session.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut ServerSession) -> T) -> T {
        f(&mut lock(&self.session))
    }

    /// Its name.
    pub(crate) fn id(&self) -> SessionId {
        self.with(|session| session.id())
    }

    /// A turn, where one is free.
    pub(crate) fn turn(&self) -> Option<Turn> {
        self.turns.take()
    }

    /// Nobody waits longer for a confirmation than for anything else.
    fn is_over(&self, limits: &Limits, now: Instant) -> bool {
        let confirmed = self.with(|session| session.is_confirmed());
        now >= self.born + if confirmed { limits.lifetime } else { limits.patience }
    }
}

impl Sessions {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { all: Mutex::default(), rooms: Arc::new(Rooms::new(limits.held)) }
    }

    /// Takes a session in, or says that there is no room.
    pub(crate) fn insert(&self, session: ServerSession, limits: &Limits) -> bool {
        let now = Instant::now();
        let mut all = lock(&self.all);
        if all.len() >= limits.sessions {
            all.retain(|_, entry| !entry.is_over(limits, now));
        }
        let free = all.len() < limits.sessions;
        if free {
            let id = session.id();
            let entry = Entry { session: Mutex::new(session), turns: Turns::new(CONCURRENCY), born: now };
            all.insert(id, Arc::new(entry));
        }
        free
    }

    /// The session of this name, where it is not over.
    pub(crate) fn get(&self, id: &SessionId, limits: &Limits) -> Option<Arc<Entry>> {
        let entry = lock(&self.all).get(id).cloned()?;
        (!entry.is_over(limits, Instant::now())).then_some(entry)
    }

    /// Forgets the sessions that are over, with their keys.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let now = Instant::now();
        lock(&self.all).retain(|_, entry| !entry.is_over(limits, now));
    }

    /// Room for a request of this session that comes from there, none of it taken yet.
    pub(crate) fn room(&self, session: SessionId, seat: &Arc<Seat>) -> Room {
        self.rooms.enter(session, seat)
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests of a session at a time: as many as its window tells apart.
#[expect(clippy::cast_possible_truncation, reason = "a window of 64")]
const CONCURRENCY: u32 = caution_steve::v2::WINDOW as u32;
