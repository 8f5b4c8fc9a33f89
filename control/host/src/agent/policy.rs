//! How an enclave ended, as its boot plan's restart policy asks.

use crate::event::Ending;
use caution_abi::control::Exit;
use std::time::Duration;

/// An enclave that lived for this long ends the row of restarts. Longer than EnclaveOS takes to give an
/// app up that crashes at once, so that such an app is given up here, too.
pub(super) const STABLE: Duration = Duration::from_mins(10);

/// How an enclave ended that nobody asked the agent to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It powered off in order, and its app had ended with status 0.
    Finished,
    /// It powered off in order, for any other reason.
    GaveUp,
    /// It failed, was killed, or vanished.
    Died,
}

impl End {
    /// How a run ended, as its supervisor said; nothing where that was killed.
    pub(super) fn of(ending: Option<&Ending>) -> Self {
        match ending {
            Some(Ending::PoweredOff { last_exit: Some(Exit::Status { code: 0 }), .. }) => Self::Finished,
            Some(Ending::PoweredOff { .. }) => Self::GaveUp,
            Some(Ending::Stopped) | None => Self::Died,
        }
    }

    /// What the boot plan's policy takes it for.
    pub(super) fn succeeded(self) -> bool {
        self == Self::Finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::boot_plan::{AfterEnding, Restart, RestartPolicy};

    /// The table of specs/host-agent.md.
    #[test]
    fn the_policy_decides_which_ends_are_final() {
        use RestartPolicy::{Always, Never, OnFailure};
        let again = |policy, end: End| {
            let rules = Restart { policy, max_restarts: 5, backoff_ms: 100, backoff_max_ms: 1000 };
            rules.after(end.succeeded(), 0) != AfterEnding::Final
        };
        let ends = [End::Finished, End::GaveUp, End::Died];
        assert_eq!(ends.map(|end| again(Never, end)), [false, false, false]);
        assert_eq!(ends.map(|end| again(OnFailure, end)), [false, true, true]);
        assert_eq!(ends.map(|end| again(Always, end)), [true, true, true]);
    }

    #[test]
    fn an_ending_says_which_row_of_the_table_it_is() {
        let off = |last_exit| Ending::PoweredOff { reason: "r".to_owned(), last_exit };
        for (ending, end) in [
            (Some(off(Some(Exit::Status { code: 0 }))), End::Finished),
            (Some(off(Some(Exit::Status { code: 3 }))), End::GaveUp),
            (Some(off(None)), End::GaveUp),
            (Some(Ending::Stopped), End::Died),
            (None, End::Died),
        ] {
            assert_eq!(End::of(ending.as_ref()), end, "{ending:?}");
        }
    }
}
