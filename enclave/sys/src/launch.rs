//! Starting the app: a namespace of processes, its own root, less privilege, exec.
//!
//! ```text
//! PID 1 ──▶ shepherd: first of its namespace ──▶ the app: second of it, and whatever that starts
//! ```
//! The shepherd waits for the app, adopts its orphans, tells how the app ended, and ends. With the first process of
//! a namespace the kernel ends all others, at once and however fast they fork. The app sees and signals nobody
//! outside; in it, too, the first process takes no signal that it does not handle, and the shepherd handles none.
//!
//! Everything that allocates happens before the fork.

use crate::app_root::AppRoot;
use crate::children::{ChildId, exit_of};
use crate::{confine, seccomp};
use caution_abi::control::Exit;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{Pid, pipe2};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

/// A process to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Its root.
    pub root: &'a AppRoot,
    /// Paths to try as the program, in order, seen from inside the root.
    pub programs: &'a [CString],
    /// Arguments, the program's name included.
    pub argv: &'a [CString],
    /// Environment as `NAME=value`.
    pub env: &'a [CString],
    /// Working directory inside the root.
    pub cwd: &'a CStr,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: &'a [u32],
}

/// Standard streams of the process.
#[derive(Debug, Clone, Copy)]
pub struct Streams<'a> {
    /// Standard input.
    pub stdin: BorrowedFd<'a>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
}

/// A step between fork and exec, in this order: the filter before the user changes, as installing it
/// needs CAP_SYS_ADMIN; the working directory after it, as the user must be allowed to enter it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Step {
    /// setsid.
    Session,
    /// dup2 of the standard streams; no other descriptor survives.
    Streams,
    /// A mount namespace of its own whose root is the app's.
    Root,
    /// /proc, of its own processes.
    Proc,
    /// Resource limits.
    Limits,
    /// The system call filter.
    SystemCalls,
    /// The capability bounding set.
    Capabilities,
    /// Supplementary groups, group, user.
    User,
    /// The working directory.
    WorkingDirectory,
    /// execve.
    Program,
}

/// Why the process did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No pipe or no process could be had.
    #[error("no process could be made")]
    Fork(#[source] io::Error),
    /// A step in the new process failed.
    #[error("{what} failed", what = step.what())]
    Step {
        /// Which.
        step: Step,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Session,
        Self::Streams,
        Self::Root,
        Self::Proc,
        Self::Limits,
        Self::SystemCalls,
        Self::Capabilities,
        Self::User,
        Self::WorkingDirectory,
        Self::Program,
    ];

    fn what(self) -> &'static str {
        match self {
            Self::Session => "starting a session",
            Self::Streams => "connecting the standard streams",
            Self::Root => "entering the app's root",
            Self::Proc => "mounting the app's /proc",
            Self::Limits => "setting resource limits",
            Self::SystemCalls => "installing the system call filter",
            Self::Capabilities => "dropping capabilities",
            Self::User => "becoming the app's user",
            Self::WorkingDirectory => "entering the working directory",
            Self::Program => "executing the program",
        }
    }
}

/// A started app: its shepherd, and what that will have to tell.
#[derive(Debug)]
pub struct Launched {
    /// The shepherd. When it has ended, so has everything that the app started.
    pub id: ChildId,
    told: File,
}

impl Launched {
    /// How the app ended, from how its shepherd did.
    pub fn exit(mut self, shepherd: Exit) -> Exit {
        let mut status = [0; size_of::<libc::c_int>()];
        // Without a word the shepherd was ended from outside, and the app with it.
        match self.told.read_exact(&mut status) {
            Ok(()) => exit_of(libc::c_int::from_ne_bytes(status)),
            Err(_) => shepherd,
        }
    }
}

/// Starts the process. Call from the thread that waits for children: a process that could not start
/// is reaped here.
pub fn launch(launch: &Launch<'_>, streams: Streams<'_>) -> Result<Launched, LaunchError> {
    let fork_error = |e: Errno| LaunchError::Fork(e.into());
    let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC).map_err(fork_error)?;
    let (told_read, told_write) = pipe2(OFlag::O_CLOEXEC).map_err(fork_error)?;
    let prepared = Prepared::new(launch, streams, &report_write, &told_write);
    // SAFETY: the child only calls `Prepared::shepherd`, which makes raw system calls on memory prepared above, and
    // never returns.
    let shepherd = match unsafe { clone(libc::CLONE_NEWPID) }.map_err(fork_error)? {
        0 => prepared.shepherd(),
        pid => Pid::from_raw(pid),
    };
    drop((report_write, told_write));
    let id = started(shepherd, report_read)?;
    Ok(Launched { id, told: told_read.into() })
}

/// fork(2) by the raw call, which the C library keeps no record of. The pid, or 0 in the child.
///
/// # Safety
/// As of fork: the child of a threaded process makes async-signal-safe calls only.
unsafe fn clone(namespaces: libc::c_int) -> Result<libc::pid_t, Errno> {
    let flags = namespaces | libc::SIGCHLD;
    // SAFETY: without CLONE_VM the child has its own copy of this stack, which a stack of 0 asks for; the other
    // pointers are not read without their flags.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(libc::pid_t::try_from(pid).unwrap_or(libc::pid_t::MAX))
}

/// Waits until the child has executed its program (the pipe closes) or has reported why not.
fn started(child: Pid, report: OwnedFd) -> Result<ChildId, LaunchError> {
    let mut bytes = Vec::new();
    File::from(report).take(REPORT_LENGTH as u64).read_to_end(&mut bytes).map_err(LaunchError::Fork)?;
    let Ok([step, error @ ..]) = <[u8; REPORT_LENGTH]>::try_from(bytes) else {
        return Ok(ChildId(child));
    };
    let _ = nix::sys::wait::waitpid(child, None);
    let step = Step::ALL.into_iter().find(|s| *s as u8 == step).unwrap_or(Step::Program);
    Err(LaunchError::Step { step, source: io::Error::from_raw_os_error(i32::from_ne_bytes(error)) })
}

/// One byte of [`Step`], four of errno.
const REPORT_LENGTH: usize = 5;

/// Everything the child needs, as the pointers the calls take.
struct Prepared<'a> {
    launch: &'a Launch<'a>,
    streams: [RawFd; 3],
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    report: RawFd,
    told: RawFd,
}

impl<'a> Prepared<'a> {
    fn new(launch: &'a Launch<'a>, streams: Streams<'a>, report: &OwnedFd, told: &OwnedFd) -> Self {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Self {
            launch,
            streams: [streams.stdin, streams.stdout, streams.stderr].map(|fd| fd.as_raw_fd()),
            argv: pointers(launch.argv),
            env: pointers(launch.env),
            report: report.as_raw_fd(),
            told: told.as_raw_fd(),
        }
    }

    /// The shepherd. It holds nothing of PID 1's but the one pipe.
    fn shepherd(&self) -> ! {
        let started = confine::hide_memory().and_then(|()| {
            // SAFETY: the child only calls `run`, as above.
            unsafe { clone(0) }
        });
        match started {
            Ok(0) => self.run(),
            Ok(app) => self.watch(app),
            Err(e) => self.fail(Step::Session, e),
        }
    }

    fn watch(&self, app: libc::pid_t) -> ! {
        let mut status: libc::c_int = 0;
        // SAFETY: the calls take integers, and pointers to a status that lives across them. Both ranges end with
        // the pipe, which is above the standard streams.
        unsafe {
            let told = self.told.cast_unsigned();
            libc::syscall(libc::SYS_close_range, 0, told - 1, 0);
            libc::syscall(libc::SYS_close_range, told + 1, libc::c_uint::MAX, 0);
            loop {
                let ended = libc::waitpid(-1, &raw mut status, 0);
                if ended == app || (ended < 0 && Errno::last() != Errno::EINTR) {
                    break;
                }
            }
            libc::write(self.told, (&raw const status).cast(), size_of::<libc::c_int>());
            libc::_exit(0)
        }
    }

    /// The child: every step in order; the first failure is reported and ends it.
    fn run(&self) -> ! {
        for step in Step::ALL {
            if let Err(e) = self.take(step) {
                self.fail(step, e);
            }
        }
        // `execute` only returns with an error.
        self.fail(Step::Program, Errno::ENOEXEC)
    }

    fn fail(&self, step: Step, e: Errno) -> ! {
        let mut report = [0; REPORT_LENGTH];
        report[0] = step as u8;
        report[1..].copy_from_slice(&(e as i32).to_ne_bytes());
        // SAFETY: writes five bytes that live across the call; `_exit` runs nothing of PID 1's.
        unsafe {
            libc::write(self.report, report.as_ptr().cast(), REPORT_LENGTH);
            libc::_exit(127)
        }
    }

    fn take(&self, step: Step) -> Result<(), Errno> {
        match step {
            Step::Session => confine::set_session(),
            // PID 1's own 0–2 are open, so all of these are 3 or more.
            Step::Streams => confine::keep_only(&self.streams),
            Step::Root => confine::enter_root(self.launch.root.path()),
            Step::Proc => self.launch.root.mount_proc(),
            Step::Limits => confine::set_limits(),
            Step::SystemCalls => seccomp::install(),
            Step::Capabilities => confine::keep_capabilities(&KEPT_CAPABILITIES),
            Step::User => confine::become_user(self.launch.uid, self.launch.gid, self.launch.groups),
            Step::WorkingDirectory => self.enter_directory(),
            Step::Program => self.execute(),
        }
    }

    fn enter_directory(&self) -> Result<(), Errno> {
        // SAFETY: a NUL-terminated string that lives across the call.
        Errno::result(unsafe { libc::chdir(self.launch.cwd.as_ptr()) }).map(drop)
    }

    /// As execvp(3): a path that is absent or forbidden gives way to the next; "forbidden" is then the
    /// more telling error.
    fn execute(&self) -> Result<(), Errno> {
        confine::reset_signals()?;
        let mut error = Errno::ENOENT;
        for program in self.launch.programs {
            // SAFETY: `argv` and `env` end with a null pointer; their strings outlive `self.launch`.
            unsafe { libc::execve(program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
            match Errno::last() {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => error = Errno::EACCES,
                e => return Err(e),
            }
        }
        Err(error)
    }
}

/// Capability numbers an app keeps when it runs as root (`linux/capability.h`): what container
/// engines grant, less MKNOD (device nodes), NET_RAW (it could read the forwarders' packets) and
/// AUDIT_WRITE.
const KEPT_CAPABILITIES: [u32; 10] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    10, // NET_BIND_SERVICE
    18, // SYS_CHROOT
];
