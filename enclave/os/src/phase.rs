//! The enclave's phases, as a table.

use caution_abi::control::Phase;

/// What moves the enclave from one phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The app's process runs.
    Started,
    /// The boot plan's readiness condition held.
    Held,
    /// The app ended and will be started again.
    Retry,
    /// The enclave ends.
    End,
}

/// phase × input → next phase. What is not here cannot happen.
const TABLE: [(Phase, Input, Phase); 9] = [
    (Phase::Booting, Input::Started, Phase::Starting),
    (Phase::Booting, Input::End, Phase::Stopping),
    (Phase::Starting, Input::Held, Phase::Ready),
    (Phase::Starting, Input::Retry, Phase::BackingOff),
    (Phase::Starting, Input::End, Phase::Stopping),
    (Phase::Ready, Input::Retry, Phase::BackingOff),
    (Phase::Ready, Input::End, Phase::Stopping),
    (Phase::BackingOff, Input::Started, Phase::Starting),
    (Phase::BackingOff, Input::End, Phase::Stopping),
];

/// The phase after `input`, or none where the table has no such line.
pub(crate) fn next(phase: Phase, input: Input) -> Option<Phase> {
    TABLE.iter().find(|(from, by, _)| (*from, *by) == (phase, input)).map(|(_, _, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 5] =
        [Phase::Booting, Phase::Starting, Phase::Ready, Phase::BackingOff, Phase::Stopping];

    #[test]
    fn a_run_with_one_crash() {
        let inputs = [Input::Started, Input::Held, Input::Retry, Input::Started, Input::Held, Input::End];
        let last = inputs.into_iter().try_fold(Phase::Booting, next);
        assert_eq!(last, Some(Phase::Stopping));
    }

    #[test]
    fn every_phase_can_end_and_the_end_is_final() {
        for phase in PHASES {
            let end = (phase != Phase::Stopping).then_some(Phase::Stopping);
            assert_eq!(next(phase, Input::End), end);
        }
        for input in [Input::Started, Input::Held, Input::Retry] {
            assert_eq!(next(Phase::Stopping, input), None);
        }
    }

    #[test]
    fn only_a_started_app_becomes_ready() {
        let ready: Vec<_> = PHASES.into_iter().filter(|p| next(*p, Input::Held).is_some()).collect();
        assert_eq!(ready, [Phase::Starting]);
    }

    #[test]
    fn no_line_stands_twice() {
        for (i, (from, by, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|(f, b, _)| (f, b) != (from, by)));
        }
    }
}
