//! Starting the app: fork, its own root, less privilege, exec.
//!
//! Everything that allocates happens before the fork: PID 1 has threads, and the child of a threaded
//! process may only make async-signal-safe calls (fork(2)) until it executes something.

use crate::children::ChildId;
use crate::seccomp;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

/// A process to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Directory that becomes its root, prepared by [`crate::app_root::prepare`].
    pub root: &'a CStr,
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
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Streams,
        Self::Root,
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
            Self::Limits => "setting resource limits",
            Self::SystemCalls => "installing the system call filter",
            Self::Capabilities => "dropping capabilities",
            Self::User => "becoming the app's user",
            Self::WorkingDirectory => "entering the working directory",
            Self::Program => "executing the program",
        }
    }
}

/// Starts the process. Call from the thread that waits for children: a process that could not start
/// is reaped here.
pub fn launch(launch: &Launch<'_>, streams: Streams<'_>) -> Result<ChildId, LaunchError> {
    let fork_error = |e: Errno| LaunchError::Fork(e.into());
    let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC).map_err(fork_error)?;
    let prepared = Prepared::new(launch, streams, &report_write);
    // SAFETY: the child only calls `Prepared::run`, which makes raw system calls on memory prepared
    // above, and never returns.
    match unsafe { fork() }.map_err(fork_error)? {
        ForkResult::Child => prepared.run(),
        ForkResult::Parent { child } => {
            drop(report_write);
            started(child, report_read)
        }
    }
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
}

impl<'a> Prepared<'a> {
    fn new(launch: &'a Launch<'a>, streams: Streams<'a>, report: &OwnedFd) -> Self {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        Self {
            launch,
            streams: [streams.stdin, streams.stdout, streams.stderr].map(|fd| fd.as_raw_fd()),
            argv: pointers(launch.argv),
            env: pointers(launch.env),
            report: report.as_raw_fd(),
        }
    }

    /// The child: every step in order; the first failure is reported and ends it.
    fn run(&self) -> ! {
        for step in Step::ALL {
            if let Err(e) = self.take(step) {
                let mut report = [0; REPORT_LENGTH];
                report[0] = step as u8;
                report[1..].copy_from_slice(&(e as i32).to_ne_bytes());
                // SAFETY: writes five bytes that live across the call; `_exit` runs nothing of PID 1's.
                unsafe {
                    libc::write(self.report, report.as_ptr().cast(), REPORT_LENGTH);
                    libc::_exit(127);
                }
            }
        }
        // `execute` only returns with an error.
        // SAFETY: takes an integer.
        unsafe { libc::_exit(127) }
    }

    fn take(&self, step: Step) -> Result<(), Errno> {
        match step {
            Step::Session => set_session(),
            Step::Streams => self.connect_streams(),
            Step::Root => self.enter_root(),
            Step::Limits => set_limits(),
            Step::SystemCalls => seccomp::install(),
            Step::Capabilities => drop_capabilities(),
            Step::User => self.become_user(),
            Step::WorkingDirectory => self.enter_directory(),
            Step::Program => self.execute(),
        }
    }

    fn connect_streams(&self) -> Result<(), Errno> {
        for (to, from) in (0..).zip(self.streams) {
            // SAFETY: takes only integers. PID 1's own 0–2 are open, so every `from` is 3 or more and
            // no dup2 can overwrite one that is still needed.
            Errno::result(unsafe { libc::dup2(from, to) })?;
        }
        // SAFETY: takes only integers. Everything else closes at exec, marked so or not.
        Errno::result(unsafe {
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
        })
        .map(drop)
    }

    /// As switch_root(8): an initramfs is the root of all mounts and cannot be pivoted away, so the
    /// app's root is moved over it. `..` then ends at that mount, chroot or not.
    fn enter_root(&self) -> Result<(), Errno> {
        let (here, slash) = (c".".as_ptr(), c"/".as_ptr());
        let none = std::ptr::null();
        // SAFETY: every pointer is a NUL-terminated string that lives across the calls, or null where
        // mount(2) ignores the argument. The process has a single thread, so unshare affects it alone.
        unsafe {
            Errno::result(libc::unshare(libc::CLONE_NEWNS))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            Errno::result(libc::mount(none, slash, none, private, none.cast()))?;
            Errno::result(libc::chdir(self.launch.root.as_ptr()))?;
            Errno::result(libc::mount(here, slash, none, libc::MS_MOVE, none.cast()))?;
            Errno::result(libc::chroot(here))?;
            Errno::result(libc::chdir(slash)).map(drop)
        }
    }

    fn become_user(&self) -> Result<(), Errno> {
        let Launch { uid, gid, groups, .. } = *self.launch;
        // By the raw calls: glibc's wrappers signal every thread of the process, and this child has
        // none of them.
        // SAFETY: setgroups reads `groups.len()` ids, which live across the call; the others take
        // only integers.
        unsafe {
            Errno::result(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
            Errno::result(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            Errno::result(libc::syscall(libc::SYS_setresuid, uid, uid, uid)).map(drop)
        }
    }

    fn enter_directory(&self) -> Result<(), Errno> {
        // SAFETY: a NUL-terminated string that lives across the call.
        Errno::result(unsafe { libc::chdir(self.launch.cwd.as_ptr()) }).map(drop)
    }

    /// As execvp(3): a path that is absent or forbidden gives way to the next; "forbidden" is then the
    /// more telling error.
    fn execute(&self) -> Result<(), Errno> {
        reset_signals()?;
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

fn set_session() -> Result<(), Errno> {
    // SAFETY: no arguments; a freshly forked process never leads a group, so this cannot fail.
    Errno::result(unsafe { libc::setsid() }).map(drop)
}

/// No core files (a path out of the app's memory), and room for servers with many connections; the
/// soft limit stays where programs that walk all descriptors are quick.
fn set_limits() -> Result<(), Errno> {
    let limits = [
        (libc::RLIMIT_CORE, libc::rlimit { rlim_cur: 0, rlim_max: 0 }),
        (libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: 65_536, rlim_max: 524_288 }),
    ];
    for (resource, limit) in limits {
        // SAFETY: reads one `rlimit` that lives across the call.
        Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) })?;
    }
    Ok(())
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

/// Takes every other capability out of the bounding set. With an empty inheritable set, exec then
/// gives root exactly the kept ones, and any other user none (capabilities(7)).
fn drop_capabilities() -> Result<(), Errno> {
    for capability in (0..64).filter(|c| !KEPT_CAPABILITIES.contains(c)) {
        // SAFETY: takes only integers.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            // Numbers past the kernel's last capability.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Exec keeps blocked and ignored signals; PID 1 blocks SIGCHLD and its runtime ignores SIGPIPE.
fn reset_signals() -> Result<(), Errno> {
    // SAFETY: `sigset_t` is plain data that sigemptyset initialises; SIG_DFL installs no handler;
    // umask cannot fail.
    unsafe {
        libc::umask(0o022);
        if libc::signal(libc::SIGPIPE, libc::SIG_DFL) == libc::SIG_ERR {
            return Err(Errno::last());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        Errno::result(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())).map(drop)
    }
}
