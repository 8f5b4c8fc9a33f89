//! PID 1's own process: standard streams, limits, identity.

use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::io;
use std::os::fd::OwnedFd;

/// Whether this process is the kernel's first.
pub fn is_pid1() -> bool {
    std::process::id() == 1
}

/// Gives SIGSEGV and SIGBUS back to the kernel, from the runtime, which only words the message of a stack overflow.
///
/// The kernel ends PID 1 by a fault of its own either way, and drops what others send it where nothing handles it. A
/// handler can be sent for: two of these signals at a time overflow the runtime's stack for them, and an app that runs
/// as root may send them.
pub fn drop_fault_handlers() -> io::Result<()> {
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: installs no handler.
        unsafe { signal(fault, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Points standard input, output and error at `/dev/console`, or at `/dev/null` where there is no
/// console (a production enclave). True for a console.
pub fn attach_console() -> io::Result<bool> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let (fd, console): (OwnedFd, bool) = match open("/dev/console", flags, Mode::empty()) {
        Ok(fd) => (fd, true),
        Err(_) => (open("/dev/null", flags, Mode::empty())?, false),
    };
    dup2_stdin(&fd)?;
    dup2_stdout(&fd)?;
    dup2_stderr(&fd)?;
    Ok(console)
}

/// Raises the number of files PID 1 may hold open, and that of the whole machine by as much again, so
/// that what is forwarded takes none from the app.
pub fn raise_file_limit(files: u64) -> io::Result<()> {
    const ALL: &str = "/proc/sys/fs/file-max";
    setrlimit(Resource::RLIMIT_NOFILE, files, files)?;
    let all = std::fs::read_to_string(ALL)?;
    // A number this cannot hold needs no raising.
    let all = all.trim().parse::<i64>().ok().and_then(|all| all.checked_add_unsigned(files));
    all.map_or(Ok(()), |all| std::fs::write(ALL, all.to_string()))
}

/// Milliseconds since the kernel started.
pub fn uptime_ms() -> u64 {
    // CLOCK_BOOTTIME fails on no kernel since 2.6.39; zero only misstates a duration.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(0, |t| {
        let (seconds, nanoseconds) = (t.tv_sec().unsigned_abs(), t.tv_nsec().unsigned_abs());
        seconds * 1000 + nanoseconds / 1_000_000
    })
}
