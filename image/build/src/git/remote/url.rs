//! Which addresses source may be fetched from.

use super::RemoteError;
use caution_appspec::excerpt;
use std::fmt;

/// The address of a git repository, or of an archive of one, that nobody on the way can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUrl {
    text: String,
    is_archive: bool,
}

impl SourceUrl {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names a tar archive and not a repository.
    pub const fn is_archive(&self) -> bool {
        self.is_archive
    }
}

/// For people and records: without the query, which may be a secret.
impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.split_once('?') {
            Some((address, _)) => write!(f, "{address}?…"),
            None => f.write_str(&self.text),
        }
    }
}

impl std::str::FromStr for SourceUrl {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let refused = |fault| {
            let hidden = text.split_once("://").zip(text.split_once('@'));
            let url = match (fault, hidden) {
                (UrlFault::Password, Some(((scheme, _), (_, host)))) => format!("{scheme}://…@{host}"),
                _ => text.to_owned(),
            };
            RemoteError::Url { url: excerpt(&url, MAX_SHOWN), fault }
        };
        if text.len() > MAX_BYTES || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(refused(UrlFault::Malformed));
        }
        let is_archive = match text.split_once("://") {
            Some(("https", rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                check_authority(authority).map_err(refused)?;
                names_an_archive(path)
            }
            Some(("ssh", rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                check_authority(authority).map_err(refused)?;
                if path.is_empty() {
                    return Err(refused(UrlFault::Malformed));
                }
                false
            }
            Some(("http" | "git", _)) => return Err(refused(UrlFault::NotAuthenticated)),
            Some(("file", _)) => return Err(refused(UrlFault::Local)),
            Some(_) => return Err(refused(UrlFault::Scheme)),
            None => {
                check_scp_like(text).map_err(refused)?;
                false
            }
        };
        Ok(Self { text: text.to_owned(), is_archive })
    }
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// Anybody on the way can read and change what is fetched.
    #[error("nothing on that way shows who answers, so anybody on it could put in other source")]
    NotAuthenticated,
    /// A file or folder of this machine.
    #[error("it is on this machine")]
    Local,
    /// `ext::`, `fd::` or another name of a program that git would run.
    #[error("it names a program to run, not a place")]
    Helper,
    /// Neither https nor ssh.
    #[error("it is neither https nor ssh")]
    Scheme,
    /// A password would end in shell histories, process lists and verdicts.
    #[error("it holds a password or token, which every list of processes would show")]
    Password,
    /// Not of the form of an address.
    #[error("it is not an address of the form https://HOST/PATH, ssh://HOST/PATH or HOST:PATH")]
    Malformed,
}

impl UrlFault {
    pub(super) const fn fix(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "use https:// or ssh://",
            Self::Local => "cd into that checkout, or name an archive with --from-tarball FILE",
            Self::Password => "leave it out and give it to git's credential helper: git credential approve",
            Self::Helper | Self::Scheme | Self::Malformed => {
                "https://git.example.com/app.git, ssh://git@git.example.com/app.git or git@git.example.com:app.git"
            }
        }
    }
}

/// `[user@]host[:port]`. A host that begins with `-` would be an option of ssh.
fn check_authority(authority: &str) -> Result<(), UrlFault> {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    if user.contains(':') {
        return Err(UrlFault::Password);
    }
    if host.is_empty() || host.starts_with(['-', ':']) || user.starts_with('-') || host.contains(['?', '#']) {
        return Err(UrlFault::Malformed);
    }
    Ok(())
}

/// `[user@]host:path`, as scp writes it: a colon before the first slash.
fn check_scp_like(text: &str) -> Result<(), UrlFault> {
    let Some((before, after)) = text.split_once(':') else {
        return Err(if text.contains('/') { UrlFault::Local } else { UrlFault::Malformed });
    };
    // `git@[::1]:app` is an address; its brackets stand before the colons.
    if text.split_once("::").is_some_and(|(before, _)| !before.contains('[')) {
        return Err(UrlFault::Helper);
    }
    if before.contains('/') {
        return Err(UrlFault::Local);
    }
    check_authority(before)?;
    if after.is_empty() { Err(UrlFault::Malformed) } else { Ok(()) }
}

fn names_an_archive(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| path.ends_with(ending))
}

/// Longer addresses exist in no manifest or command line that people write.
const MAX_BYTES: usize = 2048;
/// The longest text of a stranger that is repeated to the user, in characters.
const MAX_SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_show_who_answers_are_taken() {
        for (text, is_archive) in [
            ("https://git.example.com/app.git", false),
            ("https://me@git.example.com:8443/app", false),
            ("https://git.example.com/app/archive/abc.tar.gz", true),
            ("https://git.example.com/app.tgz?token=1", true),
            ("https://git.example.com/app.tar", true),
            ("ssh://git@git.example.com:2222/app.git", false),
            ("git@git.example.com:group/app.tar.gz", false),
            ("git.example.com:app", false),
            ("git@[::1]:app", false),
        ] {
            let url: SourceUrl = text.parse().expect(text);
            assert_eq!((url.is_archive(), url.as_str()), (is_archive, text));
            assert!(!url.to_string().contains("token"));
        }
    }

    #[test]
    fn other_addresses_are_refused_by_name() {
        for (text, expected) in [
            ("http://git.example.com/app.git", UrlFault::NotAuthenticated),
            ("git://git.example.com/app.git", UrlFault::NotAuthenticated),
            ("file:///srv/app.git", UrlFault::Local),
            ("/srv/app.git", UrlFault::Local),
            ("./a:b", UrlFault::Local),
            ("ext::sh -c true", UrlFault::Malformed),
            ("ext::sh", UrlFault::Helper),
            ("ext::sh[", UrlFault::Helper),
            ("https::127.0.0.1/[", UrlFault::Helper),
            ("fd::17", UrlFault::Helper),
            ("ftp://git.example.com/app.git", UrlFault::Scheme),
            ("HTTPS://git.example.com/app.git", UrlFault::Scheme),
            ("git+ssh://git.example.com/app.git", UrlFault::Scheme),
            ("https://me:secret@git.example.com/app.git", UrlFault::Password),
            ("ssh://me:secret@git.example.com/app.git", UrlFault::Password),
            ("https:///app.git", UrlFault::Malformed),
            ("ssh://-oProxyCommand=x/app.git", UrlFault::Malformed),
            ("-oProxyCommand=x:app.git", UrlFault::Malformed),
            ("--upload-pack=x", UrlFault::Malformed),
            ("git.example.com:", UrlFault::Malformed),
            ("https://git.example.com/a b", UrlFault::Malformed),
            ("https://git.example.com/a\nb", UrlFault::Malformed),
            ("", UrlFault::Malformed),
        ] {
            let error = text.parse::<SourceUrl>().expect_err(text);
            assert!(
                matches!(error, RemoteError::Url { fault, .. } if fault == expected),
                "{text}: {error:?}"
            );
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.fix().is_some());
        }
        assert!(format!("https://a/{}", "b".repeat(3000)).parse::<SourceUrl>().is_err());
    }
}
