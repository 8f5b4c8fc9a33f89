//! How far a job is: kind × phase × event → next phase. `specs/platform.md` §5.
//!
//! A phase is written down before its work begins, so that whoever finds the job after a crash knows what to do again.

use std::fmt;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From a commit to a release.
    Build,
    /// A release in the place of what runs.
    Deploy,
    /// Nothing in the place of what runs.
    Stop,
    /// Nothing of the app is left.
    Destroy,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its turn.
    Queued,
    /// A commit becomes an image.
    Building,
    /// An image becomes a release.
    Storing,
    /// A release boots beside what runs.
    Starting,
    /// The app's traffic goes to this deployment.
    Live,
    /// What runs is being ended.
    Stopping,
    /// A build or a stop is finished.
    Done,
    /// Another deployment took its place.
    Replaced,
    /// Its app was stopped.
    Stopped,
    /// It came to nothing; the reason is beside it.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A worker begins.
    Taken,
    /// The image is there.
    Built,
    /// The release is written down.
    Stored,
    /// The new enclave serves and attests what was built.
    Serves,
    /// Another deployment serves.
    Superseded,
    /// The app was stopped.
    Ended,
    /// Nothing runs any more.
    Gone,
    /// It cannot be done.
    Failed,
    /// Somebody calls it off.
    Cancelled,
}

impl Phase {
    /// The phase after an event; `None` where the event cannot happen.
    #[expect(clippy::match_same_arms, reason = "a table: one line for each way of one kind of job")]
    pub fn next(self, kind: Kind, event: Event) -> Option<Self> {
        use Event as E;
        use Kind as K;
        Some(match (kind, self, event) {
            (K::Build, Self::Queued, E::Taken) => Self::Building,
            (K::Build, Self::Building, E::Built) => Self::Storing,
            (K::Build, Self::Storing, E::Stored) => Self::Done,
            (K::Build, Self::Building | Self::Storing, E::Failed) => Self::Failed,
            (K::Build, Self::Queued | Self::Building | Self::Storing, E::Cancelled) => Self::Cancelled,

            (K::Deploy, Self::Queued, E::Taken) => Self::Starting,
            (K::Deploy, Self::Starting, E::Serves) => Self::Live,
            (K::Deploy, Self::Starting, E::Failed) => Self::Failed,
            (K::Deploy, Self::Live, E::Superseded) => Self::Replaced,
            (K::Deploy, Self::Live, E::Ended) => Self::Stopped,
            // Once it starts the provider decides whether it serves: calling it off then would leave that open.
            (K::Deploy, Self::Queued, E::Cancelled) => Self::Cancelled,

            (K::Stop | K::Destroy, Self::Queued, E::Taken) => Self::Stopping,
            (K::Stop | K::Destroy, Self::Stopping, E::Gone) => Self::Done,
            (K::Stop | K::Destroy, Self::Stopping, E::Failed) => Self::Failed,
            (K::Stop, Self::Queued, E::Cancelled) => Self::Cancelled,
            _ => return None,
        })
    }

    /// Whether a worker has something to do here, now or in its turn.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Building | Self::Storing | Self::Starting | Self::Stopping)
    }

    /// Its name in the database and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Storing => "storing",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Stopping => "stopping",
            Self::Done => "done",
            Self::Replaced => "replaced",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The phase of this name.
    pub fn of(word: &str) -> Option<Self> {
        PHASES.into_iter().find(|phase| phase.word() == word)
    }
}

impl Kind {
    /// Its name in the database and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Stop => "stop",
            Self::Destroy => "destroy",
        }
    }

    /// Whether one that runs may be called off.
    pub const fn can_be_called_off(self) -> bool {
        matches!(self, Self::Build)
    }

    /// The kind of this name.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Build, Self::Deploy, Self::Stop, Self::Destroy].into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

const PHASES: [Phase; 11] = [
    Phase::Queued,
    Phase::Building,
    Phase::Storing,
    Phase::Starting,
    Phase::Live,
    Phase::Stopping,
    Phase::Done,
    Phase::Replaced,
    Phase::Stopped,
    Phase::Failed,
    Phase::Cancelled,
];

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 9] = [
        Event::Taken,
        Event::Built,
        Event::Stored,
        Event::Serves,
        Event::Superseded,
        Event::Ended,
        Event::Gone,
        Event::Failed,
        Event::Cancelled,
    ];
    const KINDS: [Kind; 4] = [Kind::Build, Kind::Deploy, Kind::Stop, Kind::Destroy];

    #[test]
    fn every_job_that_is_taken_can_fail_and_none_comes_back() {
        for kind in KINDS {
            let mut reached = vec![Phase::Queued];
            let mut at = 0;
            while let Some(phase) = reached.get(at).copied() {
                at += 1;
                let next: Vec<Phase> = EVENTS.into_iter().filter_map(|e| phase.next(kind, e)).collect();
                let ends = !phase.is_open() && phase != Phase::Live;
                assert_eq!(next.is_empty(), ends, "{kind:?} {phase}");
                if phase.is_open() && phase != Phase::Queued {
                    assert_eq!(phase.next(kind, Event::Failed), Some(Phase::Failed), "{kind:?} {phase}");
                }
                for phase in next {
                    assert_ne!(phase, Phase::Queued);
                    if !reached.contains(&phase) {
                        reached.push(phase);
                    }
                }
            }
            assert_eq!(reached.contains(&Phase::Live), kind == Kind::Deploy);
        }
    }

    #[test]
    fn words_name_one_phase_and_one_kind() {
        for phase in PHASES {
            assert_eq!(Phase::of(phase.word()), Some(phase));
        }
        for kind in KINDS {
            assert_eq!(Kind::of(kind.word()), Some(kind));
        }
        assert_eq!((Phase::of("gone"), Kind::of("")), (None, None));
    }
}
