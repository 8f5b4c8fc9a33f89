//! The host agent as a program of its own, for machines that are looked after by an operator.
//!
//! `caution` embeds the same agent and starts it on demand.

use caution_host::agent::{AgentClient, Limits, ServeOptions, serve};
use caution_host::ingress::{Overrides, Settings};
use caution_host::{Dirs, HostError};
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: caution-host serve|drain [--config FILE]";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
    let outcome = match words.as_slice() {
        [command, rest @ ..] if *command == "internal" => {
            let rest: Vec<OsString> = rest.iter().map(OsString::from).collect();
            return caution_host::internal(&rest);
        }
        [command] if *command == "serve" => run(&Config::default()),
        [command, flag, file] if *command == "serve" && *flag == "--config" => {
            Config::read(Path::new(file)).and_then(|config| run(&config))
        }
        [command] if *command == "drain" => drain(&Config::default()),
        [command, flag, file] if *command == "drain" && *flag == "--config" => {
            Config::read(Path::new(file)).and_then(|config| drain(&config))
        }
        [help] if *help == "--help" || *help == "-h" => {
            println!(
                "{USAGE}\n\nserve    looks after enclaves until SIGTERM; they go on without it\n\
                 drain    ends all enclaves and the agent; the next one starts them again"
            );
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("error: {USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), String> {
    let dirs = config.dirs()?;
    let (folder, state) = (dirs.runtime.join(".ingress"), dirs.state.join("ingress"));
    // Ports below 1024 are for root.
    let root = nix::unistd::Uid::effective().is_root();
    let base = if root { Settings::for_machine(folder, state) } else { Settings::for_user(folder, state) };
    let ingress = config.ingress.clone().over(base);
    let options = ServeOptions { limits: config.limits, ingress, ..ServeOptions::default() };
    serve(&dirs, &options, &mut || {}).map_err(|error| sentence(&error))
}

fn drain(config: &Config) -> Result<(), String> {
    let enclaves = AgentClient::new(&config.dirs()?).drain().map_err(|error| sentence(&error))?;
    println!("{enclaves} enclaves were ended");
    Ok(())
}

fn sentence(error: &HostError) -> String {
    let fix = error.fix().map_or_else(String::new, |fix| format!("\n  fix: {fix}"));
    format!("{error}{fix}")
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
}

impl Config {
    fn read(path: &Path) -> Result<Self, String> {
        let failed = |why: String| format!("{} cannot be used: {why}", path.display());
        let mut text = String::new();
        let file = File::open(path).map_err(|e| failed(e.to_string()))?;
        file.take(MAX_CONFIG + 1).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
        if text.len() as u64 > MAX_CONFIG {
            return Err(failed(format!("it has more than {MAX_CONFIG} bytes")));
        }
        let config: Self = toml::from_str(&text).map_err(|e| failed(e.to_string()))?;
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

/// The longest configuration, in bytes.
const MAX_CONFIG: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
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
            let refused = read(text).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
