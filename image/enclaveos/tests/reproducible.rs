//! Another folder, user, home, umask and time give the same bytes.
//!
//! A process cannot change these for itself, so each build runs in a child: this test program again, with
//! [`child`] as its only test and a folder that holds the job.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that goes wrong")]

use caution_enclaveos::{BuildOptions, build_kernel, build_userland};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_ramdisk_and_the_assembler_have_the_same_bytes_everywhere() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::Builder::new().prefix("a rather longer name, with spaces ").tempdir().unwrap();
    let places = [Place::new(here.path(), "022", "root"), Place::new(there.path(), "077", "somebody")];
    for place in &places {
        place.build("userland");
    }
    for what in ["ramdisk", "assembler"] {
        let [one, other] = places.each_ref().map(|place| place.result(what));
        assert!(one.len() > 10_000, "{} bytes are no {what}", one.len());
        assert!(one == other, "the {what}s differ, from byte {:?}", first_difference(&one, &other));
    }
}

#[test]
#[ignore = "compiles the kernel twice, ten minutes; part of `make test-long`"]
fn the_kernel_has_the_same_bytes_everywhere() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::Builder::new().prefix("a-rather-longer-name").tempdir().unwrap();
    let places = [Place::new(here.path(), "022", "root"), Place::new(there.path(), "077", "somebody")];
    let [one, other] = places.map(|place| {
        place.build("kernel");
        place.result("kernel")
    });
    assert!(one.len() > 1_000_000, "{} bytes are no kernel", one.len());
    assert!(one == other, "the kernels differ, from byte {:?}", first_difference(&one, &other));
}

#[test]
#[ignore = "does nothing by itself: the other tests run it in a child"]
fn child() {
    let Ok(what) = fs::read_to_string("job") else { return };
    let options = BuildOptions {
        source: Path::new("source"),
        cache: Path::new("cache"),
        rebuild: false,
        make_default: true,
        notify: &|line| eprintln!("{line}"),
    };
    match what.as_str() {
        "userland" => {
            let release = build_userland(&options, b"a kernel").unwrap_or_else(|error| panic!("{error}"));
            fs::copy(release.ramdisk_path(), "ramdisk").unwrap();
            fs::copy(release.assembler().expect("was built").archive, "assembler").unwrap();
        }
        "kernel" => {
            let kernel = build_kernel(&options).unwrap_or_else(|error| panic!("{error}"));
            fs::write("kernel", kernel).unwrap();
        }
        other => panic!("unknown job {other}"),
    }
}

/// A folder with a checkout, a home and a cache of its own.
struct Place {
    folder: PathBuf,
    umask: &'static str,
    user: &'static str,
}

impl Place {
    fn new(folder: &Path, umask: &'static str, user: &'static str) -> Self {
        let repository = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
        copy(&repository, &folder.join("source"));
        let homes = Homes::of_this_process();
        fs::create_dir_all(folder.join("cargo")).unwrap();
        // The same downloads under another path.
        symlink(homes.cargo.join("registry"), folder.join("cargo/registry")).unwrap();
        fs::create_dir_all(folder.join("cache/sources")).unwrap();
        // The kernel's source, where a build of this machine has fetched it already.
        if let Ok(sources) = fs::read_dir(homes.user.join(".cache/caution/sources")) {
            for source in sources {
                let source = source.unwrap();
                symlink(source.path(), folder.join("cache/sources").join(source.file_name())).unwrap();
            }
        }
        Self { folder: folder.to_owned(), umask, user }
    }

    fn result(&self, what: &str) -> Vec<u8> {
        fs::read(self.folder.join(what)).unwrap()
    }

    fn build(&self, what: &str) {
        fs::write(self.folder.join("job"), what).unwrap();
        let homes = Homes::of_this_process();
        let output = Command::new("/bin/sh")
            .args(["-c", &format!("umask {}; exec \"$0\" \"$@\"", self.umask)])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("CARGO_HOME", self.folder.join("cargo"))
            .env("RUSTUP_HOME", homes.rustup)
            .env("USER", self.user)
            .env("LOGNAME", self.user)
            .env("TZ", if self.user == "root" { "UTC" } else { "Asia/Tokyo" })
            .env("LANG", if self.user == "root" { "C" } else { "de_DE.UTF-8" })
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

struct Homes {
    user: PathBuf,
    cargo: PathBuf,
    rustup: PathBuf,
}

impl Homes {
    #[expect(clippy::disallowed_methods, reason = "the children's homes differ from those of this process")]
    fn of_this_process() -> Self {
        let user = PathBuf::from(std::env::var_os("HOME").unwrap());
        let get = |name, default: &str| {
            std::env::var_os(name).map_or_else(|| user.join(default), |home: OsString| home.into())
        };
        Self { cargo: get("CARGO_HOME", ".cargo"), rustup: get("RUSTUP_HOME", ".rustup"), user: user.clone() }
    }
}

/// Copies a checkout without what git and compilers keep in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let kind = entry.file_type().unwrap();
        let skipped = name.to_string_lossy().starts_with('.') || name == "target" || name == "node_modules";
        if kind.is_dir() && !skipped {
            copy(&entry.path(), &to.join(&name));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    one.iter().zip(other).position(|(a, b)| a != b)
}
