//! The control port: what the enclave tells its host, as lines of JSON.
//!
//! Publishing never waits: each reader has a bounded queue, and one that leaves too many events in it
//! is dropped. Log lines without room are dropped themselves.

mod queue;

use crate::phase::{self, Input};
use caution_abi::control::{ClockSource, Event, Exit, LogStream, MAX_LINE, Phase};
use caution_enclave_sys::clock;
use caution_enclave_sys::process::uptime_ms;
use queue::{Line, Queue};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What there is to say about the enclave at any moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The current phase.
    pub(crate) phase: Phase,
    /// How often the app was started again since the kernel started.
    pub(crate) restarts: u32,
    /// How its last run ended.
    pub(crate) last_exit: Option<Exit>,
    /// The clock.
    pub(crate) clock: Option<ClockNote>,
}

/// The clock, when it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockNote {
    /// What it was compared with.
    pub(crate) source: ClockSource,
    /// Source minus clock, in milliseconds.
    pub(crate) offset_ms: i64,
    /// When, in milliseconds since the kernel started.
    pub(crate) uptime_ms: u64,
}

/// The state that readers see, and the readers.
#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Known once the security module has been asked.
    hello: Option<Line>,
    phase: Phase,
    phase_line: Line,
    restarts: u32,
    last_exit: Option<Exit>,
    clock: Option<ClockNote>,
    /// The last line, once there is one.
    stopping: Option<Line>,
    /// Oldest first, at most [`MAX_READERS`].
    queues: Vec<Arc<Queue>>,
    /// Connections not yet closed.
    open: usize,
    /// Readers that have had the last line and closed.
    told: usize,
}

impl Control {
    /// A control port in phase booting, without readers.
    pub(crate) fn new() -> Self {
        let state = State {
            hello: None,
            phase: Phase::Booting,
            phase_line: phase_line(Phase::Booting),
            restarts: 0,
            last_exit: None,
            clock: None,
            stopping: None,
            queues: Vec::new(),
            open: 0,
            told: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Says whether this is a debug enclave; readers hear nothing before.
    pub(crate) fn open(&self, debug: bool) {
        self.lock().hello.get_or_insert_with(|| hello(debug));
        self.changed.notify_all();
    }

    /// What was told so far, in short.
    pub(crate) fn status(&self) -> Status {
        let state = self.lock();
        let State { phase, restarts, clock, .. } = *state;
        Status { phase, restarts, last_exit: state.last_exit.clone(), clock }
    }

    /// Enters the phase after `input` and tells it. False when the table has no such line.
    pub(crate) fn advance(&self, input: Input) -> bool {
        let mut state = self.lock();
        let Some(next) = phase::next(state.phase, input) else { return false };
        if (state.phase, next) == (Phase::BackingOff, Phase::Starting) {
            state.restarts = state.restarts.saturating_add(1);
        }
        state.phase = next;
        state.phase_line = phase_line(next);
        let line = Arc::clone(&state.phase_line);
        state.send(&line);
        true
    }

    /// Tells an event to every reader.
    pub(crate) fn publish(&self, event: &Event) {
        let mut state = self.lock();
        if let Event::AppExit { exit, .. } = event {
            state.last_exit = Some(exit.clone());
        }
        state.send(&clipped(event));
    }

    /// Remembers how right the clock is now.
    pub(crate) fn note_clock(&self, source: ClockSource, offset_ms: i64) {
        self.lock().clock = Some(ClockNote { source, offset_ms, uptime_ms: uptime_ms() });
    }

    /// Tells a line of the app to every reader that has room for it.
    pub(crate) fn log(&self, stream: LogStream, line: String) {
        let unix_ms = clock::now_ms();
        let line = queue::encode(&Event::Log { stream, unix_ms, line });
        self.lock().queues.retain(|queue| queue.log(&line));
    }

    /// Tells why the enclave ends and waits until a reader has heard it and all have closed, for at
    /// most `patience`. Only the first reason is told.
    pub(crate) fn stop(&self, reason: &str, patience: Duration) {
        self.advance(Input::End);
        let mut state = self.lock();
        if state.stopping.is_none() {
            let line = clipped(&Event::Stopping { reason: reason.to_owned() });
            state.send(&line);
            state.stopping = Some(line);
            state.hello.get_or_insert_with(|| hello(false));
        }
        // With the queues the readers' streams end.
        for queue in state.queues.drain(..) {
            queue.close();
        }
        self.changed.notify_all();
        let waiting = |state: &mut State| state.open > 0 || state.told == 0;
        // Whether the wait held or timed out, the enclave ends now.
        drop(self.changed.wait_timeout_while(state, patience, waiting));
    }

    /// Serves one reader until it is gone. Blocks.
    pub(crate) fn serve(&self, mut stream: TcpStream) {
        let queue = self.join();
        let heard = deliver(&mut stream, &queue).is_ok();
        // Nobody empties it any more.
        queue.close();
        let mut state = self.lock();
        state.open -= 1;
        if heard && state.stopping.is_some() {
            state.told += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// A queue that starts with hello and the phase.
    fn join(&self) -> Arc<Queue> {
        let mut state = self.lock();
        state.open += 1;
        let mut state = self
            .changed
            .wait_while(state, |state| state.hello.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let queue = Arc::new(Queue::default());
        let first = [state.hello.clone(), Some(Arc::clone(&state.phase_line)), state.stopping.clone()];
        for line in first.into_iter().flatten() {
            // The queue has room for more than these three.
            queue.event(&line);
        }
        if state.stopping.is_some() {
            queue.close();
            return queue;
        }
        // A reader that went away is only noticed at the next line: the oldest gives way.
        if state.queues.len() >= MAX_READERS {
            state.queues.remove(0).close();
        }
        state.queues.push(Arc::clone(&queue));
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Panics abort in the enclave; a poisoned lock is only ever seen in tests.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, line: &Line) {
        self.queues.retain(|queue| queue.event(line));
    }
}

/// Writes the queue out, ends the stream, and waits until the reader closes too.
fn deliver(stream: &mut TcpStream, queue: &Queue) -> std::io::Result<()> {
    // A reader that is paused with its machine comes back; who sends does not wait for it.
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    while let Some(line) = queue.next() {
        stream.write_all(&line)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let until = Instant::now() + PATIENCE;
    // The host has nothing to say; what it says is thrown away.
    while stream.read(&mut [0; 512])? > 0 && Instant::now() < until {}
    Ok(())
}

fn hello(debug: bool) -> Line {
    queue::encode(&Event::Hello { enclaveos: env!("CARGO_PKG_VERSION").to_owned(), debug })
}

fn phase_line(phase: Phase) -> Line {
    queue::encode(&Event::Phase { phase, uptime_ms: uptime_ms() })
}

/// One line of at most [`MAX_LINE`] bytes: texts are clipped so far that even a form in which every
/// byte is escaped fits.
fn clipped(event: &Event) -> Line {
    let clipped = match event {
        Event::Stopping { reason } => Some(Event::Stopping { reason: clip(reason).to_owned() }),
        Event::AppExit { exit: Exit::NotStarted { reason }, restarts } => Some(Event::AppExit {
            exit: Exit::NotStarted { reason: clip(reason).to_owned() },
            restarts: *restarts,
        }),
        _ => None,
    };
    queue::encode(clipped.as_ref().unwrap_or(event))
}

/// The beginning of `text`, at most [`MAX_TEXT`] bytes.
pub(crate) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// The longest text inside an event, in bytes; JSON needs at most six for one.
pub(crate) const MAX_TEXT: usize = 2048;
const _: () = assert!(MAX_TEXT * 6 + 256 <= MAX_LINE);

/// Readers at a time: the host, and someone who debugs it.
const MAX_READERS: usize = 8;
/// How long a reader may take to close after the last line.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take to accept one.
const WRITE_PATIENCE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    fn control() -> Arc<Control> {
        Arc::new(Control::new())
    }

    fn read(control: &Arc<Control>) -> BufReader<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        let control = Arc::clone(control);
        thread::spawn(move || control.serve(server));
        BufReader::new(client)
    }

    fn next_event(reader: &mut BufReader<TcpStream>) -> Option<Event> {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    fn next_phase(reader: &mut BufReader<TcpStream>) -> Phase {
        match next_event(reader) {
            Some(Event::Phase { phase, .. }) => phase,
            other => panic!("expected a phase, found {other:?}"),
        }
    }

    #[test]
    fn a_reader_hears_hello_the_phase_and_everything_after() {
        let control = control();
        let mut reader = read(&control);
        control.open(true);
        assert!(matches!(next_event(&mut reader), Some(Event::Hello { debug: true, .. })));
        assert_eq!(next_phase(&mut reader), Phase::Booting);
        assert!(control.advance(Input::Started));
        assert_eq!(next_phase(&mut reader), Phase::Starting);
        let exit = Event::AppExit { exit: Exit::Signal { signal: 11 }, restarts: 3 };
        control.publish(&exit);
        assert_eq!(next_event(&mut reader), Some(exit));
        assert!(!control.advance(Input::Started));
        let mut late = read(&control);
        assert!(matches!(next_event(&mut late), Some(Event::Hello { .. })));
        assert_eq!(next_phase(&mut late), Phase::Starting);
    }

    #[test]
    fn the_status_is_what_was_told() {
        let control = control();
        for input in [Input::Started, Input::Held, Input::Retry, Input::Started, Input::Retry] {
            assert!(control.advance(input));
        }
        let exit = Exit::Status { code: 3 };
        control.publish(&Event::AppExit { exit: exit.clone(), restarts: 0 });
        let expected = Status { phase: Phase::BackingOff, restarts: 1, last_exit: Some(exit), clock: None };
        assert_eq!(control.status(), expected);
    }

    #[test]
    fn stop_returns_once_every_reader_has_heard_the_reason_and_closed() {
        let control = control();
        control.open(false);
        let mut reader = read(&control);
        assert!(matches!(next_event(&mut reader), Some(Event::Hello { debug: false, .. })));
        let stopping = {
            let control = Arc::clone(&control);
            thread::spawn(move || control.stop("The end.", Duration::from_mins(10)))
        };
        assert_eq!(next_phase(&mut reader), Phase::Booting);
        assert_eq!(next_phase(&mut reader), Phase::Stopping);
        assert_eq!(next_event(&mut reader), Some(Event::Stopping { reason: "The end.".into() }));
        assert_eq!(next_event(&mut reader), None);
        drop(reader);
        stopping.join().unwrap();
    }

    #[test]
    fn who_comes_after_the_reason_still_hears_it_and_only_the_first() {
        let control = control();
        control.stop("First.", Duration::ZERO);
        control.stop("Second.", Duration::ZERO);
        let mut reader = read(&control);
        assert!(matches!(next_event(&mut reader), Some(Event::Hello { debug: false, .. })));
        assert_eq!(next_phase(&mut reader), Phase::Stopping);
        assert_eq!(next_event(&mut reader), Some(Event::Stopping { reason: "First.".into() }));
        assert_eq!(next_event(&mut reader), None);
    }

    #[test]
    fn a_reader_that_falls_behind_is_dropped_and_the_others_are_not() {
        let control = control();
        control.open(true);
        let slow = control.join();
        let mut fast = read(&control);
        assert!(matches!(next_event(&mut fast), Some(Event::Hello { .. })));
        assert_eq!(next_phase(&mut fast), Phase::Booting);
        for restarts in 0..300 {
            let event = Event::AppExit { exit: Exit::Status { code: 1 }, restarts };
            control.publish(&event);
            assert_eq!(next_event(&mut fast), Some(event));
        }
        // Hello and phase are two of the lines; then the queue was full and ended.
        assert_eq!(std::iter::from_fn(|| slow.next()).count(), queue::MAX_EVENTS);
    }

    #[test]
    fn lines_stay_within_the_limit() {
        let reason = "\u{1}".repeat(MAX_LINE);
        let longest = "\u{1}".repeat(MAX_TEXT);
        for event in [
            Event::Log { stream: LogStream::Stderr, unix_ms: u64::MAX, line: longest },
            Event::Stopping { reason: reason.clone() },
            Event::AppExit { exit: Exit::NotStarted { reason }, restarts: u32::MAX },
        ] {
            let line = clipped(&event);
            assert!(line.len() <= MAX_LINE);
            assert!(serde_json::from_slice::<Event>(&line).is_ok());
        }
        assert_eq!(clip(&"é".repeat(2000)).len(), MAX_TEXT);
    }
}
