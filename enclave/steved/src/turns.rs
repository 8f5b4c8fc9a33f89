//! So many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many exchanges of a session are under way, and how many may be.
pub(crate) struct Turns {
    taken: Arc<AtomicU32>,
    most: u32,
}

/// The right to run one more exchange of a session; given back when dropped.
pub(crate) struct Turn(Arc<AtomicU32>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    pub(crate) fn new(most: u32) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A turn, where one is free.
    pub(crate) fn take(&self) -> Option<Turn> {
        // Counted before it is compared, so that two at once cannot both be the last.
        let turn = Turn(Arc::clone(&self.taken));
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.most).then_some(turn)
    }

    /// Whether none is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }
}
