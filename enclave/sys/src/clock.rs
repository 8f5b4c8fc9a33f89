//! The clock of the calendar: reading it, setting it, letting it run a little faster or slower.

use nix::libc;
use nix::time::{ClockId, clock_gettime, clock_settime};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// Where the kernel puts the hypervisor's clock. The kernel has no other driver of this kind.
pub const PTP_DEVICE: &str = "/dev/ptp0";

/// The time since the Unix epoch; zero for a clock that stands before it.
pub fn now() -> Duration {
    // CLOCK_REALTIME fails on no kernel.
    read(ClockId::CLOCK_REALTIME).unwrap_or_default()
}

/// The same in milliseconds.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// Sets the clock at once.
pub fn set(to: Duration) -> io::Result<()> {
    Ok(clock_settime(ClockId::CLOCK_REALTIME, to.into())?)
}

/// Lets the clock run 500 ppm faster or slower until it has gained `by_ms`, instead of what an earlier
/// call asked for (adjtimex(2), `ADJ_OFFSET_SINGLESHOT`). It never runs backwards.
pub fn slew(by_ms: i64) -> io::Result<()> {
    // SAFETY: a `timex` is integers and padding, for which all zeros are a value.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = by_ms.saturating_mul(1000);
    // SAFETY: the call reads and writes one `timex`, which lives across it.
    match unsafe { libc::adjtimex(&raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The hypervisor's clock, as the guest's kernel offers it.
#[derive(Debug)]
pub struct Ptp(File);

impl Ptp {
    /// Opens it; an error of kind `NotFound` where the machine has none.
    pub fn open() -> io::Result<Self> {
        File::open(PTP_DEVICE).map(Self)
    }

    /// Its time since the Unix epoch.
    pub fn now(&self) -> io::Result<Duration> {
        // FD_TO_CLOCKID of clock_gettime(2): dynamic clocks.
        read(ClockId::from_raw((!self.0.as_raw_fd() << 3) | 3))
    }
}

fn read(clock: ClockId) -> io::Result<Duration> {
    let time = clock_gettime(clock)?;
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec()), u32::try_from(time.tv_nsec()));
    Ok(Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_systems() {
        let date = std::process::Command::new("date").arg("+%s").output().unwrap().stdout;
        let date: u64 = String::from_utf8(date).unwrap().trim().parse().unwrap();
        assert!(now().as_secs().abs_diff(date) <= 5, "{:?} {date}", now());
    }

    #[test]
    fn a_file_that_is_no_clock_gives_no_time() {
        assert!(Ptp(File::open("/dev/null").unwrap()).now().is_err());
    }
}
