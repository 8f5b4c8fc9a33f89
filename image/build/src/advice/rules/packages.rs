//! Packages that no lock file, version or digest decides.

use super::about;
use crate::advice::shell::Command;
use crate::advice::{Advice, File, Step};

pub(super) fn system(file: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let fix = match (command.program(), command.verb()) {
        ("apt-get" | "apt" | "aptitude", "install") => {
            "let apt read one day of snapshot.debian.org before (`deb [check-valid-until=no] \
             https://snapshot.debian.org/archive/debian/<day>T000000Z …`), or name versions: `curl=7.88.1-10`"
        }
        ("apk", "add") => {
            "name versions: `curl=8.11.1-r0`, or take the packages from an image pinned by digest"
        }
        ("dnf" | "microdnf" | "yum" | "zypper", "install") => "name versions: `curl-8.6.0-8.fc40`",
        ("pacman", _) if command.arguments().iter().any(|word| word.starts_with("-S")) => {
            "use one day of archive.archlinux.org as the mirror"
        }
        _ => return None,
    };
    let snapshot = ["snapshot.debian.org", "snapshot.ubuntu.com", "archive.archlinux.org"];
    let versioned = |name: &str| name.contains('=') || name.contains("./") || name.contains(".deb");
    let mut operands = command.operands().peekable();
    if snapshot.iter().any(|name| file.mentions(name)) || operands.peek().is_some() && operands.all(versioned)
    {
        return None;
    }
    Some(about(
        command,
        "system-packages-unpinned",
        "It installs whatever versions the mirror has that day.",
        fix,
    ))
}

pub(super) fn pip(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let module = command.program().starts_with("python")
        && command.arguments().starts_with(&["-m".into(), "pip".into()]);
    let uses_pip = matches!(command.program(), "pip" | "pip3") || module;
    let installs = command.has("install");
    let local = command.has("--no-deps") || command.has("--no-index");
    if !uses_pip || !installs || local || command.has("--require-hashes") {
        return None;
    }
    Some(about(
        command,
        "pip-without-hashes",
        "It installs the newest versions that fit, and their newest dependencies.",
        "pip install --require-hashes -r requirements.txt, where `pip-compile --generate-hashes` writes that file",
    ))
}

pub(super) fn node(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let frozen = ["--frozen-lockfile", "--immutable"].iter().any(|flag| command.has(flag));
    let global = command.has("-g") || command.has("--global");
    let versioned = |name: &str| name.rfind('@').is_some_and(|at| at > 0);
    let fix = match (command.program(), command.verb()) {
        ("npm", "install" | "i" | "add") if global => {
            if command.operands().all(versioned) {
                return None;
            }
            "name versions: `npm install -g typescript@5.6.3`"
        }
        ("npm", "install" | "i") => "npm ci (it installs exactly what package-lock.json says)",
        ("yarn", "install" | "") if !frozen => "yarn install --immutable (--frozen-lockfile before yarn 2)",
        ("pnpm", "install" | "i") if !frozen => "pnpm install --frozen-lockfile",
        _ => return None,
    };
    Some(about(
        command,
        "node-packages-unlocked",
        "It may take newer packages than the lock file names.",
        fix,
    ))
}

pub(super) fn cargo(_: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    let locked = ["--locked", "--frozen"].iter().any(|flag| command.has(flag));
    let builds = matches!(command.verb(), "build" | "install" | "fetch" | "run" | "test");
    if command.program() != "cargo" || !builds || locked {
        return None;
    }
    Some(about(
        command,
        "cargo-unlocked",
        "Where Cargo.lock does not fit Cargo.toml it takes newer crates without a word.",
        format!("cargo {} --locked", command.verb()),
    ))
}

pub(super) fn go(file: &File<'_>, _: &Step, command: &Command) -> Option<Advice> {
    if command.program() != "go" || !matches!(command.verb(), "build" | "install") {
        return None;
    }
    let latest = command.operands().find(|word| word.ends_with("@latest"));
    if latest.is_some() {
        let why = "`@latest` is another version whenever one is released.";
        return Some(about(command, "go-latest", why, "name the version: `@v1.2.3`"));
    }
    if command.has("-trimpath") || file.mentions("GOFLAGS=-trimpath") || file.mentions("GOFLAGS=\"-trimpath")
    {
        return None;
    }
    let why = "The program holds the paths of the folders it was compiled in.";
    Some(about(command, "go-without-trimpath", why, "go build -trimpath -buildvcs=false"))
}
