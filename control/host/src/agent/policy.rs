//! When an enclave that ended is started again: a table, and a pause that doubles.

use crate::event::Ending;
use caution_abi::boot_plan::{Restart, RestartPolicy};
use caution_abi::control::Exit;
use std::time::Duration;

/// An enclave that was ready for this long ends the row of restarts. Longer than EnclaveOS takes to give an
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
}

/// What the agent does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Starts it again after this pause.
    Again(Duration),
    /// The policy says that this was the end.
    Final,
    /// It was started again as often in a row as the boot plan allows.
    GivenUp,
}

/// Applies the boot plan's policy after `in_a_row` restarts.
pub(super) fn next(rules: &Restart, in_a_row: u32, end: End) -> Next {
    let again = match (rules.policy, end) {
        (RestartPolicy::Never, _) | (RestartPolicy::OnFailure, End::Finished) => false,
        (RestartPolicy::OnFailure | RestartPolicy::Always, _) => true,
    };
    if !again {
        return Next::Final;
    }
    if in_a_row >= rules.max_restarts {
        return Next::GivenUp;
    }
    let doubled = u64::from(rules.backoff_ms).saturating_mul(1 << in_a_row.min(32));
    Next::Again(Duration::from_millis(doubled.min(rules.backoff_max_ms.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(policy: RestartPolicy) -> Restart {
        Restart { policy, max_restarts: 5, backoff_ms: 100, backoff_max_ms: 1000 }
    }

    /// The table of specs/host-agent.md.
    #[test]
    fn the_policy_decides_which_ends_are_final() {
        use RestartPolicy::{Always, Never, OnFailure};
        let again = |policy, end| matches!(next(&rules(policy), 0, end), Next::Again(_));
        let ends = [End::Finished, End::GaveUp, End::Died];
        assert_eq!(ends.map(|end| again(Never, end)), [false, false, false]);
        assert_eq!(ends.map(|end| again(OnFailure, end)), [false, true, true]);
        assert_eq!(ends.map(|end| again(Always, end)), [true, true, true]);
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_restarts_end() {
        let pauses: Vec<Next> =
            (0..6).map(|row| next(&rules(RestartPolicy::Always), row, End::Died)).collect();
        let again = |ms| Next::Again(Duration::from_millis(ms));
        assert_eq!(pauses, [again(100), again(200), again(400), again(800), again(1000), Next::GivenUp]);
        let extreme =
            Restart { max_restarts: u32::MAX, backoff_ms: u32::MAX, ..rules(RestartPolicy::Always) };
        assert_eq!(next(&extreme, 90, End::Died), again(1000));
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
