//! Lines on their way to one reader: bounded, and whoever sends never waits.
//!
//! An event that finds no room ends the queue, because a reader must not miss one unknowingly. A log
//! line that finds none is dropped, and how many were is told in their place.

use caution_abi::control::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A line with its newline, shared by all readers.
pub(crate) type Line = Arc<[u8]>;

/// The queue of one reader.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Of `waiting`, how many are events.
    events: usize,
    /// Of `waiting`, how long the log lines are together.
    log_bytes: usize,
    /// Log lines since the last one that found room.
    dropped: u64,
    closed: bool,
}

#[derive(Debug)]
enum Waiting {
    Event(Line),
    Log(Line),
}

impl Queue {
    /// Adds an event; false ends the queue, for want of room.
    pub(crate) fn event(&self, line: &Line) -> bool {
        let mut state = self.lock();
        state.closed |= state.events == MAX_EVENTS;
        if state.closed {
            self.changed.notify_all();
            return false;
        }
        state.tell_dropped();
        state.events += 1;
        state.waiting.push_back(Waiting::Event(Arc::clone(line)));
        self.changed.notify_all();
        true
    }

    /// Adds a log line, or counts it as dropped. Once lines are dropped they are until half of the
    /// room is free: one gap with a number tells more than a hundred. False when the queue has ended.
    pub(crate) fn log(&self, line: &Line) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        let room = if state.dropped > 0 { MAX_LOG_BYTES / 2 } else { MAX_LOG_BYTES };
        if state.log_bytes + line.len() > room {
            state.dropped += 1;
        } else {
            state.tell_dropped();
            state.push_log(Arc::clone(line));
        }
        self.changed.notify_all();
        true
    }

    /// Nothing is added any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next line, as soon as there is one; none at the end.
    pub(crate) fn next(&self) -> Option<Line> {
        let idle = |state: &mut State| state.waiting.is_empty() && state.dropped == 0 && !state.closed;
        let mut state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            state.tell_dropped();
        }
        match state.waiting.pop_front()? {
            Waiting::Event(line) => {
                state.events -= 1;
                Some(line)
            }
            Waiting::Log(line) => {
                state.log_bytes -= line.len();
                Some(line)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Panics abort in the enclave; a poisoned lock is only ever seen in tests.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push_log(&mut self, line: Line) {
        self.log_bytes += line.len();
        self.waiting.push_back(Waiting::Log(line));
    }

    fn tell_dropped(&mut self) {
        if self.dropped > 0 {
            let lines = std::mem::take(&mut self.dropped);
            self.push_log(encode(&Event::LogDropped { lines }));
        }
    }
}

/// One event as a line.
pub(crate) fn encode(event: &Event) -> Line {
    let mut line = serde_json::to_vec(event)
        .expect("events are plain structs of strings and numbers, which always have a JSON form");
    line.push(b'\n');
    line.into()
}

/// Events a reader may be behind.
pub(crate) const MAX_EVENTS: usize = 256;
/// Bytes of log lines a reader may be behind.
const MAX_LOG_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: usize) -> Line {
        vec![b'x'; length].into()
    }

    fn rest(queue: &Queue) -> Vec<Line> {
        queue.close();
        std::iter::from_fn(|| queue.next()).collect()
    }

    fn dropped(lines: u64) -> Line {
        encode(&Event::LogDropped { lines })
    }

    #[test]
    fn log_lines_without_room_are_dropped_and_counted_in_their_place() {
        let queue = Queue::default();
        let long = line(MAX_LOG_BYTES / 2);
        for _ in 0..5 {
            queue.log(&long);
        }
        assert!(queue.event(&line(1)));
        assert_eq!(rest(&queue), [long.clone(), long, dropped(3), line(1)]);
    }

    #[test]
    fn a_gap_ends_when_half_of_the_room_is_free() {
        let queue = Queue::default();
        let quarter = line(MAX_LOG_BYTES / 4);
        for _ in 0..6 {
            queue.log(&quarter);
        }
        queue.next().unwrap();
        queue.log(&quarter);
        assert_eq!(queue.lock().dropped, 3);
        for _ in 0..2 {
            queue.next().unwrap();
        }
        queue.log(&quarter);
        assert_eq!(rest(&queue), [quarter.clone(), dropped(3), quarter]);
    }

    #[test]
    fn a_gap_at_the_end_is_told_too() {
        let queue = Queue::default();
        queue.log(&line(MAX_LOG_BYTES + 1));
        assert_eq!(queue.next(), Some(dropped(1)));
        assert!(rest(&queue).is_empty());
    }

    #[test]
    fn log_lines_never_take_the_room_of_events() {
        let queue = Queue::default();
        for _ in 0..MAX_LOG_BYTES {
            queue.log(&line(1));
        }
        assert!((0..MAX_EVENTS).all(|_| queue.event(&line(1))));
        assert!(!queue.event(&line(1)), "one too many");
        assert!(!queue.event(&line(1)), "and no more");
    }
}
