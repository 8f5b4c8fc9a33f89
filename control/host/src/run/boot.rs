//! The life of an enclave as its host sees it, from power-on to the end.
//!
//! ```text
//! powered ──heartbeat──▶ heartbeat ──control──▶ booting ─▶ starting ─▶ ready ⇄ backing off ─▶ stopping ─▶ off
//!    └──────── limit ────────┴───────── limit ──────┘         the boot plan's own limits
//! ```

use crate::config::RunConfig;
use crate::driver::Machine;
use crate::error::HostError;
use crate::event::{Ending, HostEvent, Progress};
use crate::files::record::Record;
use crate::published::clients;
use crate::published::handover::{Answer, Asked, Command, Handed};
use crate::published::listeners::Listeners;
use crate::published::publish::Published;
use crate::run::control;
use crate::run::{self, Message, StopHandle};
use caution_abi::control::{Event, Exit, Phase};
use caution_abi::ports::ATTESTATION;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// How long the enclave may take from its heartbeat until attestd answers and the app was started.
const SYSTEM_LIMIT: Duration = Duration::from_mins(1);
/// How long an enclave that said its last word may take to power off.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(5);

/// How often clients are counted that an enclave still has after it was replaced.
const LOOK: Duration = Duration::from_millis(50);
/// How often the end of the machine's threads is looked for.
const DRAIN_TICK: Duration = Duration::from_millis(2);

/// A machine that was just powered on, and what its loop needs.
pub(crate) struct Boot<'a> {
    pub(crate) run: &'a Path,
    pub(crate) record: Record,
    pub(crate) config: &'a RunConfig,
    /// The ways in; more are handed over later to an enclave that boots beside another.
    pub(crate) published: Vec<Published>,
    pub(crate) machine: Box<dyn Machine>,
    pub(crate) messages: SyncSender<Message>,
    pub(crate) began: Instant,
    pub(crate) heartbeat_limit: Duration,
    pub(crate) stop: &'a StopHandle,
}

/// What is known so far.
struct State {
    progress: Progress,
    deadline: Option<Deadline>,
    admitted: bool,
    ready: bool,
    last_exit: Option<Exit>,
    /// The enclave's last word.
    reason: Option<String>,
}

/// What ended the loop.
enum End {
    Outcome(Result<Ending, HostError>),
    Machine,
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }
}

impl Boot<'_> {
    /// Watches until the end; the machine is gone when this returns.
    pub(crate) fn watch(
        mut self,
        received: &Receiver<Message>,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<Ending, HostError> {
        let mut state = State {
            progress: Progress::Powered,
            deadline: Some(Deadline::after(self.heartbeat_limit)),
            admitted: false,
            ready: false,
            last_exit: None,
            reason: None,
        };
        let end = loop {
            if self.stop.is_requested() {
                break End::Outcome(Ok(Ending::Stopped));
            }
            match next(received, state.deadline) {
                Ok(Message::MachineEnded) => break End::Machine,
                Ok(message) => {
                    if let Err(error) = self.take(message, &mut state, tell) {
                        break End::Outcome(Err(error));
                    }
                }
                Err(limit) => break End::Outcome(self.out_of_time(&mut state, limit)),
            }
        };
        self.power_off(received, tell);
        match end {
            End::Outcome(outcome) => outcome,
            End::Machine => powered_off(&mut state).ok_or_else(|| self.machine.why(state.progress)),
        }
    }

    /// Ends the machine, and passes on what the console said last, which is often the reason.
    fn power_off(&mut self, received: &Receiver<Message>, tell: &mut dyn FnMut(HostEvent)) {
        self.machine.kill();
        // Its threads may wait for room in the channel, so it is emptied while they are waited for.
        while !self.machine.is_finished() {
            if let Ok(Message::Console(line)) = received.recv_timeout(DRAIN_TICK) {
                tell(HostEvent::Console(line));
            }
        }
        for message in received.try_iter() {
            if let Message::Console(line) = message {
                tell(HostEvent::Console(line));
            }
        }
    }

    fn take(
        &mut self,
        message: Message,
        state: &mut State,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<(), HostError> {
        match message {
            Message::Heartbeat => {
                if state.progress == Progress::Powered {
                    state.progress = Progress::Heartbeat;
                    state.deadline = Some(Deadline::after(SYSTEM_LIMIT));
                    tell(HostEvent::Heartbeat);
                    control::start(self.machine.connector(), self.messages.clone())?;
                }
            }
            Message::Enclave(event) => {
                tell(HostEvent::Enclave(event.clone()));
                self.enclave(event, state, tell)?;
            }
            Message::ControlEnded => {
                // Without a last word the enclave died; how, the machine's end tells.
                state.deadline = Some(Deadline::after(POWER_OFF_LIMIT));
            }
            Message::ControlBroken(detail) => return Err(HostError::Control { detail }),
            Message::Egress(line) => tell(HostEvent::Egress(line)),
            Message::Refused(so_far) => tell(HostEvent::Refused { so_far }),
            Message::Console(line) => tell(HostEvent::Console(line)),
            Message::Handover(asked) => {
                // Whoever asked and went away does not want to know.
                let _ = self.hand_over(&asked, state, tell);
            }
            // The loop's own matters.
            Message::Stop | Message::MachineEnded => {}
        }
        Ok(())
    }

    fn enclave(
        &mut self,
        event: Event,
        state: &mut State,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<(), HostError> {
        match event {
            Event::Phase { phase, uptime_ms } => {
                state.progress = Progress::Phase(phase);
                self.record.phase = Some(phase);
                self.record.save(self.run)?;
                if matches!(phase, Phase::Starting | Phase::Ready) && !state.admitted {
                    // From here on the enclave keeps its own limits and reports them.
                    state.deadline = None;
                    state.admitted = true;
                    self.admit(tell)?;
                }
                if phase == Phase::Ready && !state.ready {
                    state.ready = true;
                    for published in &self.published {
                        published.ready()?;
                    }
                    let wall_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tell(HostEvent::Ready { uptime_ms, wall_ms });
                }
            }
            Event::AppExit { exit, .. } => state.last_exit = Some(exit),
            Event::Stopping { reason } => {
                state.reason = Some(reason);
                state.deadline = Some(Deadline::after(POWER_OFF_LIMIT));
            }
            Event::Hello { .. } | Event::Clock { .. } | Event::Log { .. } | Event::LogDropped { .. } => {}
        }
        Ok(())
    }

    fn admit(&self, tell: &mut dyn FnMut(HostEvent)) -> Result<(), HostError> {
        for published in &self.published {
            published.admit()?;
        }
        if self.record.serving {
            self.tell_ports(tell);
        }
        Ok(())
    }

    fn tell_ports(&self, tell: &mut dyn FnMut(HostEvent)) {
        for &(enclave, host) in &self.record.ports {
            tell(HostEvent::Published { enclave, host });
        }
        tell(HostEvent::Published { enclave: ATTESTATION, host: self.record.attestation_port });
    }

    /// Answers a question of the agent that replaces one enclave by another.
    fn hand_over(&mut self, asked: &Asked, state: &State, tell: &mut dyn FnMut(HostEvent)) -> io::Result<()> {
        let (command, handed) = asked.read()?;
        let error = match command {
            Command::Give {} => {
                let mut sockets = Vec::new();
                for published in &self.published {
                    sockets.extend(published.duplicates()?);
                }
                let ports = sockets.iter().map(|(port, _)| *port).collect();
                return asked.answer(&Answer { ports, ..Answer::default() }, &sockets);
            }
            Command::Drain { limit_ms } => return self.drain(asked.try_clone()?, limit_ms),
            Command::Serve { .. } if !state.ready || self.record.serving => {
                Some("the enclave is not ready, or has its ports already".to_owned())
            }
            Command::Serve { .. } => self.take_over(handed, tell).err().map(|error| error.with_causes()),
        };
        asked.answer(&Answer { error, ..Answer::default() }, &[])
    }

    /// Accepts no more; answers when nobody is connected any more, or the time is over.
    fn drain(&mut self, asked: Asked, limit_ms: u64) -> io::Result<()> {
        let mut ports: Vec<u16> = self.record.ports.iter().map(|(_, host)| *host).collect();
        ports.push(self.record.attestation_port);
        self.published.clear();
        let run = self.run.to_owned();
        let wait = move || {
            let until = Instant::now() + Duration::from_millis(limit_ms);
            let mut left = clients::connected(&ports, &run);
            while left > 0 && Instant::now() < until {
                crate::process::pause(LOOK);
                left = clients::connected(&ports, &run);
            }
            let _ = asked.answer(&Answer { left, ..Answer::default() }, &[]);
        };
        std::thread::Builder::new().name("drain".to_owned()).spawn(wait).map(drop)
    }

    /// Serves the ports of the enclave that this one replaces.
    fn take_over(&mut self, handed: Vec<Handed>, tell: &mut dyn FnMut(HostEvent)) -> Result<(), HostError> {
        let listeners = Listeners::adopt(self.config, handed)?;
        let (ports, attestation) = (listeners.ports().to_vec(), listeners.attestation());
        let published = listeners.serve(self.machine.connector())?;
        published.admit()?;
        self.record.app_url = run::app_url(&ports);
        self.record.attestation_url = run::attestation_url(attestation);
        (self.record.ports, self.record.attestation_port, self.record.serving) = (ports, attestation, true);
        self.record.save(self.run)?;
        self.published.push(published);
        self.tell_ports(tell);
        Ok(())
    }

    fn out_of_time(&self, state: &mut State, limit: Duration) -> Result<Ending, HostError> {
        if let Some(ending) = powered_off(state) {
            return Ok(ending);
        }
        let (seconds, progress, debug) = (limit.as_secs(), state.progress, self.config.debug);
        if state.admitted {
            // The control connection ended and the machine runs on, with nobody to speak for it.
            return Err(HostError::GuestSilent { progress, debug });
        }
        Err(HostError::BootTimeout { seconds, progress, debug })
    }
}

fn powered_off(state: &mut State) -> Option<Ending> {
    let reason = state.reason.take()?;
    Some(Ending::PoweredOff { reason, last_exit: state.last_exit.take() })
}

/// The next message, or the limit that passed.
fn next(received: &Receiver<Message>, deadline: Option<Deadline>) -> Result<Message, Duration> {
    let Some(deadline) = deadline else {
        return received.recv().map_err(|_| Duration::ZERO);
    };
    let left = deadline.at.saturating_duration_since(Instant::now());
    received.recv_timeout(left).map_err(|error| match error {
        RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected => deadline.limit,
    })
}
