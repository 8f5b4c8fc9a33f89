//! Machines that lack a program: each is named, with the command that installs it.

use super::{HELLO, Running, text};
use caution_system_tests::command::{Machine, Ran, finish};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Every program of this machine's `PATH` but some.
struct PathWithout(tempfile::TempDir);

impl PathWithout {
    #[expect(clippy::disallowed_methods, reason = "the machine at hand, minus a program")]
    fn new(missing: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = std::env::var_os("PATH").unwrap();
        for program in std::env::split_paths(&path).filter_map(|dir| fs::read_dir(dir).ok()).flatten() {
            let program = program.unwrap();
            if !missing.iter().any(|name| program.file_name() == OsStr::new(name)) {
                // The first folder of PATH that has a name wins; later ones find it taken.
                let _ = symlink(program.path(), folder.path().join(program.file_name()));
            }
        }
        Self(folder)
    }

    /// Runs `caution` where only these programs are.
    fn caution(&self, machine: &Machine, dir: &Path, args: &[&str]) -> Ran {
        finish(&machine.command(dir, args).env("PATH", self.0.path()).output().unwrap())
    }
}

#[test]
fn a_missing_git_is_named() {
    let (machine, path) = (Machine::new(), PathWithout::new(&["git"]));
    let ran = path.caution(&machine, &HELLO.repository.root, &["apps", "build"]).expect(1);
    for words in ["`git` is not installed", "apt-get install git"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn a_missing_engine_is_named_and_a_verifier_says_that_it_cannot_reproduce() {
    let hello = &*HELLO;
    let running = Running::honest();
    let path = PathWithout::new(&["docker", "podman", "buildah"]);
    let named = |text: &str| {
        for words in ["No container engine works here", "buildah"] {
            assert!(text.contains(words), "{text}");
        }
    };
    let clone = hello.repository.clone_of();
    let ran = path.caution(&running.machine, &clone.root, &["apps", "build"]).expect(1);
    named(&ran.stderr);
    assert!(ran.stderr.contains("apt-get install buildah"), "{}", ran.stderr);
    assert!(!clone.stage("output").exists());

    // Nothing is said against the enclave: the evidence held.
    let args = ["verify", "--json", "--no-cache"];
    let ran = path.caution(&running.machine, &hello.repository.root, &args).expect(16);
    let verdict = ran.json();
    assert_eq!(verdict["failure"], "cannot_reproduce");
    assert_eq!(super::check(&verdict, "evidence")["status"], "ok");
    let build = super::check(&verdict, "build").to_string();
    named(&build);
    assert!(build.contains("apt-get install buildah"), "{build}");
}

#[test]
fn a_missing_qemu_is_named() {
    let (machine, path) = (Machine::new(), PathWithout::new(&["qemu-system-x86_64"]));
    let args = ["apps", "run", "--eif", text(&HELLO.eif)];
    let ran = path.caution(&machine, &HELLO.repository.root, &args).expect(1);
    for words in ["QEMU is not installed", "qemu-system-x86_64", "apt-get install qemu-system-x86"] {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}
