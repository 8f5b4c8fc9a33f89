//! Settings, read once: from a file, then from the environment. `specs/platform.md` §1.
#![expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]

use crate::store::PostgresAddress;
use crate::webauthn::RelyingParty;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What `cautiond` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// The database, where it is not a file in the data folder.
    pub database: Option<PostgresAddress>,
    /// Where the API listens. Port 0: a free one.
    pub http_listen: SocketAddr,
    /// The site that people sign in to, of a platform for more than this machine's user.
    pub site: Option<RelyingParty>,
    /// Where git is served by SSH. Port 0: a free one.
    pub git_listen: SocketAddr,
    /// How many builds run at a time.
    pub builds: u32,
    /// The host agent's folders.
    pub host: caution_host::Dirs,
    /// Where git and container engines are looked for: `PATH`.
    pub search_path: OsString,
}

/// What is wrong with settings: everything at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct ConfigError(Vec<String>);

/// A setting and where it comes from.
struct Given {
    value: String,
    from: String,
}

/// Settings as they were given, and what is wrong with them.
#[derive(Default)]
struct Reading {
    given: BTreeMap<&'static str, Given>,
    wrong: Vec<String>,
}

impl Config {
    /// Reads a file, if one is named, and then the environment, which wins.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let text = file.map(read_file).transpose().map_err(|wrong| ConfigError(vec![wrong]))?;
        let name = file.map_or_else(String::new, |path| path.display().to_string());
        Self::from_parts(
            text.as_deref().map(|text| (name.as_str(), text)),
            env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.to_string_lossy().into_owned()))),
        )
    }

    fn from_parts(
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut reading = Reading::default();
        if let Some((name, text)) = file {
            reading.file(name, text);
        }
        for (key, value) in environment {
            reading.variable(&key, value);
        }
        let data = reading.folder("data", Path::new("/var/lib/cautiond"));
        let host = data.join("host");
        let site = reading.site("http.public_url");
        let config = Self {
            database: reading.database("database"),
            http_listen: reading.listener("http.listen", "127.0.0.1:7280", site.is_some()),
            git_listen: reading.listener("git.listen", "127.0.0.1:7222", site.is_some()),
            site,
            builds: reading.number("limits.builds", 1, 64, 1),
            host: caution_host::Dirs {
                state: reading.folder("host.state", &host.join("state")),
                runtime: reading.folder("host.runtime", &host.join("run")),
                cache: reading.folder("host.cache", &host.join("cache")),
            },
            data,
            search_path: env::var_os("PATH").unwrap_or_default(),
        };
        if reading.wrong.is_empty() { Ok(config) } else { Err(ConfigError(reading.wrong)) }
    }
}

impl Reading {
    fn file(&mut self, name: &str, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(e) => return self.wrong.push(format!("{name} is no TOML: {}", e.to_string().trim_end())),
        };
        for (section, value) in table {
            match value {
                toml::Value::Table(keys) => {
                    for (key, value) in keys {
                        self.setting(name, &format!("{section}.{key}"), value);
                    }
                }
                value => self.setting(name, &section, value),
            }
        }
    }

    fn setting(&mut self, file: &str, key: &str, value: toml::Value) {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            _ => return self.wrong.push(format!("{file}: `{key}` must be a text or a number.")),
        };
        match KEYS.iter().find(|known| **known == key) {
            Some(known) => drop(self.given.insert(known, Given { value, from: format!("{file}: `{key}`") })),
            None => {
                self.wrong.push(format!("{file}: `{key}` is not a setting; there are {}.", KEYS.join(", ")));
            }
        }
    }

    fn variable(&mut self, name: &str, value: String) {
        if !name.starts_with(PREFIX) {
            return;
        }
        if let Some(known) = KEYS.iter().find(|key| variable_of(key) == name) {
            self.given.insert(known, Given { value, from: name.to_owned() });
            return;
        }
        let all: Vec<String> = KEYS.iter().map(|key| variable_of(key)).collect();
        self.wrong.push(format!("{name} is not a setting; there are {}.", all.join(", ")));
    }

    fn folder(&mut self, key: &str, default: &Path) -> PathBuf {
        let Some(given) = self.given.get(key) else { return default.to_owned() };
        let path = PathBuf::from(&given.value);
        if !path.is_absolute() {
            self.wrong.push(format!("{} must be an absolute path; it is `{}`.", given.from, given.value));
        }
        path
    }

    /// What is wrong is said without the value, in which there may be a password.
    fn database(&mut self, key: &str) -> Option<PostgresAddress> {
        let given = self.given.get(key)?;
        match given.value.parse() {
            Ok(address) => Some(address),
            Err(wrong) => {
                self.wrong.push(format!("{} cannot be used: {wrong}.", given.from));
                None
            }
        }
    }

    fn number(&mut self, key: &str, min: u32, max: u32, default: u32) -> u32 {
        let Some(given) = self.given.get(key) else { return default };
        match given.value.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let text = format!("{} must be {min} to {max}; it is `{}`.", given.from, given.value);
                self.wrong.push(text);
                default
            }
        }
    }

    fn site(&mut self, key: &str) -> Option<RelyingParty> {
        let given = self.given.get(key)?;
        let site = RelyingParty::of_url(&given.value);
        if site.is_none() {
            self.wrong.push(format!(
                "{} must be the address that people open, like https://caution.example: HTTPS, a name in lower case, and nothing behind it; it is `{}`.",
                given.from, given.value
            ));
        }
        site
    }

    /// Without a site that people sign in to, whoever reaches the API should be on its machine.
    fn listener(&mut self, key: &str, default: &str, is_for_others: bool) -> SocketAddr {
        let fallback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (value, from) = match self.given.get(key) {
            Some(given) => (given.value.as_str(), given.from.as_str()),
            None => (default, key),
        };
        match value.parse::<SocketAddr>() {
            Ok(address) if is_for_others || address.ip().is_loopback() => address,
            Ok(address) => {
                let text = format!(
                    "{from} must be an address of this machine alone, like 127.0.0.1:7280, unless `http.public_url` is set; it is `{address}`."
                );
                self.wrong.push(text);
                fallback
            }
            Err(_) => {
                let text =
                    format!("{from} must be an address and a port, like 127.0.0.1:7280; it is `{value}`.");
                self.wrong.push(text);
                fallback
            }
        }
    }
}

/// `http.listen` → `CAUTIOND_HTTP_LISTEN`.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |cause: std::io::Error| format!("{} cannot be read: {cause}", path.display());
    let mut text = String::new();
    let mut limited = File::open(path).map_err(cannot)?.take(MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{} has more than {MAX_BYTES} bytes.", path.display()));
    }
    Ok(text)
}

fn list(wrong: &[String]) -> String {
    if let [one] = wrong {
        return one.clone();
    }
    let mut text = format!("The settings have {} problems.\n", wrong.len());
    for line in wrong {
        let _ = write!(text, "\n  {line}");
    }
    text
}

/// Every setting; a file writes `a.b` as `b` below `[a]`.
const KEYS: [&str; 9] = [
    "data",
    "database",
    "http.listen",
    "http.public_url",
    "git.listen",
    "limits.builds",
    "host.state",
    "host.runtime",
    "host.cache",
];
const PREFIX: &str = "CAUTIOND_";
/// The longest file of settings.
const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let owned: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        owned.into_iter()
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "data = '/a'\n[http]\nlisten = '127.0.0.1:1'\n[limits]\nbuilds = 3\n";
        let config =
            Config::from_parts(Some(("c.toml", file)), env(&[("CAUTIOND_DATA", "/b"), ("HOME", "x")]));
        let config = config.unwrap();
        assert_eq!((config.data.as_path(), config.builds), (Path::new("/b"), 3));
        assert_eq!(config.http_listen.to_string(), "127.0.0.1:1");
        assert_eq!(config.host.state, Path::new("/b/host/state"));
        assert_eq!(config.database, None);
        let elsewhere = env(&[("CAUTIOND_DATABASE", "postgres://u:geheim@db/caution")]);
        let config = Config::from_parts(None, elsewhere).unwrap();
        assert!(!format!("{config:?}").contains("geheim"));
        Config::from_parts(None, env(&[])).unwrap();
    }

    #[test]
    fn a_platform_with_a_site_listens_for_others() {
        let read = |url: &str| {
            let listen = ("CAUTIOND_HTTP_LISTEN", "0.0.0.0:7280");
            Config::from_parts(None, env(&[("CAUTIOND_HTTP_PUBLIC_URL", url), listen]))
        };
        for url in ["https://caution.example", "https://caution.example:8443/", "http://localhost:7280"] {
            let config = read(url).unwrap();
            assert_eq!(config.site.unwrap().origin, url.trim_end_matches('/'));
            assert!(!config.http_listen.ip().is_loopback());
        }
        for wrong in [
            "",
            "caution.example",
            "http://caution.example",
            "https://Caution.example",
            "https://caution.example:443",
            "https://caution.example/x",
            "https://user@caution.example",
            "https://192.0.2.1",
            "https://caution..example",
        ] {
            assert!(
                read(wrong).unwrap_err().to_string().contains("CAUTIOND_HTTP_PUBLIC_URL must be"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let file = "dta = '/a'\n[http]\nlisten = '0.0.0.0:80'\n[limits]\nbuilds = 0\n";
        let wrong = Config::from_parts(
            Some(("c.toml", file)),
            env(&[
                ("CAUTIOND_DATA", "here"),
                ("CAUTIOND_HTPP", "x"),
                ("CAUTIOND_GIT_LISTEN", "y"),
                ("CAUTIOND_DATABASE", "u:geheim@db"),
            ]),
        )
        .unwrap_err()
        .to_string();
        let expected = [
            "have 7 problems",
            "c.toml: `dta` is not a setting; there are data, database, http.listen",
            "CAUTIOND_HTPP is not a setting",
            "CAUTIOND_DATA must be an absolute path; it is `here`",
            "c.toml: `http.listen` must be an address of this machine alone, like 127.0.0.1:7280, unless `http.public_url` is set; it is `0.0.0.0:80`",
            "CAUTIOND_DATABASE cannot be used: it is not the address of a PostgreSQL database",
            "CAUTIOND_GIT_LISTEN must be an address and a port, like 127.0.0.1:7280; it is `y`",
            "c.toml: `limits.builds` must be 1 to 64; it is `0`",
        ];
        for part in expected {
            assert!(wrong.contains(part), "{wrong}");
        }
    }
}
