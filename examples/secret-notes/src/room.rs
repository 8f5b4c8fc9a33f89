//! Those who listen, and what is said to them.

use std::sync::mpsc::{sync_channel, Receiver, SyncSender};

/// How much one who does not listen may be behind.
const BEHIND: usize = 256;

/// Listeners.
#[derive(Debug, Default)]
pub struct Room {
    members: Vec<(u64, SyncSender<String>)>,
    next: u64,
}

impl Room {
    /// A listener, and its number from 1 on.
    pub fn join(&mut self) -> (u64, Receiver<String>) {
        let (sender, receiver) = sync_channel(BEHIND);
        self.next += 1;
        self.members.push((self.next, sender));
        (self.next, receiver)
    }

    /// Says something to everybody but one. Who is too far behind, or gone, is no member any more: nobody waits for it.
    pub fn say(&mut self, text: &str, but: u64) {
        self.members.retain(|(number, member)| *number == but || member.try_send(text.to_owned()).is_ok());
    }

    /// A member goes.
    pub fn leave(&mut self, number: u64) {
        self.members.retain(|(member, _)| *member != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_else_hears_and_who_does_not_listen_is_left() {
        let mut room = Room::default();
        let ((one, first), (_, second)) = (room.join(), room.join());
        room.say("hello", one);
        assert!(first.try_recv().is_err());
        assert_eq!(second.try_recv().as_deref(), Ok("hello"));
        for _ in 0..=BEHIND {
            room.say("more", one);
        }
        assert_eq!(second.iter().count(), BEHIND);
        room.say("still", 0);
        assert_eq!(first.try_recv().as_deref(), Ok("still"));
    }
}
