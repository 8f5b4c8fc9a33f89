//! How this user's git reaches the platform: a key of its own and a configuration file beside it, in
//! `~/.config/caution`. Nothing in `~/.ssh` is touched, and a checkout uses the file only when `caution init` says so there.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files;
use crate::platform::Platform;
use caution_api::{Local, SshKey, SshKeyAdd};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes the key where there is none, registers it, and writes what `ssh` is told.
pub(crate) fn prepare(context: &Context, platform: &Platform) -> Result<(), CliError> {
    let folder = &context.config.settings;
    let io = |e: io::Error| CliError::io("The folder cannot be made private", folder, &e);
    fs::create_dir_all(folder).map_err(io)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io)?;
    let key = key(context);
    if !key.is_file() {
        generate(&key)?;
    }
    let public = files::read_limited(&key.with_extension("pub"), 8 * 1024)?;
    let public_key = String::from_utf8_lossy(&public).trim().to_owned();
    let add = SshKeyAdd { public_key, name: Some("caution on this machine".to_owned()) };
    platform.send::<SshKey>("/v1/me/ssh-keys", &add)?;
    files::write(&folder.join("known_hosts"), known_host(&platform.local).as_bytes())?;
    files::write(&file(context), configuration(folder, &platform.local).as_bytes())
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
fn configuration(folder: &Path, local: &Local) -> String {
    let folder = folder.display();
    format!(
        "# Written by `caution up`.\n\
         Match host {} user git\n    \
             IdentityFile \"{folder}/git_ed25519\"\n    \
             IdentitiesOnly yes\n    \
             UserKnownHostsFile \"{folder}/known_hosts\"\n    \
             StrictHostKeyChecking yes\n\
         Match all\n\
         Include ~/.ssh/config\n\
         Include /etc/ssh/ssh_config\n",
        local.git.ip(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
        fs::write(&path, configuration(dir.path(), &local)).unwrap();
        let asked = |target: &str| {
            let output = Command::new("ssh").arg("-F").arg(&path).args(["-G", target]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let ours = format!("identityfile {}/git_ed25519", dir.path().display());
        assert!(asked("git@127.0.0.1").contains(&ours));
        assert!(!asked("git@example.org").contains(&ours));
    }
}
