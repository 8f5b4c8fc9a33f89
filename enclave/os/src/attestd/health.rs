//! What EnclaveOS says about its own health.

use crate::control::{ClockNote, Status};
use caution_abi::control::Phase;
use caution_abi::health::{Clock, Health, Memory};
use caution_enclave_sys::process::uptime_ms;
use std::fs::File;
use std::io::Read as _;

/// The health of an enclave in this state, now.
pub(crate) fn of(status: Status) -> Health {
    let Status { phase, restarts, last_exit, clock } = status;
    let uptime_ms = uptime_ms();
    let clock = clock.map(|ClockNote { source, offset_ms, uptime_ms: then }| Clock {
        offset_ms,
        source,
        checked_ms_ago: uptime_ms.saturating_sub(then),
    });
    Health {
        enclaveos: env!("CARGO_PKG_VERSION").to_owned(),
        phase,
        ready: phase == Phase::Ready,
        uptime_ms,
        restarts,
        last_exit,
        clock,
        memory: memory(),
    }
}

fn memory() -> Option<Memory> {
    let mut text = String::new();
    File::open("/proc/meminfo").ok()?.take(MAX_MEMINFO).read_to_string(&mut text).ok()?;
    parse_meminfo(&text)
}

/// The two lines of proc_meminfo(5) that count; the kernel's `kB` are KiB.
fn parse_meminfo(text: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { total_kib: kib("MemTotal")?, available_kib: kib("MemAvailable")? })
}

/// The file has some 1,500 bytes.
const MAX_MEMINFO: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal:         231244 kB\nMemFree:          100 kB\nMemAvailable:     180112 kB\n";
        assert_eq!(parse_meminfo(text), Some(Memory { total_kib: 231_244, available_kib: 180_112 }));
        for cut in ["MemTotal: 231244 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n", ""] {
            assert_eq!(parse_meminfo(cut), None);
        }
        assert!(memory().is_some_and(|memory| memory.available_kib <= memory.total_kib));
    }
}
