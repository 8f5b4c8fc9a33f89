//! How this user's git reaches the platform: a key of its own and a configuration file beside it, in
//! `~/.config/caution`. Nothing in `~/.ssh` is touched, and a checkout uses the file only when `caution init` says so there.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files;
use crate::platform::Platform;
use caution_api::{Local, SshKey, SshKeyAdd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A git server.
pub(crate) struct Server {
    host: String,
    /// Its line in `known_hosts`, where that is known; else `ssh` asks.
    known: Option<String>,
}

impl Server {
    /// That of a platform on this machine.
    pub(crate) fn here(local: &Local) -> Self {
        Self { host: local.git.ip().to_string(), known: Some(known_host(local)) }
    }

    /// The one that an address of a repository names: `ssh://git@host:port/…`.
    pub(crate) fn of(git_url: &str) -> Result<Self, CliError> {
        let rest = git_url.strip_prefix("ssh://git@").and_then(|rest| rest.split('/').next());
        let host = rest.map(|rest| rest.rsplit_once(':').map_or(rest, |(host, _)| host));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        match host.filter(|host| !host.is_empty() && host.bytes().all(plain)) {
            Some(host) => Ok(Self { host: host.to_owned(), known: None }),
            None => Err(CliError::new(Exit::Other, format!("`{git_url}` is no address of a repository."))),
        }
    }
}

/// Makes the key where there is none, registers it, and writes what `ssh` is told.
pub(crate) fn prepare(context: &Context, platform: &Platform, server: &Server) -> Result<(), CliError> {
    let folder = super::own_folder(context)?;
    let key = key(context);
    if !key.is_file() {
        generate(&key)?;
    }
    let public = files::read_limited(&key.with_extension("pub"), 8 * 1024)?;
    let public_key = String::from_utf8_lossy(&public).trim().to_owned();
    let add = SshKeyAdd { public_key, name: Some("caution on this machine".to_owned()) };
    platform.send::<SshKey>("/v1/me/ssh-keys", &add)?;
    if let Some(known) = &server.known {
        files::write(&folder.join("known_hosts"), known.as_bytes())?;
    }
    files::write(&file(context), configuration(folder, server).as_bytes())
}

/// The key that git is known by.
pub(crate) fn key(context: &Context) -> PathBuf {
    context.config.settings.join("git_ed25519")
}

/// The file that `ssh -F` is given.
pub(crate) fn file(context: &Context) -> PathBuf {
    context.config.settings.join("ssh_config")
}

fn generate(key: &Path) -> Result<(), CliError> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "caution", "-f"])
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    let failed = |cause: String| CliError {
        causes: vec![cause],
        ..CliError::new(Exit::Other, "`ssh-keygen` could not make a key for git.")
            .hint("apt-get install openssh-client")
    };
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(cause) => Err(failed(cause.to_string())),
    }
}

fn known_host(local: &Local) -> String {
    format!("[{}]:{} {}\n", local.git.ip(), local.git.port(), local.git_host_key.trim())
}

/// The user's own files come after: `ssh` takes the first value that it finds, and other hosts find none here.
fn configuration(folder: &Path, server: &Server) -> String {
    let folder = folder.display();
    let hosts = match &server.known {
        Some(_) => format!(
            "    UserKnownHostsFile \"{folder}/known_hosts\"\n    \
                 StrictHostKeyChecking yes\n"
        ),
        None => String::new(),
    };
    format!(
        "# Written by `caution`.\n\
         Match host {} user git\n    \
             IdentityFile \"{folder}/git_ed25519\"\n    \
             IdentitiesOnly yes\n\
         {hosts}\
         Match all\n\
         Include ~/.ssh/config\n\
         Include /etc/ssh/ssh_config\n",
        server.host,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn ssh_reads_the_file_as_it_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local {
            api: String::new(),
            git: ([127, 0, 0, 1], 7222).into(),
            git_host_key: "ssh-ed25519 AAAA".to_owned(),
            token: String::new(),
            pid: 1,
        };
        assert_eq!(known_host(&local), "[127.0.0.1]:7222 ssh-ed25519 AAAA\n");
        let path = dir.path().join("ssh_config");
        fs::write(&path, configuration(dir.path(), &Server::here(&local))).unwrap();
        let asked = |target: &str| {
            let output = Command::new("ssh").arg("-F").arg(&path).args(["-G", target]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let ours = format!("identityfile {}/git_ed25519", dir.path().display());
        assert!(asked("git@127.0.0.1").contains(&ours));
        assert!(!asked("git@example.org").contains(&ours));
    }

    #[test]
    fn another_machines_server_is_named_by_an_addresss_host() {
        let server = Server::of("ssh://git@git.example.com:7222/01a2.git").unwrap();
        assert!(configuration(Path::new("/x"), &server).contains("Match host git.example.com user git\n"));
        for wrong in
            ["ssh://git@/x", "ssh://git@a b/x", "https://git.example.com/x", "ssh://git@a\nMatch all/x"]
        {
            assert!(Server::of(wrong).is_err(), "{wrong}");
        }
    }
}
