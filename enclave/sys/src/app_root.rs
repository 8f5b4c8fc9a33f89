//! The app's root: what is mounted, made and closed below `/rootfs` before the app starts.
//!
//! Done once, in PID 1's own mount namespace, so that it can be ordinary code; every start of the app
//! copies that namespace. Files the app writes therefore survive its restarts, as in a container.
//!
//! All but /proc: it shows the processes of whoever mounts it, so each start does that inside its own namespace.

use crate::confine;
use crate::mount::{Mount, MountError, NO_ALL, mount_all};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Why an app's root could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppRootError {
    /// Ramdisk 1 holds no root.
    #[error("the image holds no directory {0}")]
    Missing(String),
    /// Something else lies where a file system has to be mounted.
    #[error("the app's /{0} is not a directory")]
    NotADirectory(&'static str),
    /// A mount failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A directory, node or link could not be made.
    #[error("the app's {what} could not be made")]
    Make {
        /// Path below the root.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A prepared root.
#[derive(Debug)]
pub struct AppRoot {
    path: CString,
    /// Parts of its /proc that are closed, as paths inside.
    closed: Vec<(CString, Closed)>,
}

/// How a part of /proc is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    ReadOnly,
    HiddenDirectory,
    HiddenFile,
}

/// Prepares `root`.
pub fn prepare(root: &Path) -> Result<AppRoot, AppRootError> {
    if !fs::symlink_metadata(root).is_ok_and(|m| m.is_dir()) {
        return Err(AppRootError::Missing(root.display().to_string()));
    }
    bind_without_devices(root).map_err(make("/"))?;
    for (name, mode, exact) in DIRECTORIES {
        directory(root, name, mode, exact)?;
    }
    mount_all(root, &MOUNTS)?;
    for (name, major, minor) in NODES {
        let path = root.join("dev").join(name);
        let made =
            mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(major, minor)).map_err(io::Error::from);
        made.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o666))).map_err(make(name))?;
    }
    for (name, target) in LINKS {
        symlink(target, root.join("dev").join(name)).map_err(make(name))?;
    }
    provide_hosts(root).map_err(make("etc/hosts"))?;
    let path = CString::new(root.as_os_str().as_bytes()).map_err(|e| make("/")(e.into()))?;
    Ok(AppRoot { path, closed: closed_proc(Path::new("/proc")) })
}

/// Opens `path` for reading as a process inside `root` would: links are followed, never out of it.
pub fn open_inside(root: &Path, path: &Path) -> io::Result<File> {
    let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK);
    open_how(root, path, how)
}

fn open_how(root: &Path, path: &Path, how: OpenHow) -> io::Result<File> {
    let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(root, directory, Mode::empty())?;
    let how = how.resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(openat2(root, path, how)?.into())
}

/// A mount point of its own, to be moved later; nodev: a device node in the image (the security
/// module's, memory, …) opens nothing. Set-user-id programs keep working.
fn bind_without_devices(root: &Path) -> io::Result<()> {
    let none = None::<&str>;
    mount(Some(root), root, none, MsFlags::MS_BIND, none)?;
    mount(none, root, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV, none)?;
    Ok(())
}

/// Makes `root/name` where it is absent. `exact`: nothing but a real directory may lie there, as a
/// link would lead the coming mount out of the root.
fn directory(root: &Path, name: &'static str, mode: u32, exact: bool) -> Result<(), AppRootError> {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .map_err(make(name)),
        Ok(found) if exact && !found.is_dir() => Err(AppRootError::NotADirectory(name)),
        Ok(_) => Ok(()),
        Err(e) => Err(make(name)(e)),
    }
}

/// The parts of /proc through which root could steer the kernel, to be read-only, and those that tell of it, to be
/// hidden: the lists of the OCI runtime's default specification, as far as this kernel has them.
fn closed_proc(proc: &Path) -> Vec<(CString, Closed)> {
    let read_only = READ_ONLY_PROC.iter().filter(|name| proc.join(name).exists());
    let read_only = read_only.map(|name| (*name, Closed::ReadOnly));
    let hidden = HIDDEN_PROC.iter().filter_map(|name| {
        let is_dir = fs::metadata(proc.join(name)).ok()?.is_dir();
        Some((*name, if is_dir { Closed::HiddenDirectory } else { Closed::HiddenFile }))
    });
    let inside = |name| CString::new(format!("/proc/{name}")).ok();
    read_only.chain(hidden).filter_map(|(name, closed)| Some((inside(name)?, closed))).collect()
}

impl AppRoot {
    /// Where it is in PID 1's view.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// Mounts /proc of the calling process's namespace, whose root this is by now, and closes parts of it.
    /// Async-signal-safe.
    pub(crate) fn mount_proc(&self) -> Result<(), Errno> {
        confine::mount(c"proc", c"/proc", c"proc", NO_ALL, c"hidepid=2")?;
        let (none, bind) = (c"", MsFlags::MS_BIND);
        for (path, closed) in &self.closed {
            match closed {
                Closed::ReadOnly => {
                    confine::mount(path, path, none, bind, none)?;
                    let flags = MsFlags::MS_REMOUNT | bind | MsFlags::MS_RDONLY | NO_ALL;
                    confine::mount(none, path, none, flags, none)?;
                }
                Closed::HiddenDirectory => {
                    confine::mount(c"tmpfs", path, c"tmpfs", NO_ALL | MsFlags::MS_RDONLY, c"size=0")?;
                }
                Closed::HiddenFile => confine::mount(c"/dev/null", path, none, bind, none)?,
            }
        }
        Ok(())
    }
}

/// Writes `/etc/hosts` where the image has none or an empty one; the root lies in memory, so the
/// image stays what it is. What the image does say about names is measured and left alone.
fn provide_hosts(root: &Path) -> io::Result<()> {
    use std::io::Write as _;
    directory(root, "etc", 0o755, false).map_err(|_| io::ErrorKind::NotADirectory)?;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let how = OpenHow::new().flags(flags).mode(Mode::from_bits_truncate(0o644));
    let mut hosts = open_how(root, Path::new("etc/hosts"), how)?;
    if hosts.metadata()?.len() == 0 {
        hosts.write_all(b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")?;
    }
    Ok(())
}

/// Makes `/etc/resolv.conf` name the resolver on loopback, whatever the image has there: no other one can
/// be reached. A link is replaced, not followed.
pub fn provide_resolver(root: &Path) -> Result<(), AppRootError> {
    let made = directory(root, "etc", 0o755, false);
    made.and_then(|()| write_resolver(root).map_err(make("etc/resolv.conf")))
}

fn write_resolver(root: &Path) -> io::Result<()> {
    use std::io::Write as _;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC);
    let etc = open_how(root, Path::new("etc"), how)?;
    match unlinkat(&etc, "resolv.conf", UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(&etc, "resolv.conf", flags, Mode::from_bits_truncate(0o644))?;
    File::from(file).write_all(b"nameserver 127.0.0.1\n")
}

fn make(what: &'static str) -> impl Fn(io::Error) -> AppRootError {
    move |source| AppRootError::Make { what, source }
}

/// Name, mode when made, whether it must be a real directory.
const DIRECTORIES: [(&str, u32, bool); 5] = [
    ("dev", 0o755, true),
    ("proc", 0o555, true),
    ("sys", 0o555, true),
    ("tmp", 0o1777, false),
    ("run", 0o755, false),
];

const MOUNTS: [Mount; 4] = [
    Mount {
        kind: "tmpfs",
        target: "dev",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: Some("mode=0755,size=1m"),
    },
    Mount {
        kind: "devpts",
        target: "dev/pts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: Some("newinstance,ptmxmode=0666,mode=0620,gid=5"),
    },
    Mount { kind: "tmpfs", target: "dev/shm", flags: NO_ALL, data: Some("mode=1777") },
    Mount { kind: "sysfs", target: "sys", flags: NO_ALL.union(MsFlags::MS_RDONLY), data: None },
];

/// Name, major, minor (kernel `Documentation/admin-guide/devices.txt`). Not `nsm`: documents come
/// from attestd alone.
const NODES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

const READ_ONLY_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const HIDDEN_PROC: [&str; 8] =
    ["acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "timer_list", "scsi"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/inside"), "inside").unwrap();
        symlink("/etc/inside", root.path().join("absolute")).unwrap();
        symlink("../../../../../etc/inside", root.path().join("climbing")).unwrap();
        symlink("/etc/passwd", root.path().join("outside")).unwrap();
        for name in ["absolute", "climbing"] {
            let mut text = String::new();
            open_inside(root.path(), Path::new(name)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside");
        }
        let outside = open_inside(root.path(), Path::new("outside"));
        assert_eq!(outside.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn hosts_are_only_written_where_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        let read = || fs::read_to_string(root.path().join("etc/hosts")).unwrap();
        provide_hosts(root.path()).unwrap();
        assert!(read().starts_with("127.0.0.1\tlocalhost\n"));
        fs::write(root.path().join("etc/hosts"), "10.0.0.1 x\n").unwrap();
        provide_hosts(root.path()).unwrap();
        assert_eq!(read(), "10.0.0.1 x\n");
    }

    #[test]
    fn the_resolver_is_named_in_place_of_what_the_image_has() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("etc/resolv.conf");
        let outside = root.path().join("outside");
        fs::write(&outside, "untouched").unwrap();
        for prepare in [0, 1, 2] {
            match prepare {
                1 => fs::write(&path, "nameserver 10.0.0.1\n").unwrap(),
                2 => {
                    fs::remove_file(&path).unwrap();
                    symlink("../outside", &path).unwrap();
                }
                _ => {}
            }
            provide_resolver(root.path()).unwrap();
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(fs::read_to_string(&path).unwrap(), "nameserver 127.0.0.1\n");
        }
        assert_eq!(fs::read_to_string(outside).unwrap(), "untouched");
    }

    #[test]
    fn a_link_where_a_mount_goes_is_refused() {
        let root = tempfile::tempdir().unwrap();
        symlink("/", root.path().join("proc")).unwrap();
        let refused = directory(root.path(), "proc", 0o555, true);
        assert!(matches!(refused, Err(AppRootError::NotADirectory("proc"))));
        directory(root.path(), "dev", 0o755, true).unwrap();
        assert!(root.path().join("dev").is_dir());
    }

    #[test]
    fn parts_of_proc_are_closed_as_far_as_there_are_any() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("sys")).unwrap();
        fs::create_dir(proc.path().join("acpi")).unwrap();
        fs::write(proc.path().join("keys"), "").unwrap();
        let closed = closed_proc(proc.path());
        let closed: Vec<_> = closed.iter().map(|(path, how)| (path.to_str().unwrap(), *how)).collect();
        let expected = [
            ("/proc/sys", Closed::ReadOnly),
            ("/proc/acpi", Closed::HiddenDirectory),
            ("/proc/keys", Closed::HiddenFile),
        ];
        assert_eq!(closed, expected);
    }

    #[test]
    fn an_absent_root_is_named() {
        let refused = prepare(Path::new("/nonexistent/rootfs"));
        assert!(matches!(refused, Err(AppRootError::Missing(path)) if path == "/nonexistent/rootfs"));
    }
}
