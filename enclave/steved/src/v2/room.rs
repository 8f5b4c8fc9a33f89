//! Room for what is whole in memory: so much of it at a time, for all sessions together.

use super::Refused;
use crate::body::next_frame;
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room that is taken; given back when dropped.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    /// Of `free`, which counts in [`UNIT`]s, nothing yet.
    pub(crate) fn new(free: &Arc<Semaphore>) -> Self {
        Self { free: Arc::clone(free), taken: None, bytes: 0 }
    }

    /// Takes room for so many bytes more, where there is some.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let before = self.bytes.div_ceil(UNIT);
        self.bytes += bytes;
        let Ok(more) = u32::try_from(self.bytes.div_ceil(UNIT) - before) else { return false };
        let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            taken => *taken = Some(more),
        }
        true
    }

    /// All of a body of at most `most` bytes.
    pub(crate) async fn collect(&mut self, body: &mut Incoming, most: usize) -> Result<Vec<u8>, Refused> {
        let mut bytes = Vec::new();
        while let Some(frame) = next_frame(body).await {
            let Ok(data) = frame.map_err(|_| Refused::Malformed)?.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Refused::TooLarge);
            }
            if !self.take(data.len()) {
                return Err(Refused::Busy);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }
}

/// How many bytes a permit stands for.
pub(crate) const UNIT: usize = 1024;
