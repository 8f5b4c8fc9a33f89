//! Kernel options: the fragment in this repository, and whether a finished `.config` keeps it.

use std::collections::BTreeMap;

/// The options a fragment decides, by name without `CONFIG_`; `None` means "is not set".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fragment(BTreeMap<String, Option<String>>);

/// Why a text is not a fragment, or a `.config` does not follow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A line is neither an option nor a comment.
    #[error(
        "Line {line} of {CONFIG} is neither `CONFIG_X=…`, `# CONFIG_X is not set` nor a comment: `{text}`."
    )]
    Line {
        /// One-based line number.
        line: usize,
        /// The line.
        text: String,
    },
    /// An option stands there twice.
    #[error("Line {line} of {CONFIG} decides {option} a second time.")]
    Duplicate {
        /// One-based line number of the second one.
        line: usize,
        /// The option, with `CONFIG_`.
        option: String,
    },
    /// The kernel's own rules changed options: a dependency is missing, or something selects them.
    #[error("The kernel's configuration rules overrule {CONFIG}: {}.", lost.join(", "))]
    Lost {
        /// `CONFIG_X=y (is not set)`, wanted first and found in brackets.
        lost: Vec<String>,
    },
}

impl ConfigError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Lost { .. } => Some(format!("add what these options depend on to {CONFIG}, or drop them")),
            _ => None,
        }
    }
}

impl Fragment {
    /// Reads a fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut options = BTreeMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            match parse_line(text) {
                Line::Option(name, value) => {
                    if options.insert(name.to_owned(), value.map(str::to_owned)).is_some() {
                        return Err(ConfigError::Duplicate { line, option: format!("CONFIG_{name}") });
                    }
                }
                Line::Comment => {}
                Line::Other => {
                    return Err(ConfigError::Line { line, text: text.chars().take(80).collect() });
                }
            }
        }
        Ok(Self(options))
    }

    /// Whether a finished `.config` keeps every line. An option that is absent there is not set.
    pub(crate) fn check(&self, config: &str) -> Result<(), ConfigError> {
        let found: BTreeMap<&str, Option<&str>> = config
            .lines()
            .filter_map(|line| match parse_line(line) {
                Line::Option(name, value) => Some((name, value)),
                _ => None,
            })
            .collect();
        let lost: Vec<String> = self
            .0
            .iter()
            .filter_map(|(name, wanted)| {
                let found = found.get(name.as_str()).copied().flatten();
                (found != wanted.as_deref()).then(|| {
                    format!(
                        "CONFIG_{name}{} ({})",
                        shown(wanted.as_deref()),
                        shown(found).trim_start_matches(['=', ' '])
                    )
                })
            })
            .collect();
        if lost.is_empty() { Ok(()) } else { Err(ConfigError::Lost { lost }) }
    }
}

enum Line<'a> {
    Option(&'a str, Option<&'a str>),
    Comment,
    Other,
}

fn parse_line(line: &str) -> Line<'_> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if let Some((name, value)) = line.strip_prefix("CONFIG_").and_then(|rest| rest.split_once('=')) {
        return if is_name(name) && !value.is_empty() {
            Line::Option(name, Some(value))
        } else {
            Line::Other
        };
    }
    if let Some(rest) = line.strip_prefix("# CONFIG_") {
        return match rest.strip_suffix(" is not set") {
            Some(name) if is_name(name) => Line::Option(name, None),
            _ => Line::Other,
        };
    }
    if line.is_empty() || line.starts_with('#') { Line::Comment } else { Line::Other }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| " is not set".to_owned(), |value| format!("={value}"))
}

/// Where the fragment is in a checkout.
pub(crate) const CONFIG: &str = "enclave/kernel/config";

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: &str = "# words\n\nCONFIG_NSM=y\nCONFIG_NR_CPUS=128\n# CONFIG_MODULES is not set\n";

    #[test]
    fn the_fragment_of_this_repository_is_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../enclave/kernel/config");
        let fragment = Fragment::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(fragment.0.get("NSM"), Some(&Some("y".to_owned())));
        assert_eq!(fragment.0.get("MODULES"), Some(&None));
    }

    #[test]
    fn a_config_that_keeps_every_line_passes() {
        let fragment = Fragment::parse(FRAGMENT).unwrap();
        assert_eq!(fragment.check("CONFIG_NSM=y\nCONFIG_NR_CPUS=128\nCONFIG_SMP=y\n"), Ok(()));
        assert_eq!(fragment.check("CONFIG_NSM=y\nCONFIG_NR_CPUS=128\n# CONFIG_MODULES is not set\n"), Ok(()));
    }

    #[test]
    fn lost_options_are_all_named() {
        let fragment = Fragment::parse(FRAGMENT).unwrap();
        assert_eq!(
            fragment.check("CONFIG_NR_CPUS=64\nCONFIG_MODULES=y\n"),
            Err(ConfigError::Lost {
                lost: vec![
                    "CONFIG_MODULES is not set (y)".to_owned(),
                    "CONFIG_NR_CPUS=128 (64)".to_owned(),
                    "CONFIG_NSM=y (is not set)".to_owned(),
                ]
            })
        );
    }

    #[test]
    fn unclear_fragments_are_refused() {
        for bad in
            ["NSM=y", "CONFIG_NSM", "CONFIG_=y", "CONFIG_NSM=", "# CONFIG_NSM is unset", " CONFIG_NSM=y"]
        {
            assert!(matches!(Fragment::parse(bad), Err(ConfigError::Line { line: 1, .. })), "{bad}");
        }
        assert_eq!(
            Fragment::parse("CONFIG_NSM=y\n# CONFIG_NSM is not set\n"),
            Err(ConfigError::Duplicate { line: 2, option: "CONFIG_NSM".to_owned() })
        );
    }
}
