//! Somebody wrote something down: whoever waits for jobs, events or logs looks again.

use std::sync::Arc;
use tokio::sync::watch;

/// Rung after a change was committed. Cheap to clone; all clones are one bell.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<()>>);

/// Hears a bell. What was rung since it was made, or since it heard last, is not lost.
#[derive(Debug, Clone)]
pub struct Listener(watch::Receiver<()>);

impl Bell {
    /// A bell that nobody has rung.
    #[expect(clippy::new_without_default, reason = "a bell of its own is never what a default should be")]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }

    /// Wakes everybody who listens.
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    /// Listens from now on: to be called before looking at what may change.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Waits until the bell rings; false when nobody can ring it any more.
    pub async fn heard(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_before_one_waits_is_heard() {
        let bell = Bell::new();
        let mut listener = bell.listen();
        bell.ring();
        bell.clone().ring();
        assert!(listener.heard().await);
        drop(bell);
        assert!(!listener.heard().await);
    }
}
