//! Who is told what happens: the agent's own log, and clients that watch.

use super::api::Change;
use super::engine::Slot;
use crate::files::eventlog::unix_ms;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Changes that wait for a client; one that lets more wait is disconnected.
const MAX_WAITING: usize = 256;

/// Rings at every change.
#[derive(Debug, Default)]
pub(super) struct Bell {
    watchers: Mutex<Vec<SyncSender<Change>>>,
}

impl Bell {
    /// Something happened to an app.
    pub(super) fn ring(&self, slot: &Slot, what: &str) {
        let app = slot.status();
        say(&format!("{}: {what}", app.name));
        let change = Change { unix_ms: unix_ms(), what: what.to_owned(), app };
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.try_send(change.clone()).is_ok());
    }

    /// All changes from now on.
    pub(super) fn watch(&self) -> Receiver<Change> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}

/// One line of the agent's log.
pub(super) fn say(line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Nobody may read it any more, which is no reason to stop.
    let _ = writeln!(std::io::stderr(), "caution-host: {line}");
}

#[cfg(test)]
mod tests {
    use super::super::engine::Now;
    use super::super::state::tests::app;
    use super::*;

    #[test]
    fn a_watcher_that_does_not_read_is_let_go_and_holds_up_nobody() {
        let bell = Bell::default();
        let (slow, ended) = (bell.watch(), Slot { app: app("a"), now: Now::Ended });
        for _ in 0..=MAX_WAITING {
            bell.ring(&ended, "x");
        }
        let quick = bell.watch();
        bell.ring(&ended, "y");
        assert_eq!(quick.recv().unwrap().what, "y");
        assert_eq!(slow.iter().count(), MAX_WAITING);
    }
}
