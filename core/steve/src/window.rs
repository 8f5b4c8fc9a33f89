//! Which exchanges of a session have begun, and which hellos of a key were taken.

use crate::error::{ExchangeError, HandshakeError};
use std::collections::HashSet;

/// How far behind the newest exchange one may begin.
pub(crate) const WIDTH: u64 = 4096;
const WORDS: usize = (WIDTH / 64) as usize;
/// The most hellos one key takes.
pub(crate) const MAX_HELLOS: usize = 1 << 20;

/// A sliding window over exchange numbers, which begin with 1. 520 bytes.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    newest: u64,
    /// Bit `x % WIDTH` says whether `x` has begun, for `x` in `newest - WIDTH + 1 ..= newest`.
    begun: Box<[u64; WORDS]>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { newest: 0, begun: Box::new([0; WORDS]) }
    }

    /// Notes that `x` begins; refuses it a second time.
    pub(crate) fn begin(&mut self, x: u64) -> Result<(), ExchangeError> {
        // Number 0 is nobody's, and lies behind every window.
        if x == 0 || self.newest.checked_sub(x).is_some_and(|behind| behind >= WIDTH) {
            return Err(ExchangeError::TooOld(x));
        }
        if x > self.newest {
            if x - self.newest >= WIDTH {
                self.begun.fill(0);
            } else {
                (self.newest + 1..=x).for_each(|passed| self.clear(passed));
            }
            self.newest = x;
        }
        let (word, bit) = Self::place(x);
        if self.begun[word] & bit != 0 {
            return Err(ExchangeError::Replay(x));
        }
        self.begun[word] |= bit;
        Ok(())
    }

    fn clear(&mut self, x: u64) {
        let (word, bit) = Self::place(x);
        self.begun[word] &= !bit;
    }

    fn place(x: u64) -> (usize, u64) {
        let at = x % WIDTH;
        (usize::try_from(at / 64).expect("below WORDS"), 1 << (at % 64))
    }
}

/// The hellos a key has taken. Exact, since a key lives in one enclave's memory.
#[derive(Debug, Default)]
pub(crate) struct StrikeRegister(HashSet<[u8; 32]>);

impl StrikeRegister {
    /// Whether a hello with this digest of its encapsulated key may still be taken.
    pub(crate) fn check(&self, hello: &[u8; 32], most: usize) -> Result<(), HandshakeError> {
        if self.0.contains(hello) {
            return Err(HandshakeError::Replayed);
        }
        if self.0.len() >= most {
            return Err(HandshakeError::KeyExhausted(most));
        }
        Ok(())
    }

    /// Notes a hello that authenticates.
    pub(crate) fn take(&mut self, hello: [u8; 32]) {
        self.0.insert(hello);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_exchange_begins_once_and_not_after_4096_others() {
        let mut window = Window::new();
        assert_eq!(window.begin(0), Err(ExchangeError::TooOld(0)));
        assert_eq!(window.begin(1), Ok(()));
        assert_eq!(window.begin(1), Err(ExchangeError::Replay(1)));
        assert_eq!(window.begin(4097), Ok(()));
        assert_eq!(window.begin(1), Err(ExchangeError::TooOld(1)));
        assert_eq!(window.begin(2), Ok(()));
        assert_eq!(window.begin(2), Err(ExchangeError::Replay(2)));
        assert_eq!(window.begin(u64::MAX), Ok(()));
        assert_eq!(window.begin(u64::MAX), Err(ExchangeError::Replay(u64::MAX)));
        assert_eq!(window.begin(u64::MAX - WIDTH + 1), Ok(()));
        assert_eq!(window.begin(u64::MAX - WIDTH), Err(ExchangeError::TooOld(u64::MAX - WIDTH)));
    }

    proptest! {
        #[test]
        fn the_window_says_what_a_set_says(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..6000), 1..300),
        ) {
            let (mut window, mut begun, mut newest) = (Window::new(), HashSet::new(), 0_u64);
            for (forward, distance) in steps {
                let x = if forward { newest + distance } else { newest.saturating_sub(distance) };
                let expected = if x == 0 || x + WIDTH <= newest {
                    Err(ExchangeError::TooOld(x))
                } else if begun.insert(x) {
                    Ok(())
                } else {
                    Err(ExchangeError::Replay(x))
                };
                newest = newest.max(x);
                prop_assert_eq!(window.begin(x), expected);
            }
        }
    }
}
