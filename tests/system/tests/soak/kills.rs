//! `kill -9`, and how everything comes back: within a limit, each with its line of a log.

use crate::place::{NAME, Place, kill};
use crate::traffic::Clients;
use std::fmt;
use std::time::{Duration, Instant};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    Caddy,
    Agent,
    Passt,
    /// With it the vsock device and every listener of the enclave.
    Supervisor,
    Qemu,
}

impl Victim {
    pub(crate) const ALL: [Self; 5] = [Self::Caddy, Self::Agent, Self::Passt, Self::Supervisor, Self::Qemu];

    /// How long clients may go without an answer. An enclave boots under emulation, on a machine that is busy.
    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Caddy | Self::Agent | Self::Passt => 60,
            Self::Supervisor | Self::Qemu => 300,
        })
    }

    /// Its process, where there is one.
    fn pid(self, place: &Place) -> Option<i32> {
        match self {
            Self::Agent => place.agent_pid(),
            Self::Caddy => place.process("caddy"),
            Self::Passt => place.process("passt"),
            Self::Supervisor => place.supervisor(),
            Self::Qemu => place.process("qemu-system"),
        }
    }

    /// Whether another one is there than before.
    fn is_back(self, place: &Place, before: Option<i32>) -> bool {
        let now = self.pid(place);
        now.is_some() && now != before
    }

    fn is_enclave(self) -> bool {
        matches!(self, Self::Supervisor | Self::Qemu)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caddy => "Caddy",
            Self::Agent => "agent",
            Self::Passt => "passt",
            Self::Supervisor => "supervisor",
            Self::Qemu => "QEMU",
        })
    }
}

/// Random numbers that a seed repeats (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    /// One, or in three of ten rounds two at once, of which one is the agent or Caddy.
    pub(crate) fn victims(&mut self) -> Vec<Victim> {
        let mut pick = |from: &[Victim]| from[usize::try_from(self.below(from.len() as u64)).unwrap()];
        let first = pick(&Victim::ALL);
        let second = pick(&Victim::ALL[..2]);
        let mut victims = vec![first];
        if self.below(10) < 3 && second != first {
            victims.push(second);
        }
        victims
    }
}

/// Kills them at once and waits until a new client is served as before. Returns how long that took.
pub(crate) fn round(place: &mut Place, clients: &Clients, number: u64, victims: &[Victim]) -> Duration {
    let before = Before::look(place);
    let enclave = before.enclave.clone();
    let pids: Vec<Option<i32>> = victims.iter().map(|victim| victim.pid(place)).collect();
    let began = Instant::now();
    for (victim, pid) in victims.iter().zip(&pids) {
        match victim {
            Victim::Agent => place.kill_agent(),
            _ => kill(pid.unwrap_or_else(|| panic!("there is a {victim}"))),
        }
    }
    if victims.contains(&Victim::Agent) {
        place.start_agent();
    }
    let limit = victims.iter().map(|victim| victim.limit()).max().unwrap_or_default();
    let replaced = victims.iter().any(|victim| victim.is_enclave());
    let mut tries = 0;
    await_within(limit, &format!("round {number}: {victims:?}: clients are served again"), || {
        tries += 1;
        let shown = place.shown();
        let app = &shown["apps"][0];
        let runs = app["state"] == "running" && app["phase"] == "ready";
        runs && (app["id"] != enclave) == replaced
            && victims.iter().zip(&pids).all(|(victim, pid)| victim.is_back(place, *pid))
            && clients.probe(&format!("probe-{number}-{tries}"))
    });
    let took = began.elapsed();
    await_within(Duration::from_secs(30), &format!("round {number}: {victims:?}: its lines"), || {
        before.is_told(place, victims)
    });
    took
}

/// What there was before a kill.
struct Before {
    enclave: serde_json::Value,
    log: u64,
    network: usize,
}

impl Before {
    fn look(place: &Place) -> Self {
        let enclave = place.shown()["apps"][0]["id"].clone();
        Self { enclave, log: place.said_since(0).1, network: place.network_lines().len() }
    }

    /// One clear line for each kill, and no second one. Where the agent was killed with Caddy, it may have started
    /// the next Caddy and not come to say so.
    fn is_told(&self, place: &Place, victims: &[Victim]) -> bool {
        let (said, _) = place.said_since(self.log);
        let count =
            |words: &[&str]| said.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        let app = format!("{NAME}: ");
        victims.iter().all(|victim| match victim {
            Victim::Agent => count(&["looks after its apps now"]) == 1,
            Victim::Caddy => {
                let told = count(&["Caddy ended ("]) + count(&["Caddy was started"]);
                told == 1 || (told == 0 && victims.contains(&Victim::Agent))
            }
            Victim::Qemu => count(&[&app, "SIGKILL", "started again after"]) == 1,
            Victim::Supervisor => count(&[&app, "Its supervisor was killed", "started again after"]) == 1,
            Victim::Passt => {
                let lines = place.network_lines();
                let new = lines.get(self.network..).unwrap_or_default();
                new.len() == 2 && new[0].contains("SIGKILL") && new[1].contains("started again")
            }
        })
    }
}

/// Waits for something that others do.
pub(crate) fn await_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "not within {} s: {what}", limit.as_secs());
        pause(Duration::from_millis(200));
    }
}

/// A time in which clients are left alone.
pub(crate) fn pause(duration: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "strange processes cannot be waited for; and a soak takes time"
    )]
    std::thread::sleep(duration);
}
