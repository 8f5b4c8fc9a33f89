//! Procfile and caution.hcl: text to [`AppSpec`], with every error at once.
//!
//! The normative text is `specs/appspec.md`; its vectors are `specs/vectors/appspec/`.
//!
//! ```
//! use caution_appspec::{ConfigFile, parse};
//!
//! let errors = parse(ConfigFile::Procfile, "run: /app/server\nport: 8080\n").unwrap_err();
//! assert_eq!(
//!     errors.to_string(),
//!     "Procfile has 1 problem.\n\n  Procfile:2:1 `port` is not a key.  did you mean `ports`?\n"
//! );
//! ```

mod command;
mod hcl;
mod problem;
mod procfile;
mod spec;
mod suggest;
mod value;
mod write;

pub use command::shell_join;
pub use problem::{ConfigErrors, Problem, excerpt, printable};
pub use spec::*;
pub use write::{template, to_hcl};

use problem::Report;

/// The longest configuration file anyone reads, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most problems reported for one file.
pub const MAX_PROBLEMS: usize = 100;
/// The most TCP ports of one app. Each costs a listener in the enclave and one on the host.
pub const MAX_PORTS: usize = 512;
/// The most URLs in a list of sources.
pub const MAX_SOURCES: usize = 16;
/// The longest source URL, in bytes, `${COMMIT}` counted as 64.
pub const MAX_SOURCE_BYTES: usize = 1024;
/// The longest `metadata`, in bytes.
pub const MAX_METADATA_BYTES: usize = 2048;

/// A kind of configuration file. Where both exist `caution.hcl` wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigFile {
    /// `Procfile`: one `key: value` a line.
    Procfile,
    /// `caution.hcl`.
    Hcl,
}

impl ConfigFile {
    /// Both kinds, the one that wins first.
    pub const BY_PRECEDENCE: [Self; 2] = [Self::Hcl, Self::Procfile];

    /// The name of the file in the repository's root.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Procfile => "Procfile",
            Self::Hcl => "caution.hcl",
        }
    }
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The configuration.
    pub spec: AppSpec,
    /// What the file asks for and this version does not do, by position. Whoever acts on `spec`
    /// refuses when there is any: see [`Config::into_supported`].
    pub not_supported_yet: Vec<Problem>,
}

impl Config {
    /// The spec, unless the file asks for something this version does not do.
    pub fn into_supported(self, file: ConfigFile) -> Result<AppSpec, ConfigErrors> {
        if self.not_supported_yet.is_empty() {
            Ok(self.spec)
        } else {
            Err(ConfigErrors { file, problems: self.not_supported_yet })
        }
    }
}

/// Reads a configuration file. A byte-order mark and CRLF line ends are tolerated.
///
/// # Errors
///
/// Every problem of the file, at most [`MAX_PROBLEMS`], by position.
pub fn parse(file: ConfigFile, text: &str) -> Result<Config, ConfigErrors> {
    // Columns count what an editor shows, and editors hide the mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::new(text);
    if text.len() > MAX_BYTES {
        let message = format!("The file has {} bytes (at most {MAX_BYTES}).", text.len());
        report.problem(0, message, None);
    } else if let Some(at) = text.find('\0') {
        report.problem(at, "The file holds a NUL character.".to_owned(), None);
    } else {
        let spec = match file {
            ConfigFile::Procfile => procfile::read(&mut report),
            ConfigFile::Hcl => hcl::read(&mut report),
        };
        return report.finish(file, spec);
    }
    report.finish(file, AppSpec::default())
}
