//! How much memory and how many CPUs enclaves may have together; refused with the sum.

use crate::driver::Pool;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What enclaves may have together, where the defaults do not serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory in MiB; all but an eighth of the machine's, of which at most 2048 MiB are kept back, when absent.
    pub memory_mib: Option<u64>,
    /// Virtual CPUs; not limited when absent, because they share the machine's.
    pub cpus: Option<u32>,
}

/// What one enclave takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) memory_mib: u64,
    pub(super) cpus: u32,
}

/// The machine, and what of it enclaves may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Whose memory and CPUs they are.
    of: &'static str,
    machine_mib: u64,
    memory_mib: u64,
    cpus: Option<u32>,
}

impl Budget {
    /// The budget of a machine with this memory.
    pub(super) fn new(limits: Limits, machine_mib: u64) -> Self {
        let kept_back = (machine_mib / 8).min(2048);
        let memory_mib = limits.memory_mib.unwrap_or(machine_mib - kept_back).min(machine_mib);
        Self { of: "This machine", machine_mib, memory_mib, cpus: limits.cpus }
    }

    /// The budget of what is set apart for Nitro enclaves, which is theirs alone: nothing is kept back, and CPUs are
    /// not shared.
    pub(super) fn of_pool(limits: Limits, pool: Pool) -> Self {
        let cpus = u32::try_from(pool.cpus).unwrap_or(u32::MAX);
        Self {
            of: "The pool of Nitro enclaves",
            machine_mib: pool.memory_mib,
            memory_mib: limits.memory_mib.unwrap_or(u64::MAX).min(pool.memory_mib),
            cpus: Some(limits.cpus.unwrap_or(u32::MAX).min(cpus)),
        }
    }

    /// The budget of this machine; without `/proc/meminfo` memory is not counted.
    pub(super) fn of_this_machine(limits: Limits) -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::new(limits, crate::run::admission::field_mib(&meminfo, "MemTotal:").unwrap_or(u64::MAX))
    }

    /// Whether an enclave fits beside those that have their share.
    pub(super) fn admit(&self, given: &[(String, Need)], asked: Need) -> Result<(), Shortage> {
        let list =
            |part: fn(&Need) -> u64| given.iter().map(|(name, need)| (name.clone(), part(need))).collect();
        let memory: Vec<(String, u64)> = list(|need| need.memory_mib);
        let total: u64 = memory.iter().map(|(_, mib)| mib).sum();
        let free = self.memory_mib.saturating_sub(total);
        if asked.memory_mib > free {
            return Err(Shortage {
                of: self.of,
                unit: " MiB",
                machine: self.machine_mib,
                kept_back: self.machine_mib - self.memory_mib,
                given: memory,
                asked: asked.memory_mib,
                free,
            });
        }
        let cpus: Vec<(String, u64)> = list(|need| need.cpus.into());
        let total: u64 = cpus.iter().map(|(_, cpus)| cpus).sum();
        match self.cpus.map(u64::from) {
            Some(limit) if u64::from(asked.cpus) > limit.saturating_sub(total) => Err(Shortage {
                of: self.of,
                unit: " CPUs for enclaves",
                machine: limit,
                kept_back: 0,
                given: cpus,
                asked: asked.cpus.into(),
                free: limit.saturating_sub(total),
            }),
            _ => Ok(()),
        }
    }
}

/// Why an enclave does not fit, as a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    of: &'static str,
    unit: &'static str,
    machine: u64,
    kept_back: u64,
    given: Vec<(String, u64)>,
    asked: u64,
    free: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, unit, machine, kept_back, given, asked, free } = self;
        let total: u64 = given.iter().map(|(_, share)| share).sum();
        let shown: Vec<String> =
            given.iter().take(SHOWN).map(|(name, share)| format!("{name} {share}")).collect();
        let more = if given.len() > SHOWN { ", …" } else { "" };
        write!(f, "{of} has {machine}{unit}")?;
        match given.len() {
            0 => {}
            1 => write!(f, ", {total} are given to 1 enclave ({})", shown.join(", "))?,
            count => write!(f, ", {total} are given to {count} enclaves ({}{more})", shown.join(", "))?,
        }
        if *kept_back > 0 {
            write!(f, ", {kept_back} are kept back")?;
        }
        write!(f, "; {asked} asked, {free} free.")
    }
}

/// Enclaves that a refusal names.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn given(shares: &[(&str, u64)]) -> Vec<(String, Need)> {
        let need = |memory_mib| Need { memory_mib, cpus: 2 };
        shares.iter().map(|(name, mib)| ((*name).to_owned(), need(*mib))).collect()
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_sum() {
        let budget = Budget::new(Limits::default(), 24_000);
        let given = given(&[("a", 512), ("b", 9968), ("c", 10_000)]);
        assert_eq!(budget.admit(&given, Need { memory_mib: 1472, cpus: 1 }), Ok(()));
        let refused = budget.admit(&given, Need { memory_mib: 4096, cpus: 1 }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "This machine has 24000 MiB, 20480 are given to 3 enclaves (a 512, b 9968, c 10000), \
             2048 are kept back; 4096 asked, 1472 free."
        );
    }

    #[test]
    fn a_limit_that_was_set_is_the_limit() {
        let budget = Budget::new(Limits { memory_mib: Some(1000), cpus: Some(3) }, 4000);
        let refused = budget.admit(&[], Need { memory_mib: 1001, cpus: 1 }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "This machine has 4000 MiB, 3000 are kept back; 1001 asked, 1000 free."
        );
        let refused = budget.admit(&given(&[("a", 512)]), Need { memory_mib: 1, cpus: 2 }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "This machine has 3 CPUs for enclaves, 2 are given to 1 enclave (a 2); 2 asked, 1 free."
        );
    }

    #[test]
    fn nitro_enclaves_share_what_is_set_apart_for_them() {
        let pool = Pool { memory_mib: 4096, free_mib: 0, cpus: 4 };
        let budget = Budget::of_pool(Limits::default(), pool);
        let given = given(&[("a", 2048)]);
        assert_eq!(budget.admit(&given, Need { memory_mib: 2048, cpus: 2 }), Ok(()));
        let refused = budget.admit(&given, Need { memory_mib: 2049, cpus: 2 }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "The pool of Nitro enclaves has 4096 MiB, 2048 are given to 1 enclave (a 2048); 2049 asked, 2048 free."
        );
        let refused = budget.admit(&given, Need { memory_mib: 64, cpus: 3 }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "The pool of Nitro enclaves has 4 CPUs for enclaves, 2 are given to 1 enclave (a 2); 3 asked, 2 free."
        );
    }

    #[test]
    fn many_enclaves_are_not_all_named() {
        let names: Vec<String> = (0..9).map(|at| format!("app{at}")).collect();
        let shares: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 100)).collect();
        let refused =
            Budget::new(Limits::default(), 1000).admit(&given(&shares), Need { memory_mib: 100, cpus: 1 });
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("9 enclaves (app0 100, ") && text.contains("app4 100, …)"), "{text}");
    }
}
