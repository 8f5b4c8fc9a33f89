//! What a child does between fork and exec to have less than PID 1: raw calls on memory prepared before.
//!
//! PID 1 has threads, and the child of a threaded process may only make async-signal-safe calls (fork(2)).

use crate::mount::NO_ALL;
use nix::errno::Errno;
use nix::libc;
use nix::mount::MsFlags;
use std::ffi::CStr;
use std::os::fd::RawFd;

/// A session of its own.
pub(crate) fn set_session() -> Result<(), Errno> {
    // SAFETY: no arguments; a freshly forked process never leads a group, so this cannot fail.
    Errno::result(unsafe { libc::setsid() }).map(drop)
}

/// These descriptors become 0, 1, 2, …; no other survives the coming exec.
pub(crate) fn keep_only(descriptors: &[RawFd]) -> Result<(), Errno> {
    for (to, from) in (0..).zip(descriptors.iter().copied()) {
        // SAFETY: takes only integers. The caller's are all above those they become.
        Errno::result(unsafe { libc::dup2(from, to) })?;
    }
    // SAFETY: takes only integers. Everything else closes at exec, marked so or not.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_close_range, descriptors.len(), libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// mount(2), which ignores what is empty here.
pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: MsFlags,
    data: &CStr,
) -> Result<(), Errno> {
    // SAFETY: every pointer is a NUL-terminated string that lives across the call.
    let mounted = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags.bits(), data.as_ptr().cast())
    };
    Errno::result(mounted).map(drop)
}

/// As switch_root(8): an initramfs is the root of all mounts and cannot be pivoted away, so the
/// process's root is moved over it. `..` then ends at that mount, chroot or not.
pub(crate) fn enter_root(root: &CStr) -> Result<(), Errno> {
    own_mounts()?;
    // SAFETY: the strings are NUL-terminated and live across the calls.
    unsafe {
        Errno::result(libc::chdir(root.as_ptr()))?;
        mount(c".", c"/", c"", MsFlags::MS_MOVE, c"")?;
        Errno::result(libc::chroot(c".".as_ptr()))?;
        Errno::result(libc::chdir(c"/".as_ptr())).map(drop)
    }
}

/// The same for a folder of nothing.
pub(crate) fn enter_empty_root() -> Result<(), Errno> {
    own_mounts()?;
    mount(c"tmpfs", c"/proc", c"tmpfs", NO_ALL | MsFlags::MS_RDONLY, c"size=0,mode=0555")?;
    enter_root(c"/proc")
}

/// A mount namespace of its own, in which nothing is seen from outside.
fn own_mounts() -> Result<(), Errno> {
    // SAFETY: takes only integers. The process has a single thread, so unshare affects it alone.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"", c"/", c"", MsFlags::MS_REC | MsFlags::MS_PRIVATE, c"")
}

/// No core files (a path out of the app's memory), and room for servers with many connections; the
/// soft limit stays where programs that walk all descriptors are quick.
pub(crate) fn set_limits() -> Result<(), Errno> {
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

/// Takes every capability but `kept` out of the bounding set. With an empty inheritable set, exec then
/// gives root exactly the kept ones, and any other user none (capabilities(7)).
pub(crate) fn keep_capabilities(kept: &[u32]) -> Result<(), Errno> {
    for capability in (0..64).filter(|c| !kept.contains(c)) {
        // SAFETY: takes only integers.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            // Numbers past the kernel's last capability.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Another user, and no group but these.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
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

/// Nobody without CAP_SYS_PTRACE looks into this process, whoever its user is (prctl(2)).
pub(crate) fn hide_memory() -> Result<(), Errno> {
    // SAFETY: takes only integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// No program of another user's rights.
pub(crate) fn no_new_privileges() -> Result<(), Errno> {
    // SAFETY: takes only integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Exec keeps blocked and ignored signals; PID 1 blocks SIGCHLD and its runtime ignores SIGPIPE.
pub(crate) fn reset_signals() -> Result<(), Errno> {
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
