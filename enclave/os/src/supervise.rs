//! Supervising the app: readiness, restarts, and the reason for the end.

use crate::app::App;
use crate::chain;
use crate::control::Control;
use crate::logs::{Relays, Sink};
use crate::phase::Input;
use caution_abi::boot_plan::{AfterEnding, Readiness, Restart, RestartPolicy};
use caution_abi::control::{Event, Exit};
use caution_enclave_sys::children::{ChildId, Children};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is supervised.
pub(crate) struct Supervisor {
    /// Ends of processes.
    pub(crate) children: Children,
    /// The app.
    pub(crate) app: App,
    /// What encrypts in front of it.
    pub(crate) steved: Option<ChildId>,
    /// When it counts as ready.
    pub(crate) readiness: Readiness,
    /// When it is started again.
    pub(crate) restart: Restart,
    /// Whether its output leaves the enclave.
    pub(crate) logs: bool,
    /// Who is told.
    pub(crate) control: Arc<Control>,
}

/// Why the enclave ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EndReason {
    /// The policy does not start it again.
    #[error("The app {exit} and its restart policy is `{policy}`.")]
    Final {
        /// How it ended.
        exit: Exit,
        /// The boot plan's policy.
        policy: RestartPolicy,
    },
    /// It has been started again often enough.
    #[error("The app {exit} after {restarts} restarts in a row, which is the boot plan's limit.")]
    TooOften {
        /// How it ended.
        exit: Exit,
        /// How often.
        restarts: u32,
    },
    /// It did not start. Its root never changes by itself, so trying again would not help.
    #[error("The app {0}.")]
    NotStarted(Exit),
    /// It did not become ready.
    #[error(
        "The app was not ready after {timeout_s} s: nothing accepts connections on TCP port {port} of 127.0.0.1."
    )]
    NotReady {
        /// The port.
        port: u16,
        /// Seconds.
        timeout_s: u32,
    },
    /// What encrypts in front of it ended, and with it every session.
    #[error("End-to-end encryption {0}, which it never does by itself.")]
    Steved(Exit),
    /// A system call of the supervisor failed.
    #[error("The app could not be supervised: {0}.")]
    Io(#[from] io::Error),
}

impl Supervisor {
    /// Runs the app until the enclave has to end, and says why.
    pub(crate) fn run(&self) -> EndReason {
        let mut row = Row::new(self.restart.clone());
        loop {
            match self.run_once(&mut row).and_then(|pause| self.pause(pause)) {
                Ok(()) => {}
                Err(reason) => return reason,
            }
        }
    }

    /// One run of the app: the pause before the next, or the end.
    fn run_once(&self, row: &mut Row) -> Result<Duration, EndReason> {
        let started = Instant::now();
        let (sink, relays) = self.sink()?;
        let app = self.app.start(&sink);
        drop(sink);
        let app = match app {
            Ok(app) => app,
            Err(e) => {
                relays.finish();
                let exit = Exit::NotStarted { reason: chain(&e).join(": ") };
                self.control.publish(&Event::AppExit { exit: exit.clone(), restarts: row.restarts });
                return Err(EndReason::NotStarted(exit));
            }
        };
        self.control.advance(Input::Started);
        let ended = self.watch(app.id, started);
        if ended.is_err() {
            self.children.end(app.id)?;
        }
        // Whatever the app has left behind ended with it, so its last lines can be told.
        relays.finish();
        let Ended { exit, was_ready } = ended?;
        let exit = app.exit(exit);
        row.settle(was_ready, started.elapsed());
        self.control.publish(&Event::AppExit { exit: exit.clone(), restarts: row.restarts });
        row.next(exit)
    }

    fn sink(&self) -> io::Result<(Sink, Relays)> {
        if self.logs {
            let (uid, gid) = self.app.owner();
            Sink::relayed(&self.control, uid, gid)
        } else {
            Ok((Sink::null()?, Relays::default()))
        }
    }

    /// Waits for the app's end; before it is ready, also for that.
    fn watch(&self, app: ChildId, started: Instant) -> Result<Ended, EndReason> {
        let mut was_ready = false;
        loop {
            let probing = match self.readiness {
                _ if was_ready => None,
                Readiness::Started => {
                    was_ready = self.control.advance(Input::Held);
                    None
                }
                Readiness::Tcp { port, timeout_s } => Some((port.get(), timeout_s)),
            };
            let ended = self.ended(probing.map(|_| PROBE_PAUSE))?;
            if let Some((_, exit)) = ended.into_iter().find(|(child, _)| *child == app) {
                return Ok(Ended { exit, was_ready });
            }
            if let Some((port, timeout_s)) = probing {
                if accepts(port) {
                    was_ready = self.control.advance(Input::Held);
                } else if started.elapsed() >= Duration::from_secs(timeout_s.into()) {
                    return Err(EndReason::NotReady { port, timeout_s });
                }
            }
        }
    }

    fn pause(&self, pause: Duration) -> Result<(), EndReason> {
        self.control.advance(Input::Retry);
        let until = Instant::now() + pause;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.ended(Some(left))?;
        }
        Ok(())
    }

    /// What ended within this time; the encryption in front of the app is not to.
    fn ended(&self, timeout: Option<Duration>) -> Result<Vec<(ChildId, Exit)>, EndReason> {
        let ended = self.children.wait(timeout)?;
        let steved = ended.iter().find(|(child, _)| Some(*child) == self.steved);
        steved.map_or(Ok(()), |(_, exit)| Err(EndReason::Steved(exit.clone())))?;
        Ok(ended)
    }
}

struct Ended {
    exit: Exit,
    was_ready: bool,
}

/// Restarts in a row.
struct Row {
    rules: Restart,
    restarts: u32,
}

impl Row {
    fn new(rules: Restart) -> Self {
        Self { rules, restarts: 0 }
    }

    /// A run that was ready and lasted ends the row: the next failure is a new one.
    fn settle(&mut self, was_ready: bool, lasted: Duration) {
        if was_ready && lasted >= SETTLED {
            self.restarts = 0;
        }
    }

    /// The pause before the next start, or the end.
    fn next(&mut self, exit: Exit) -> Result<Duration, EndReason> {
        match self.rules.after(exit == Exit::Status { code: 0 }, self.restarts) {
            AfterEnding::Again(pause) => {
                self.restarts += 1;
                Ok(pause)
            }
            AfterEnding::Final => Err(EndReason::Final { exit, policy: self.rules.policy }),
            AfterEnding::GivenUp => Err(EndReason::TooOften { exit, restarts: self.restarts }),
        }
    }
}

/// Whether something accepts TCP connections on this port. The app sees a connection that is closed
/// at once.
fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PROBE_TIMEOUT).is_ok()
}

/// The kernel has no event for "somebody listens now", so readiness is asked for.
const PROBE_PAUSE: Duration = Duration::from_millis(20);
/// Loopback answers at once unless the app's queue is full.
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);
/// A run of this length that was ready is no part of a crash loop.
const SETTLED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: RestartPolicy, max_restarts: u32) -> Row {
        Row::new(Restart { policy, max_restarts, backoff_ms: 100, backoff_max_ms: 1000 })
    }

    const OK: Exit = Exit::Status { code: 0 };
    const FAILED: Exit = Exit::Status { code: 3 };
    const KILLED: Exit = Exit::Signal { signal: 9 };

    #[test]
    fn the_app_is_started_again_until_its_policy_or_their_number_says_no() {
        let reason = row(RestartPolicy::OnFailure, 1).next(OK).unwrap_err().to_string();
        assert_eq!(reason, "The app exited with status 0 and its restart policy is `on_failure`.");
        let mut row = row(RestartPolicy::OnFailure, 2);
        let pauses = [FAILED, KILLED].map(|exit| row.next(exit).unwrap().as_millis());
        assert_eq!(pauses, [100, 200]);
        let reason = row.next(KILLED).unwrap_err().to_string();
        let limit =
            "The app was ended by signal 9 after 2 restarts in a row, which is the boot plan's limit.";
        assert_eq!(reason, limit);
    }

    #[test]
    fn only_a_ready_and_lasting_run_ends_the_row() {
        let mut row = row(RestartPolicy::Always, 5);
        row.restarts = 3;
        row.settle(true, SETTLED / 2);
        row.settle(false, SETTLED * 2);
        assert_eq!(row.restarts, 3);
        row.settle(true, SETTLED);
        assert_eq!(row.restarts, 0);
    }

    #[test]
    fn readiness_is_whether_someone_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(accepts(port));
        drop(listener);
        assert!(!accepts(port));
    }
}
