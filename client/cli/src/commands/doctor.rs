//! `caution doctor`: what this machine has of what is needed, and how to get the rest.

use crate::Context;
use crate::error::Exit;
use crate::platform::{Platform, ssh};
use crate::terminal::Look;
use caution_appspec::printable;
use caution_build::EngineName;
use serde::Serialize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Arguments of `caution doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    found: String,
    fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// It does without.
    Note,
    /// Something does not work without it.
    Missing,
}

pub(crate) fn run(context: &Context, _: &Args) -> u8 {
    let findings = look(context);
    let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "missing": missing, "findings": findings }));
    } else {
        for finding in &findings {
            context.terminal.result(&line(context, finding));
        }
        let text = match missing {
            0 => "\nNothing is missing.\n".to_owned(),
            1 => "\n1 thing is missing.\n".to_owned(),
            n => format!("\n{n} things are missing.\n"),
        };
        context.terminal.result(&text);
    }
    if missing == 0 { 0 } else { Exit::CannotReproduce.code() }
}

fn line(context: &Context, finding: &Finding) -> String {
    let (look, mark) = match finding.state {
        State::Ok => (Look::Good, "✓"),
        State::Note => (Look::Faint, "–"),
        State::Missing => (Look::Bad, "✗"),
    };
    let mark = context.terminal.paint(look, mark);
    let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!("\n                fix: {fix}"));
    format!("  {mark} {:<11} {}{fix}\n", finding.name, printable(&finding.found))
}

fn look(context: &Context) -> Vec<Finding> {
    let nitro = Path::new("/dev/nitro_enclaves").exists();
    vec![
        Finding::ok("caution", env!("CARGO_PKG_VERSION")),
        cautiond(),
        program("git", "git", "--version", "apt-get install git"),
        program("ssh", "ssh", "-V", "apt-get install openssh-client"),
        engine(),
        if nitro {
            Finding::ok("enclaves", "AWS Nitro (/dev/nitro_enclaves)")
        } else {
            program("QEMU", "qemu-system-x86_64", "--version", "apt-get install qemu-system-x86")
        },
        kvm(nitro),
        enclaveos(&context.config.cache),
        // Apps are reached at their ports without it, and have no network.
        at(program("Caddy", "caddy", "version", "apt-get install caddy      (HTTPS)"), State::Note),
        at(
            program("passt", "passt", "--version", "apt-get install passt      (apps that reach out)"),
            State::Note,
        ),
        platform(context),
        key(context),
    ]
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), fix: None }
    }

    fn lacks(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Missing, found: found.into(), fix: Some(fix.into()) }
    }
}

/// The same where it counts for something else that it is not there.
fn at(finding: Finding, state: State) -> Finding {
    if finding.state == State::Missing { Finding { state, ..finding } } else { finding }
}

fn program(name: &'static str, program: &str, asked: &str, fix: &str) -> Finding {
    match says(Path::new(program), asked) {
        Ok(version) => Finding::ok(name, version),
        Err(why) => Finding::lacks(name, why, fix),
    }
}

/// The first line that a program says of itself.
fn says(program: &Path, asked: &str) -> Result<String, String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let output = Command::new(program).args(asked.split(' ')).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
            let text = String::from_utf8_lossy(&said);
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or(&name);
            Ok(first.trim().chars().take(100).collect())
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let why = text.lines().next().map_or_else(|| output.status.to_string(), str::to_owned);
            Err(format!("`{name}` does not work: {}", why.trim()))
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("`{name}` is not installed"))
        }
        Err(cause) => Err(format!("`{name}` cannot be started: {cause}")),
    }
}

fn cautiond() -> Finding {
    const FIX: &str = "make build      (builds both from one source)";
    let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("cautiond")));
    let Some(path) = own.filter(|path| path.is_file()) else {
        return Finding::lacks("cautiond", "`cautiond` is not beside this command: no platform here", FIX);
    };
    let ours = concat!("cautiond ", env!("CARGO_PKG_VERSION"));
    match says(&path, "--version") {
        Ok(version) if version == ours => Finding::ok("cautiond", env!("CARGO_PKG_VERSION")),
        Ok(version) => Finding::lacks("cautiond", format!("{version}, of another version"), FIX),
        Err(why) => Finding::lacks("cautiond", why, FIX),
    }
}

/// The first engine that answers: a client whose daemon does not run builds nothing.
fn engine() -> Finding {
    let mut why = Vec::new();
    for name in EngineName::ALL {
        let asked = if name == EngineName::Buildah { "--version" } else { "info" };
        match says(Path::new(name.as_str()), asked) {
            Ok(_) => return Finding::ok("engine", name.as_str()),
            Err(reason) => why.push(reason),
        }
    }
    Finding::lacks("engine", why.join("; "), "apt-get install buildah crun fuse-overlayfs")
}

fn kvm(nitro: bool) -> Finding {
    let device = Path::new("/dev/kvm").exists();
    let (state, found) = match (nitro, device) {
        (true, _) => (State::Ok, "not needed"),
        (false, true) => (State::Ok, "/dev/kvm; a boot proves that it works before it is used"),
        (false, false) => (State::Note, "no /dev/kvm: enclaves are emulated, which is slower"),
    };
    Finding { name: "KVM", state, found: found.to_owned(), fix: None }
}

fn enclaveos(cache: &Path) -> Finding {
    match caution_enclaveos::default_release(cache) {
        Ok(release) => {
            Finding::ok("EnclaveOS", format!("{} · {}", release.reference().version, release.id()))
        }
        Err(error) => Finding::lacks(
            "EnclaveOS",
            error.to_string(),
            error.fix().unwrap_or_else(|| "caution enclaveos build".to_owned()),
        ),
    }
}

fn platform(context: &Context) -> Finding {
    let none = |found: &str| Finding {
        name: "platform",
        state: State::Note,
        found: found.to_owned(),
        fix: Some("caution up".to_owned()),
    };
    match Platform::known(context) {
        Ok(None) => none("none was started on this machine"),
        Ok(Some(platform)) => match platform.whoami() {
            Ok(me) => Finding::ok("platform", format!("{} knows you as {}", platform.api(), me.account.name)),
            Err(error) => none(&error.summary()),
        },
        Err(error) => Finding::lacks("platform", error.summary(), "caution up"),
    }
}

fn key(context: &Context) -> Finding {
    let path = ssh::key(context);
    let shown = path.display();
    match path.metadata() {
        Err(_) => Finding {
            name: "git key",
            state: State::Note,
            found: format!("{shown} is not there yet"),
            fix: Some("caution up      (makes it)".to_owned()),
        },
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            Finding::lacks("git key", format!("{shown} can be read by others"), format!("chmod 600 {shown}"))
        }
        Ok(_) => Finding::ok("git key", shown.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_there_broken_or_missing() {
        assert_eq!(program("x", "echo", "1.2", "").found, "1.2");
        let broken = program("x", "false", "", "mend it");
        assert_eq!((broken.state, broken.fix.as_deref()), (State::Missing, Some("mend it")));
        let none = program("x", "no-such-program-here", "", "get it");
        assert_eq!(none.found, "`no-such-program-here` is not installed");
        assert_eq!(at(none, State::Note).state, State::Note);
    }
}
