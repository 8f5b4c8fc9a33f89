//! `/etc/environment` and `/etc/passwd` of the app's root.

use caution_enclave_sys::app_root::open_inside;
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

/// Why the app's `/etc/environment` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EnvFileError {
    /// The file is there and cannot be read.
    #[error("the app's /{path} could not be read")]
    Read {
        /// Path below the root.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Too long, or not text.
    #[error("the app's /{path} is longer than {MAX_BYTES} bytes or not UTF-8")]
    NotText {
        /// Path below the root.
        path: &'static str,
    },
    /// A line that sets nothing.
    #[error("line {line} of the app's /{ENVIRONMENT} is not NAME=value")]
    Line {
        /// Its one-based number.
        line: usize,
    },
}

/// The variables of `/etc/environment` below `root`; none where there is no such file.
pub(crate) fn environment(root: &Path) -> Result<BTreeMap<String, String>, EnvFileError> {
    parse(&read(root, ENVIRONMENT)?.unwrap_or_default())
}

/// The home directory that `/etc/passwd` below `root` gives user `uid`.
pub(crate) fn home(root: &Path, uid: u32) -> Result<Option<String>, EnvFileError> {
    Ok(read(root, PASSWD)?.and_then(|text| home_in(&text, uid)))
}

fn read(root: &Path, path: &'static str) -> Result<Option<String>, EnvFileError> {
    let error = |source| EnvFileError::Read { path, source };
    let file = match open_inside(root, Path::new(path)) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        opened => opened.map_err(error)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() > MAX_BYTES {
        return Err(EnvFileError::NotText { path });
    }
    String::from_utf8(bytes).map(Some).map_err(|_| EnvFileError::NotText { path })
}

/// Lines `NAME=value`, `export NAME=value`, empty or `# comment`; a value may stand in one pair of
/// single or double quotes. Nothing is expanded; the last line for a name wins.
fn parse(text: &str) -> Result<BTreeMap<String, String>, EnvFileError> {
    let mut variables = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (name, value) = line
            .split_once('=')
            .filter(|(name, value)| is_name(name) && !value.contains('\0'))
            .ok_or(EnvFileError::Line { line: index + 1 })?;
        variables.insert(name.to_owned(), unquote(value).to_owned());
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unquote(value: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

/// The sixth field of the first line with this user id (passwd(5)).
fn home_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[_, _, id, _, _, home, _] = fields.as_slice() else { return None };
        (id.parse() == Ok(uid) && home.starts_with('/') && !home.contains('\0')).then(|| home.to_owned())
    })
}

/// The longest file read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
const ENVIRONMENT: &str = "etc/environment";
const PASSWD: &str = "etc/passwd";

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    #[test]
    fn lines_set_variables() {
        let text = "# comment\n\nA=1\n  B = x\n";
        assert!(matches!(parse(text), Err(EnvFileError::Line { line: 4 })));
        let text = "A=1\nB=\"two words\"\r\nC='$A'\nexport D=d=e\nE=\nA=2\nF=\"\nG=a\"b\"";
        let expected = [
            ("A", "2"),
            ("B", "two words"),
            ("C", "$A"),
            ("D", "d=e"),
            ("E", ""),
            ("F", "\""),
            ("G", "a\"b\""),
        ];
        assert_eq!(pairs(text), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn lines_that_set_nothing_are_refused_by_number() {
        for text in ["=1", "A", "1A=1", "A-B=1", "A=\0"] {
            let refused = parse(&format!("X=1\n{text}\n"));
            assert!(matches!(refused, Err(EnvFileError::Line { line: 2 })), "{text:?}");
        }
    }

    #[test]
    fn files_are_read_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        assert!(environment(root.path()).unwrap().is_empty());
        assert_eq!(home(root.path(), 0).unwrap(), None);
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join(ENVIRONMENT), "A=1").unwrap();
        std::fs::write(root.path().join(PASSWD), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        assert_eq!(environment(root.path()).unwrap()["A"], "1");
        assert_eq!(home(root.path(), 0).unwrap().as_deref(), Some("/root"));
        std::fs::write(root.path().join(ENVIRONMENT), "A=".repeat(MAX_BYTES)).unwrap();
        assert!(matches!(environment(root.path()), Err(EnvFileError::NotText { .. })));
        std::fs::write(root.path().join(ENVIRONMENT), b"A=\xff").unwrap();
        assert!(matches!(environment(root.path()), Err(EnvFileError::NotText { .. })));
        std::fs::remove_file(root.path().join(ENVIRONMENT)).unwrap();
        std::fs::create_dir(root.path().join(ENVIRONMENT)).unwrap();
        assert!(matches!(environment(root.path()), Err(EnvFileError::Read { .. })));
    }

    #[test]
    fn homes_are_found_by_user_id() {
        let passwd = "broken\nroot:x:0:0::/root:/bin/sh\nx:x:1:1::relative:/bin/sh\nweb:x:101:102::/srv/web:/sbin/nologin\n";
        assert_eq!(home_in(passwd, 101).as_deref(), Some("/srv/web"));
        assert_eq!(home_in(passwd, 1), None);
        assert_eq!(home_in(passwd, 5), None);
    }
}
