//! What a client may run, and how: system git in an environment of ours, in a repository that is named by an id.

use super::push::Moved;
use super::settle::{LOCK, gone};
use crate::store::AppId;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// One of the two things that git does by SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// A clone or fetch.
    Fetch,
    /// A push.
    Push,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) service: Service,
    pub(super) app: AppId,
}

impl Asked {
    /// Reads `git-receive-pack '<id>.git'` and nothing that is not exactly that, or the same with a `/` before the id: what
    /// git makes of `ssh://host/<id>.git`.
    pub(super) fn parse(command: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(command).ok()?;
        let (service, path) = match text.split_once(' ')? {
            ("git-receive-pack", path) => (Service::Push, path),
            ("git-upload-pack", path) => (Service::Fetch, path),
            _ => return None,
        };
        let path = path.strip_prefix('\'')?.strip_suffix('\'')?;
        let path = path.strip_prefix('/').unwrap_or(path);
        let app = path.strip_suffix(".git")?.parse().ok()?;
        Some(Self { service, app })
    }
}

/// Where repositories are, and git.
#[derive(Debug, Clone)]
pub(super) struct Git {
    repositories: PathBuf,
    hooks: PathBuf,
    questions: PathBuf,
    search_path: OsString,
}

impl Git {
    /// Writes the hooks down; those of repositories do not run.
    pub(super) fn prepare(data: &Path, search_path: &OsStr) -> io::Result<Self> {
        let hooks = data.join("hooks");
        fs::create_dir_all(&hooks)?;
        for (name, text) in HOOKS {
            let (path, new) = (hooks.join(name), hooks.join(format!("{name}.new")));
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o700).open(&new)?;
            file.write_all(text.as_bytes())?;
            drop(file);
            fs::rename(&new, &path)?;
        }
        let repositories = data.join("git");
        // What was being made when this server was killed.
        for entry in fs::read_dir(&repositories)?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "new") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let questions = hooks.join("questions");
        // Those of a server that was killed are answered by nobody.
        gone(fs::remove_dir_all(&questions))?;
        fs::create_dir(&questions)?;
        Ok(Self { repositories, hooks, questions, search_path: search_path.to_owned() })
    }

    /// Where an app's repository is.
    pub(super) fn repository(&self, app: AppId) -> PathBuf {
        self.repositories.join(format!("{app}.git"))
    }

    /// Makes an app's repository where it is not there; its HEAD is the deploy branch, which nobody can remove. It is there
    /// whole or not at all, however many make it at once.
    pub(super) async fn open(&self, app: AppId, branch: &str) -> io::Result<PathBuf> {
        let path = self.repository(app);
        if path.exists() {
            return Ok(path);
        }
        let new =
            self.repositories.join(format!("{}.new", crate::clock::new_id().map_err(io::Error::other)?));
        let mut init = self.git();
        init.args(["init", "--quiet", "--bare", "--template=", "--object-format=sha1"]);
        let output = init.arg(format!("--initial-branch={branch}")).arg(&new).output().await?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        match fs::rename(&new, &path) {
            // Another push was quicker.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&new)?,
            other => other?,
        }
        Ok(path)
    }

    /// The branches and tags of a repository.
    pub(super) async fn refs(&self, repository: &Path) -> io::Result<Vec<Moved>> {
        let mut list = self.git();
        list.arg("--git-dir").arg(repository).args(["for-each-ref", "--format=%(objectname) %(refname)"]);
        let output = list.output().await?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let of_line = |line: &str| {
            let (object, name) = line.split_once(' ')?;
            Some(Moved { object: object.to_owned(), name: name.to_owned() })
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(of_line).collect())
    }

    /// The process that answers; hooks write what a push moves beside `push`.
    pub(super) fn serve(&self, service: Service, repository: &Path, push: &Path) -> Command {
        let mut git = match service {
            Service::Fetch => self.git(),
            // It goes on when this server is killed: who comes after sees by the lock that it does.
            Service::Push => {
                let mut flock = Command::new("flock");
                flock.args(["--shared", "--no-fork"]).arg(repository.join(LOCK)).arg("git");
                self.as_we_run_it(flock)
            }
        };
        git.arg(match service {
            Service::Fetch => "upload-pack",
            Service::Push => "receive-pack",
        });
        git.arg(repository).env("CAUTION_PUSH", push);
        git.env("CAUTION_MAX_OBJECT", MAX_OBJECT.to_string()).env("CAUTION_MAX_REFS", MAX_REFS.to_string());
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        git
    }

    /// Where hooks ask whether a push may move anything.
    pub(super) fn questions(&self) -> &Path {
        &self.questions
    }

    /// Where the repositories are.
    pub(super) fn repositories(&self) -> &Path {
        &self.repositories
    }

    fn git(&self) -> Command {
        self.as_we_run_it(Command::new("git"))
    }

    /// git that reads no configuration but the repository's own, which no client can write, runs no hooks but ours and
    /// reaches nothing elsewhere. What is said here wins over the repository's configuration.
    fn as_we_run_it(&self, mut git: Command) -> Command {
        git.env_clear().kill_on_drop(true).current_dir(&self.repositories);
        git.env("PATH", &self.search_path)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_TERMINAL_PROMPT", "0");
        git.arg("-c").arg(setting("core.hooksPath=", &self.hooks));
        for text in [
            format!("receive.maxInputSize={MAX_PACK}"),
            "receive.fsckObjects=true".to_owned(),
            "receive.denyDeleteCurrent=refuse".to_owned(),
            "receive.denyCurrentBranch=ignore".to_owned(),
            "receive.advertisePushOptions=false".to_owned(),
            "receive.autoGC=false".to_owned(),
            // Larger ones are written to the disk as they come, not held in memory.
            "core.bigFileThreshold=32m".to_owned(),
            "core.fsmonitor=false".to_owned(),
            "gc.auto=0".to_owned(),
            "safe.directory=*".to_owned(),
            "uploadpack.allowAnySHA1InWant=false".to_owned(),
        ] {
            git.args(["-c", &text]);
        }
        git
    }
}

fn setting(key: &str, path: &Path) -> OsString {
    let mut text = OsString::from(key);
    text.push(path);
    text
}

const HOOKS: [(&str, &str); 2] = [
    ("pre-receive", include_str!("hooks/pre-receive")),
    ("post-receive", include_str!("hooks/post-receive")),
];
/// The largest pack of a push, in bytes.
const MAX_PACK: u64 = 2 << 30;
/// The largest file in it, in bytes.
const MAX_OBJECT: u64 = 512 << 20;
/// The most branches and tags of a repository.
const MAX_REFS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_on_a_repository_with_an_id_are_understood_and_nothing_else() {
        let app = AppId::new().unwrap();
        let parse = |text: &str| Asked::parse(text.as_bytes());
        let push = Some(Asked { service: Service::Push, app });
        assert_eq!(parse(&format!("git-receive-pack '{app}.git'")), push);
        assert_eq!(parse(&format!("git-receive-pack '/{app}.git'")), push);
        let fetch = Some(Asked { service: Service::Fetch, app });
        assert_eq!(parse(&format!("git-upload-pack '/{app}.git'")), fetch);
        let upper = app.to_string().to_uppercase();
        for wrong in [
            String::new(),
            "git-receive-pack".to_owned(),
            format!("git-receive-pack {app}.git"),
            format!("git-receive-pack '{app}'"),
            format!("git-receive-pack '{upper}.git'"),
            format!("git-receive-pack '//{app}.git'"),
            format!("git-receive-pack '../{app}.git'"),
            format!("git-receive-pack '{app}.git/../{app}.git'"),
            format!("git-receive-pack '{app}.git' '--help'"),
            format!("git-receive-pack '{app}.git'; id"),
            format!("git-receive-pack  '{app}.git'"),
            format!("git-receive-pack '{app}.git'\n"),
            "git-receive-pack '$(id).git'".to_owned(),
            "git-receive-pack '~/x.git'".to_owned(),
            format!("git-upload-archive '{app}.git'"),
            format!("git receive-pack '{app}.git'"),
            format!("sh -c 'git-receive-pack {app}.git'"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong:?}");
        }
        assert_eq!(Asked::parse(b"git-receive-pack '\xff.git'"), None);
    }

    #[tokio::test]
    async fn a_repository_is_made_once_whole_however_many_push_to_it_first() {
        let data = tempfile::tempdir().unwrap();
        let left = data.path().join("git").join("killed.new");
        fs::create_dir_all(&left).unwrap();
        let git = Git::prepare(data.path(), OsStr::new("/usr/local/bin:/usr/bin:/bin")).unwrap();
        assert!(!left.exists());
        let app = AppId::new().unwrap();
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let git = git.clone();
            opening.spawn(async move { git.open(app, "main").await });
        }
        for opened in opening.join_all().await {
            assert_eq!(opened.unwrap(), git.repository(app));
        }
        assert_eq!(fs::read_dir(git.repositories()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(git.repository(app).join("HEAD")).unwrap(), "ref: refs/heads/main\n");
        assert!(git.refs(&git.repository(app)).await.unwrap().is_empty());
    }
}
