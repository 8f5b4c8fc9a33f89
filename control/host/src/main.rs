//! The host agent as a program of its own, for machines that are looked after by an operator.
//!
//! `caution` embeds the same agent and starts it on demand.

use caution_host::agent::{AgentClient, Limits, ServeOptions, serve};
use caution_host::ingress::{Overrides, Settings};
use caution_host::{Dirs, DriverKind, DriverSettings, HostError, read_settings};
use serde::Deserialize;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: caution-host serve|drain [--config FILE] [--driver auto|qemu|nitro]";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    let outcome = match words.as_slice() {
        [command, ..] if *command == "internal" => return caution_host::internal(&args[1..]),
        [help] if *help == "--help" || *help == "-h" => {
            println!(
                "{USAGE}\n\nserve    looks after enclaves until SIGTERM; they go on without it\n\
                 drain    ends all enclaves and the agent; the next one starts them again"
            );
            return ExitCode::SUCCESS;
        }
        [command, rest @ ..] if *command == "serve" => configured(rest, run),
        [command, rest @ ..] if *command == "drain" => configured(rest, drain),
        _ => None,
    };
    match outcome {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("error: {USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Does something with the configuration that the arguments name; nothing where they are no such arguments.
fn configured(args: &[&OsStr], work: fn(&Config) -> Result<(), String>) -> Option<Result<(), String>> {
    let (mut file, mut driver) = (None, None);
    for flag in args.chunks(2) {
        match flag {
            [name, value] if *name == "--config" && file.is_none() => file = Some(Path::new(*value)),
            [name, value] if *name == "--driver" && driver.is_none() => {
                driver = Some(value.to_str()?.parse::<DriverKind>().ok()?);
            }
            _ => return None,
        }
    }
    let config = file.map_or_else(|| Ok(Config::default()), Config::read);
    Some(config.map_err(|error| sentence(&error)).and_then(|mut config| {
        config.driver.kind = driver.unwrap_or(config.driver.kind);
        work(&config)
    }))
}

fn run(config: &Config) -> Result<(), String> {
    let dirs = config.dirs()?;
    let (folder, state) = (dirs.runtime.join(".ingress"), dirs.state.join("ingress"));
    // Ports below 1024 are for root.
    let root = nix::unistd::Uid::effective().is_root();
    let base = if root { Settings::for_machine(folder, state) } else { Settings::for_user(folder, state) };
    let ingress = config.ingress.clone().over(base);
    let driver = config.driver.clone();
    let options = ServeOptions { limits: config.limits, ingress, driver, ..ServeOptions::default() };
    serve(&dirs, &options, &mut || {}).map_err(|error| sentence(&error))
}

fn drain(config: &Config) -> Result<(), String> {
    let enclaves = AgentClient::new(&config.dirs()?).drain().map_err(|error| sentence(&error))?;
    println!("{enclaves} enclaves were ended");
    Ok(())
}

/// As `caution` writes its errors: causes and advice on lines of their own.
fn sentence(error: &HostError) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| (*cause).source()) {
        let _ = write!(text, "\n  because: {cause}");
    }
    if let Some(fix) = error.fix() {
        let _ = write!(text, "\n  fix: {fix}");
    }
    text
}

/// The file of `--config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What must survive: apps, their images, logs, the development root.
    state: Option<PathBuf>,
    /// Sockets and records of running enclaves.
    runtime: Option<PathBuf>,
    /// Rebuildable data.
    cache: Option<PathBuf>,
    /// What enclaves may have together.
    #[serde(default)]
    limits: Limits,
    /// How apps are reached by HTTPS.
    #[serde(default)]
    ingress: Overrides,
    /// What runs enclaves.
    #[serde(default)]
    driver: DriverSettings,
}

impl Config {
    fn read(path: &Path) -> Result<Self, HostError> {
        let failed = |why: String| HostError::Settings { path: path.to_owned(), why };
        let config: Self = read_settings(path)?.ok_or_else(|| failed("there is no such file".to_owned()))?;
        let folders = [&config.state, &config.runtime, &config.cache].into_iter().flatten();
        for folder in folders {
            if !folder.is_absolute() {
                return Err(failed(format!("{} is not an absolute path", folder.display())));
            }
        }
        Ok(config)
    }

    /// The folders of the file, else those that systemd made for the service, else the user's own, which are those of
    /// the command line tool.
    fn dirs(&self) -> Result<Dirs, String> {
        let home = |below: &str| match variable("HOME") {
            Some(home) => Ok(home.join(below)),
            None => Err("The environment variable HOME is not set to an absolute path."),
        };
        let folder = |given: &Option<PathBuf>, service, base| {
            let given = given.clone().or_else(|| variable(service));
            given.or_else(|| Some(variable(base)?.join("caution")))
        };
        let state = folder(&self.state, "STATE_DIRECTORY", "XDG_STATE_HOME");
        let state = state.map_or_else(|| home(".local/state/caution"), Ok)?;
        let runtime = folder(&self.runtime, "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR");
        let runtime = runtime.unwrap_or_else(|| state.join("run"));
        let cache = folder(&self.cache, "CACHE_DIRECTORY", "XDG_CACHE_HOME");
        let cache = cache.map_or_else(|| home(".cache/caution"), Ok)?;
        Ok(Dirs { state, runtime, cache })
    }
}

/// An environment variable that holds an absolute path; others count as unset.
#[expect(clippy::disallowed_methods, reason = "the one place of this program that reads the environment")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, HostError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Config::read(file.path())
    }

    #[test]
    fn a_configuration_is_read_strictly() {
        let config =
            read("state = \"/s\"\nruntime = \"/r\"\ncache = \"/c\"\n[limits]\nmemory_mib = 4096\n").unwrap();
        let dirs = Dirs { state: "/s".into(), runtime: "/r".into(), cache: "/c".into() };
        assert_eq!(config.dirs().unwrap(), dirs);
        assert_eq!(config.limits, Limits { memory_mib: Some(4096), cpus: None });
        for (text, why) in [
            ("state = \"s\"", "s is not an absolute path"),
            ("memory = 1", "unknown field `memory`"),
            ("[limits]\nmemory_mib = -1", "memory_mib = -1"),
            (&"#".repeat(70_000), "more than 65536 bytes"),
        ] {
            let refused = read(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
    #[test]
    fn an_error_has_its_causes_and_what_to_do_about_it_below() {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = HostError::File { doing: "Writing", path: "/s/app.json".into(), cause };
        let lines = [
            "Writing /s/app.json failed.",
            "  because: no storage space",
            "  fix: make room on the file system of /s/app.json",
        ];
        assert_eq!(sentence(&error), lines.join("\n"));
        let missing = Config::read(Path::new("/nonexistent.toml")).unwrap_err();
        assert_eq!(sentence(&missing), "/nonexistent.toml cannot be used: there is no such file");
    }
}
