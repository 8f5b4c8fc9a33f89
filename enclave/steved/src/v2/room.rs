//! Room for what is whole in memory: so much of it at a time, for all sessions together, and to each its share.

use super::Refused;
use crate::body::next_frame;
use crate::places::Seat;
use crate::seated::Upload;
use bytes::Bytes;
use caution_steve::SessionId;
use hyper::body::Body;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// All of it.
pub(crate) struct Rooms {
    shares: Mutex<Shares>,
    freed: Notify,
}

struct Shares {
    free: usize,
    /// By a number of their own, ascending.
    taken: HashMap<u64, Share>,
    next: u64,
}

/// What one request, with its response, has.
struct Share {
    session: SessionId,
    bytes: usize,
    seat: Arc<Seat>,
    /// It was told to.
    leaves: bool,
}

/// Room that is taken; given back when dropped.
pub(crate) struct Room {
    rooms: Arc<Rooms>,
    number: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut shares = self.rooms.lock();
        if let Some(share) = shares.taken.remove(&self.number) {
            shares.free += share.bytes;
        }
        drop(shares);
        self.rooms.freed.notify_waiters();
    }
}

impl Rooms {
    pub(crate) fn new(bytes: usize) -> Self {
        let shares = Shares { free: bytes, taken: HashMap::new(), next: 0 };
        Self { shares: Mutex::new(shares), freed: Notify::new() }
    }

    /// None of it yet, for a request of this session that comes from there.
    pub(crate) fn enter(self: &Arc<Self>, session: SessionId, seat: &Arc<Seat>) -> Room {
        let mut shares = self.lock();
        let number = shares.next;
        shares.next += 1;
        let share = Share { session, bytes: 0, seat: Arc::clone(seat), leaves: false };
        shares.taken.insert(number, share);
        Room { rooms: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of asking for room.
enum Asked {
    Taken,
    /// Who has to leave does so soon.
    Soon,
    /// Nobody has more than who asks.
    Never,
}

impl Shares {
    fn take(&mut self, number: u64, bytes: usize) -> Asked {
        if bytes <= self.free {
            self.free -= bytes;
            self.taken.entry(number).and_modify(|share| share.bytes += bytes);
            return Asked::Taken;
        }
        let leaving = self.taken.values().filter(|share| share.leaves).map(|share| share.bytes);
        let mut free = self.free + leaving.sum::<usize>();
        while free < bytes {
            let Some(last) = self.last_of_the_largest(number, bytes) else { return Asked::Never };
            let Some(share) = self.taken.get_mut(&last) else { return Asked::Never };
            share.leaves = true;
            share.seat.leave();
            free += share.bytes;
        }
        Asked::Soon
    }

    /// The newest request of the session that has most, where that is more than who asks would have.
    fn last_of_the_largest(&self, number: u64, bytes: usize) -> Option<u64> {
        let mut sessions: HashMap<SessionId, usize> = HashMap::new();
        for share in self.taken.values().filter(|share| !share.leaves) {
            *sessions.entry(share.session).or_default() += share.bytes;
        }
        let asks = self.taken.get(&number)?.session;
        let would = sessions.get(&asks).copied().unwrap_or(0) + bytes;
        let (largest, has) = sessions.into_iter().max_by_key(|(_, has)| *has)?;
        let of_it = self.taken.iter().filter(|(_, it)| it.session == largest && it.bytes > 0 && !it.leaves);
        of_it.map(|(number, _)| *number).max().filter(|_| has > would && largest != asks)
    }
}

impl Room {
    /// Takes room for so many bytes more. Where there is none, whose session has most gives some up, as long as that
    /// is more than this one's would be: so everybody has as much as all others.
    pub(crate) async fn take(&mut self, bytes: usize) -> bool {
        loop {
            let freed = self.rooms.freed.notified();
            // Before anything is looked at, so that nothing is freed unnoticed.
            let mut freed = std::pin::pin!(freed);
            freed.as_mut().enable();
            let asked = self.rooms.lock().take(self.number, bytes);
            match asked {
                Asked::Taken => return true,
                Asked::Never => return false,
                Asked::Soon => freed.await,
            }
        }
    }

    /// The rest of a body of at most `most` bytes, whose beginning is there.
    pub(crate) async fn collect<B>(
        &mut self,
        body: &mut B,
        beginning: Vec<u8>,
        most: usize,
    ) -> Result<Vec<u8>, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut bytes = beginning;
        if !self.take(bytes.len()).await {
            return Err(Refused::Busy);
        }
        while let Some(frame) = next_frame(body).await {
            let Ok(data) = frame.map_err(|_| Refused::Malformed)?.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Refused::TooLarge);
            }
            if !self.take(data.len()).await {
                return Err(Refused::Busy);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    /// Bytes that have this room for as long as they are anywhere.
    pub(crate) fn hold(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

struct Held {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a body says of its sender, in its first bytes.
pub(super) async fn beginning<T>(
    body: &mut Upload,
    mut named: impl FnMut(&[u8]) -> Result<Option<T>, Refused>,
) -> Result<(T, Vec<u8>), Refused> {
    let mut bytes = Vec::new();
    loop {
        if let Some(named) = named(&bytes)? {
            return Ok((named, bytes));
        }
        if bytes.len() >= MAX_BEGINNING {
            return Err(Refused::Malformed);
        }
        let frame = next_frame(body).await.ok_or(Refused::Malformed)?.map_err(|_| Refused::Malformed)?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
    }
}

/// Bytes in which a request says whose it is.
const MAX_BEGINNING: usize = 4096;
