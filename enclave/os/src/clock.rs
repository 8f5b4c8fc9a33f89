//! The enclave's clock: set once at boot, kept right afterwards, never turned back.
//!
//! Its source is the hypervisor's clock where the machine offers it, else the time in the security
//! module's documents. `specs/boot.md` §9 says what that is worth.

use crate::control::Control;
use crate::serve;
use caution_abi::control::{ClockAction, ClockSource, Event};
use caution_enclave_sys::clock::{self, Ptp};
use caution_enclave_sys::nsm::Nsm;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the clock by its sources.
pub(crate) struct Keeper {
    ptp: Option<Ptp>,
    nsm: Arc<dyn Nsm>,
    control: Arc<Control>,
    /// Whether a clock that is ahead has been told, and still is.
    refused: bool,
}

/// How far the clock is behind a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    source: ClockSource,
    /// Source minus clock.
    offset_ms: i64,
    /// How much of it may be the time that asking took.
    uncertainty_ms: i64,
}

/// What a sample asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    /// Set the clock by so many milliseconds at once.
    Step(i64),
    /// Let it run faster or slower until it has gained so many.
    Slew(i64),
    /// The same backwards, where a step would be due.
    Refuse(i64),
}

impl Keeper {
    /// A keeper that has not looked yet.
    pub(crate) fn new(nsm: Arc<dyn Nsm>, control: Arc<Control>) -> Self {
        Self { ptp: Ptp::open().ok(), nsm, control, refused: false }
    }

    /// Sets the clock, in whichever direction: nothing has relied on it yet. Without an answer of any
    /// source it stays as the kernel found it, and health says that nobody has looked.
    pub(crate) fn set(&mut self) {
        let Some(sample) = self.sample() else { return };
        let step = sample.initial_step();
        if step.is_some_and(|by_ms| step_by(by_ms).is_ok()) {
            self.tell(sample, ClockAction::Set);
            self.note_again(sample);
        } else {
            self.note(sample);
        }
    }

    /// Looks again and again, on a thread of its own.
    pub(crate) fn start(mut self) -> io::Result<()> {
        let keep = move || {
            let mut pause = SOON;
            loop {
                #[expect(clippy::disallowed_methods, reason = "the pause between two looks at the clock")]
                std::thread::sleep(pause);
                pause = self.look();
            }
        };
        serve::spawn("clock", keep).map(drop)
    }

    /// Looks once, and says how long to wait before the next time.
    fn look(&mut self) -> Duration {
        // A source that fails or is slow now may do better next time; health says how long ago one did.
        let Some(sample) = self.sample() else { return INTERVAL };
        let correction = sample.correction();
        // Without the right to set it, which PID 1 has, the clock would only go on as it does.
        let corrected = match correction {
            Correction::Step(by_ms) => step_by(by_ms),
            Correction::Slew(by_ms) | Correction::Refuse(by_ms) => clock::slew(by_ms),
        };
        match correction {
            Correction::Step(_) if corrected.is_ok() => {
                self.tell(sample, ClockAction::Stepped);
                self.note_again(sample);
                return SOON;
            }
            Correction::Refuse(_) if !self.refused => self.tell(sample, ClockAction::Refused),
            _ => {}
        }
        self.refused = matches!(correction, Correction::Refuse(_));
        self.note(sample);
        if sample.offset_ms > MAX_DRIFT_MS + sample.uncertainty_ms { SOON } else { INTERVAL }
    }

    fn tell(&self, sample: Sample, action: ClockAction) {
        let Sample { source, offset_ms, .. } = sample;
        self.control.publish(&Event::Clock { source, offset_ms, action });
    }

    fn note(&self, sample: Sample) {
        self.control.note_clock(sample.source, sample.offset_ms);
    }

    /// After a step `before` is no longer true.
    fn note_again(&self, before: Sample) {
        self.note(self.sample().unwrap_or(Sample { offset_ms: 0, ..before }));
    }

    /// The first source that answers in time.
    fn sample(&self) -> Option<Sample> {
        let ptp = || self.ptp.as_ref()?.now().ok();
        let nsm = || self.nsm.time_ms().ok().map(Duration::from_millis);
        measure(ClockSource::Ptp, ptp).or_else(|| measure(ClockSource::SecurityModule, nsm))
    }
}

/// Asks one source between two looks at the clock.
fn measure(source: ClockSource, ask: impl FnOnce() -> Option<Duration>) -> Option<Sample> {
    let before = clock::now();
    let there = ask()?;
    Sample::between(source, before, there, clock::now())
}

impl Sample {
    /// The clock stood at `before` and `after` when the source was asked and had answered.
    fn between(source: ClockSource, before: Duration, there: Duration, after: Duration) -> Option<Self> {
        let took = after.checked_sub(before)?;
        let uncertainty_ms = millis(took / 2);
        // The machine stood still in between, or the source is overloaded: this says nothing.
        (uncertainty_ms <= MAX_UNCERTAINTY_MS).then(|| {
            let offset_ms = millis(there).saturating_sub(millis(before + took / 2));
            Self { source, offset_ms, uncertainty_ms }
        })
    }

    /// By how much to set the clock at boot, if at all.
    fn initial_step(self) -> Option<i64> {
        (self.offset_ms.saturating_abs() > self.tolerance()).then_some(self.offset_ms)
    }

    /// What to do later.
    fn correction(self) -> Correction {
        let limit = MAX_SLEW_MS + self.uncertainty_ms;
        match self.offset_ms {
            by_ms if by_ms > limit => Correction::Step(by_ms),
            by_ms if by_ms < -limit => Correction::Refuse(by_ms),
            by_ms if by_ms.abs() > self.tolerance() => Correction::Slew(by_ms),
            // Ends what an earlier look asked for.
            _ => Correction::Slew(0),
        }
    }

    fn tolerance(self) -> i64 {
        self.uncertainty_ms.max(TOLERANCE_MS)
    }
}

fn step_by(by_ms: i64) -> io::Result<()> {
    let distance = Duration::from_millis(by_ms.unsigned_abs());
    let now = clock::now();
    clock::set(if by_ms < 0 { now.saturating_sub(distance) } else { now.saturating_add(distance) })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Between two looks. A crystal that is off by 50 ppm loses 1.5 ms in this time.
const INTERVAL: Duration = Duration::from_secs(30);
/// Where it fell behind by more than any crystal, or stood still: it is about to do so again. So it is
/// under software emulation on a busy machine, where the kernel counts ticks and misses some.
const SOON: Duration = Duration::from_secs(5);
/// What a crystal may lose between two looks, generously.
const MAX_DRIFT_MS: i64 = 30;
/// A clock that is off by no more is right: documents give whole milliseconds.
const TOLERANCE_MS: i64 = 5;
/// Beyond this the clock did not drift: the machine stood still, or somebody set a clock. Slewing
/// takes 1000 s for it.
const MAX_SLEW_MS: i64 = 500;
/// An answer that may be further off than this is none.
const MAX_UNCERTAINTY_MS: i64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset_ms: i64, uncertainty_ms: i64) -> Sample {
        Sample { source: ClockSource::Ptp, offset_ms, uncertainty_ms }
    }

    #[test]
    fn the_offset_counts_from_the_middle_of_the_question() {
        let at = Duration::from_millis;
        let between = |before, there, after| {
            Sample::between(ClockSource::SecurityModule, at(before), at(there), at(after))
                .map(|sample| (sample.offset_ms, sample.uncertainty_ms))
        };
        assert_eq!(between(1000, 5000, 1040), Some((3980, 20)));
        assert_eq!(between(9000, 5000, 9000), Some((-4000, 0)));
        assert_eq!(between(1000, 5000, 2002), None, "too slow to say anything");
        assert_eq!(between(1000, 5000, 999), None, "the clock was set meanwhile");
        assert_eq!(between(0, u64::MAX, 0), Some((i64::MAX, 0)));
    }

    #[test]
    fn at_boot_the_clock_is_set_in_either_direction() {
        for (offset, uncertainty, step) in [
            (0, 0, None),
            (5, 0, None),
            (-5, 0, None),
            (90, 100, None),
            (6, 0, Some(6)),
            (-70_000, 9, Some(-70_000)),
        ] {
            assert_eq!(sample(offset, uncertainty).initial_step(), step, "{offset}");
        }
    }

    #[test]
    fn later_it_is_slewed_stepped_forwards_and_never_back() {
        for (offset, uncertainty, correction) in [
            (3, 0, Correction::Slew(0)),
            (-90, 100, Correction::Slew(0)),
            (300, 20, Correction::Slew(300)),
            (-500, 0, Correction::Slew(-500)),
            (520, 20, Correction::Slew(520)),
            (521, 20, Correction::Step(521)),
            (i64::MAX, 0, Correction::Step(i64::MAX)),
            (-501, 0, Correction::Refuse(-501)),
            (i64::MIN + 1, 500, Correction::Refuse(i64::MIN + 1)),
        ] {
            assert_eq!(sample(offset, uncertainty).correction(), correction, "{offset}");
        }
    }
}
