//! A part of EnclaveOS in a process of its own: this very program by another name, with next to nothing.
//!
//! It has a user of its own and no capability, an empty root, the app's system call filter, and no descriptors but
//! the standard streams and those it is given. Nobody else's processes are its to see, and the app, which lives in
//! a namespace of processes of its own, does not see it.

use crate::children::ChildId;
use crate::{confine, seccomp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// Starts it. `name` is the first word of its command line, which only a process that is not the kernel's first
/// looks at; `given` are its descriptors from [`FIRST`] on. Call from the thread that waits for children.
pub fn start(name: &CStr, given: &[BorrowedFd<'_>]) -> io::Result<ChildId> {
    let (Prepared { program, report: report_write, given }, report_read) = Prepared::new(given)?;
    let descriptors: Vec<RawFd> = (0..FIRST).chain(given.iter().map(OwnedFd::as_raw_fd)).collect();
    let argv = [name.as_ptr(), std::ptr::null()];
    let env: [*const libc::c_char; 1] = [std::ptr::null()];
    // SAFETY: the child makes async-signal-safe calls on memory prepared above, and never returns.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let failed = confine(&descriptors).err().unwrap_or_else(|| {
                // SAFETY: the program, its arguments and its environment live across the call, and the lists end
                // with a null pointer.
                unsafe {
                    let empty = c"".as_ptr();
                    let (program, argv, env) = (program.as_raw_fd(), argv.as_ptr(), env.as_ptr());
                    libc::syscall(libc::SYS_execveat, program, empty, argv, env, libc::AT_EMPTY_PATH);
                }
                Errno::last()
            });
            let report = (failed as i32).to_ne_bytes();
            // SAFETY: writes four bytes that live across the call; `_exit` runs nothing of PID 1's.
            unsafe {
                libc::write(report_write.as_raw_fd(), report.as_ptr().cast(), report.len());
                libc::_exit(127)
            }
        }
        ForkResult::Parent { child } => {
            drop(report_write);
            started(child, report_read)
        }
    }
}

/// What the child uses until it has become another program.
struct Prepared {
    program: OwnedFd,
    /// Takes the reason where it does not become one.
    report: OwnedFd,
    given: Vec<OwnedFd>,
}

impl Prepared {
    /// With the other end of its report.
    fn new(given: &[BorrowedFd<'_>]) -> io::Result<(Self, OwnedFd)> {
        let program = open(c"/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        let (report_read, report) = pipe2(OFlag::O_CLOEXEC)?;
        let given = given.iter().map(|fd| above(*fd)).collect::<io::Result<_>>()?;
        Ok((Self { program: above(program.as_fd())?, report: above(report.as_fd())?, given }, report_read))
    }
}

/// The same thing far above what descriptors become in the child, so that no one takes the place of another.
fn above(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE))?;
    // SAFETY: F_DUPFD_CLOEXEC just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn started(child: Pid, report: OwnedFd) -> io::Result<ChildId> {
    let mut error = [0; 4];
    if File::from(report).read_exact(&mut error).is_ok() {
        let _ = nix::sys::wait::waitpid(child, None);
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(error)));
    }
    // An app that takes all memory is to lose its own processes.
    std::fs::write(format!("/proc/{child}/oom_score_adj"), "-1000")?;
    Ok(ChildId(child))
}

/// Capabilities and the user last: the steps before need them.
fn confine(descriptors: &[RawFd]) -> Result<(), Errno> {
    confine::set_session()?;
    confine::keep_only(descriptors)?;
    confine::enter_empty_root()?;
    confine::set_limits()?;
    seccomp::install()?;
    confine::no_new_privileges()?;
    confine::keep_capabilities(&[])?;
    confine::become_user(USER, USER, &[])?;
    confine::reset_signals()
}

/// What was given as number `at`, from 0, in the helper itself. Each can be had once, and is its helper's alone.
pub fn given<T: From<OwnedFd>>(at: RawFd) -> io::Result<T> {
    let fd = FIRST + at;
    // SAFETY: the descriptor is looked at, not used.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    // Inherited, so not marked yet: whoever asks twice, or was not given it, gets an error.
    if fcntl(borrowed, FcntlArg::F_GETFD)? != 0 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: nothing else owns it, as only this function makes owners, once each.
    Ok(T::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// For a helper to begin with: nobody without CAP_SYS_PTRACE looks into its memory.
pub fn hide_memory() -> io::Result<()> {
    Ok(confine::hide_memory()?)
}

/// The number of the first descriptor that is given.
const FIRST: RawFd = 3;
const ABOVE: RawFd = 64;
/// The user and group of helpers. An app may have the same number: it reaches no helper's process by it.
const USER: u32 = 0xfffe_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_the_child_uses_is_what_something_else_becomes() {
        let file = File::open("/dev/null").unwrap();
        let (prepared, report) = Prepared::new(&[file.as_fd(), file.as_fd()]).unwrap();
        let Prepared { program, report: report_write, given } = &prepared;
        for fd in given.iter().chain([program, report_write]) {
            assert!(fd.as_raw_fd() >= ABOVE, "{fd:?}");
        }
        // It is the program, and that report.
        assert!(fcntl(program, FcntlArg::F_GETFL).unwrap() & OFlag::O_PATH.bits() != 0);
        nix::unistd::write(report_write, b"x").unwrap();
        let mut said = [0];
        File::from(report).read_exact(&mut said).unwrap();
        assert_eq!((&said, given.len()), (b"x", 2));
    }

    #[test]
    fn what_was_not_given_cannot_be_had() {
        assert!(given::<File>(100_000).is_err());
    }
}
