//! Sessions: who is there, and until when.

use crate::Limits;
use crate::turns::{Turn, Turns};
use caution_steve::{ServerSession, SessionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Every session of this enclave.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Arc<Entry>>>);

/// A session with what limits it.
pub(crate) struct Entry {
    state: Mutex<State>,
    turns: Turns,
    born: Instant,
}

struct State {
    session: ServerSession,
    used: Instant,
}

impl Entry {
    /// Does `f` with the session.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut ServerSession) -> T) -> T {
        f(&mut self.lock().session)
    }

    /// Its name.
    pub(crate) fn id(&self) -> SessionId {
        self.with(|session| session.session().id())
    }

    /// A turn, where one is free. An exchange has begun, so the session is in use.
    pub(crate) fn turn(&self) -> Option<Turn> {
        self.lock().used = Instant::now();
        self.turns.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> Instant {
        self.lock().used
    }

    fn is_over(&self, limits: &Limits, now: Instant) -> bool {
        now >= self.born + limits.lifetime || now >= self.used() + limits.idle
    }
}

impl Sessions {
    /// Takes a session in, or says that there is no room.
    pub(crate) fn insert(&self, session: ServerSession, limits: &Limits) -> bool {
        let now = Instant::now();
        let id = session.session().id();
        let mut sessions = self.lock();
        if sessions.len() >= limits.sessions && !make_room(&mut sessions, limits, now) {
            return false;
        }
        let state = Mutex::new(State { session, used: now });
        let entry = Entry { state, turns: Turns::new(limits.concurrency), born: now };
        sessions.insert(id, Arc::new(entry));
        true
    }

    /// The session of this name, where exchanges may still begin.
    pub(crate) fn get(&self, id: &SessionId, limits: &Limits) -> Option<Arc<Entry>> {
        let entry = self.lock().get(id).cloned()?;
        (!entry.is_over(limits, Instant::now())).then_some(entry)
    }

    /// Forgets the sessions that are over, with their keys.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let now = Instant::now();
        self.lock().retain(|_, entry| !entry.is_over(limits, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is over, else the session that has been idle longest, if that is long enough.
fn make_room(sessions: &mut HashMap<SessionId, Arc<Entry>>, limits: &Limits, now: Instant) -> bool {
    let before = sessions.len();
    sessions.retain(|_, entry| !entry.is_over(limits, now));
    if sessions.len() < before {
        return true;
    }
    let idle = sessions
        .iter()
        .filter(|(_, entry)| entry.turns.is_idle())
        .min_by_key(|(_, entry)| entry.used())
        .filter(|(_, entry)| now > entry.used() + limits.give_way)
        .map(|(id, _)| *id);
    idle.is_some_and(|id| sessions.remove(&id).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_steve::{
        AttestedKey, ClientHandshake, ClientRandom, EpochKey, Grant, ServerRandom, Suite, decode_key_configs,
    };
    use zeroize::Zeroizing;

    /// Bytes of memory that this process has written (`proc_pid_status(5)`): without its program, which is
    /// read in as it is used.
    fn written() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn bytes<const N: usize>(seed: usize) -> [u8; N] {
        std::array::from_fn(|at| seed.to_be_bytes()[at % 8] ^ 0x20)
    }

    #[test]
    fn an_idle_session_takes_less_than_a_kibibyte() {
        const SESSIONS: usize = 4096;
        let mut key = EpochKey::from_seed(Suite::X25519, 0, [0; 16], &Zeroizing::new([1; 32]));
        let config = decode_key_configs(key.key_configs()).unwrap().remove(0);
        let attested = AttestedKey { config, key_configs_hash: key.key_configs_hash(), instance: [0; 16] };
        let grant = Grant { contexts: &[], limits: caution_steve::Limits::DEFAULT, lifetime_s: 1800 };
        let sessions = Sessions::default();
        let before = written();
        for seed in 0..SESSIONS {
            let random = ClientRandom {
                encapsulate: Zeroizing::new(bytes(seed)),
                ephemeral: Zeroizing::new(bytes(seed)),
                hello: bytes(seed),
            };
            let (_, hello) = ClientHandshake::start(&attested, &[0; 32], 65_536, &random).unwrap();
            let random = ServerRandom {
                encapsulate: Zeroizing::new(bytes(seed)),
                session: bytes(seed),
                hello: bytes(seed),
            };
            let (session, _) = key.accept(&hello, &grant, &random).unwrap();
            assert!(sessions.insert(session, &Limits::DEFAULT));
        }
        // With what the key remembers of each hello.
        let each = written().saturating_sub(before) / SESSIONS;
        assert!(each < 1024, "{each} bytes");
        assert_eq!(sessions.lock().len(), SESSIONS);
    }
}
