//! Child processes: a listed environment, a fixed umask, bounded output.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables every child may see: where programs, homes and temporary folders are.
const COMMON: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

/// How an engine reaches a registry.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// A command with nothing in its environment but the common variables, those of `also` that are
/// set, and a fixed locale and time zone, so that a user's settings cannot change bytes.
pub(crate) fn command(program: &Path, also: &[&str]) -> Command {
    let mut command = Command::new(program);
    with_listed_environment(&mut command, also);
    command
}

/// Like [`command`], for an engine: it may see the proxies, and runs under umask 022, since what its RUN
/// steps create must not depend on the caller's umask. The shell is the only way to set it for a child
/// without `unsafe`.
///
/// It dies with the thread that starts it: an engine that outlived a killed build would go on writing
/// where the next one works. `setpriv` belongs to util-linux, like `unshare`.
pub(crate) fn command_with_fixed_umask(program: &Path, also: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg("umask 022 && exec setpriv --pdeathsig KILL -- \"$0\" \"$@\"").arg(program);
    with_listed_environment(&mut command, PROXIES.iter().chain(also));
    command
}

fn with_listed_environment<'a>(command: &mut Command, also: impl IntoIterator<Item = &'a &'a str>) {
    command.env_clear();
    for name in COMMON.iter().chain(also) {
        let value =
            if *name == "PATH" { inherited(name).and_then(|path| absolute(&path)) } else { inherited(name) };
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
}

/// The first executable file called `name` on `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = inherited("PATH")?;
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(
        |candidate| candidate.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0),
    )
}

/// A `PATH` without relative folders: where a child runs there are files of strangers. `None` where nothing
/// is left, since an empty one means the current folder.
fn absolute(path: &OsStr) -> Option<OsString> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    std::env::join_paths(folders).ok().filter(|path| !path.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that hands listed variables on to child processes; none of them decides bytes"
)]
fn inherited(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_see_the_listed_environment_and_a_fixed_umask() {
        let output = command_with_fixed_umask(Path::new("/bin/sh"), &[])
            .args(["-c", "umask; env"])
            .output()
            .expect("sh runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().next(), Some("0022"));
        assert!(text.contains("TZ=UTC\n") && text.contains("LC_ALL=C.UTF-8\n"), "{text}");
        assert!(!text.contains("CARGO_MANIFEST_DIR"), "{text}");
    }

    #[test]
    fn programs_of_the_folder_a_child_runs_in_are_not_on_its_path() {
        for (path, expected) in [
            ("/usr/bin:/bin", Some("/usr/bin:/bin")),
            (".:/usr/bin", Some("/usr/bin")),
            (":/a b::bin:", Some("/a b")),
            (".", None),
            ("", None),
        ] {
            assert_eq!(absolute(OsStr::new(path)).as_deref(), expected.map(OsStr::new), "{path}");
        }
    }

    #[test]
    fn programs_are_found_on_the_path_or_not_at_all() {
        assert!(find_program("sh").is_some_and(|p| p.is_absolute()));
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }

    #[test]
    fn an_engine_dies_with_the_build_that_started_it() {
        use std::io::Read as _;
        use std::os::unix::process::ExitStatusExt as _;
        let build = std::thread::spawn(|| {
            let mut engine = command_with_fixed_umask(Path::new("/bin/sh"), &[])
                .args(["-c", "echo; exec sleep 1000"])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("starts");
            // It runs, and so the signal is set.
            engine.stdout.take().expect("is piped").read_exact(&mut [0]).expect("speaks");
            engine
        });
        let mut engine = build.join().expect("ends");
        assert_eq!(engine.wait().expect("ends").signal(), Some(9));
    }
}
