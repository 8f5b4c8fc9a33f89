//! A push from before its branches move until what follows is written down, also where something is killed in between.
//!
//! The hook `pre-receive` writes down what is to move, `post-receive` what did; whoever comes then queues the work by the
//! push's own id, which is there once however often it is done.

use super::command::Git;
use crate::job::patiently;
use crate::store::app::App;
use crate::store::audit::{self, NewLine};
use crate::store::job::{self, Job, NewJob, Work};
use crate::store::{AccountId, JobId, Store, StoreError};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A push of an account to a repository.
#[derive(Debug)]
pub(super) struct Push {
    id: JobId,
    account: AccountId,
    repository: PathBuf,
    /// Hooks write beside it: with `.intended` and `.moved` behind its name.
    path: PathBuf,
}

/// What follows from a push.
#[derive(Debug)]
pub(super) enum Follows {
    /// This build.
    Build(Job),
    /// Nothing: another push moved the deploy branch since, and is built.
    Superseded,
    /// Nothing: the deploy branch did not move.
    Nothing,
}

/// A branch or tag that moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moved {
    /// The object that it names now; zeros where it was removed.
    pub(super) object: String,
    /// `refs/heads/main`.
    pub(super) name: String,
}

impl Moved {
    pub(super) fn is_removed(&self) -> bool {
        self.object.bytes().all(|byte| byte == b'0')
    }

    fn short(&self) -> String {
        let name = self.name.strip_prefix("refs/heads/").unwrap_or(&self.name);
        if self.is_removed() {
            return format!("{name} removed");
        }
        format!("{name} {}", self.object.get(..7).unwrap_or_default())
    }
}

impl Push {
    /// One that begins.
    pub(super) fn new(repository: &Path, account: AccountId) -> Result<Self, StoreError> {
        let id = JobId::new()?;
        let path = repository.join(format!("{PREFIX}{id}.{account}"));
        Ok(Self { id, account, repository: repository.to_owned(), path })
    }

    /// Pushes to a repository that were not brought to their end, the first one first.
    pub(super) fn unfinished(repository: &Path) -> io::Result<Vec<Self>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(repository)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
            names.extend(stem.filter(|stem| stem.starts_with(PREFIX)).map(str::to_owned));
        }
        let push = |name: String| {
            let (id, account) = name.strip_prefix(PREFIX)?.split_once('.')?;
            let (id, account) = (id.parse().ok()?, account.parse().ok()?);
            Some(Self { id, account, repository: repository.to_owned(), path: repository.join(&name) })
        };
        Ok(names.into_iter().filter_map(push).collect())
    }

    /// Its id, and that of the job that follows.
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    /// Where to.
    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    /// What the hooks are told.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What moved. Where git was killed before it said so, what was to move and stands there now.
    pub(super) async fn moved(&self, git: &Git) -> io::Result<Vec<Moved>> {
        if let Some(moved) = read(&self.file(MOVED))? {
            return Ok(moved);
        }
        let Some(intended) = read(&self.file(INTENDED))? else { return Ok(Vec::new()) };
        let now = git.refs(&self.repository).await?;
        let stands = |moved: &Moved| {
            let removed = moved.is_removed() && !now.iter().any(|there| there.name == moved.name);
            removed || now.contains(moved)
        };
        Ok(intended.into_iter().filter(stands).collect())
    }

    /// Writes down that it was, and queues a build where the deploy branch moved; also where that was done already. The
    /// database is waited for.
    pub(super) async fn write_down(
        &self,
        store: &Store,
        git: &Git,
        app: &App,
        moved: &[Moved],
    ) -> Result<Follows, StoreError> {
        let follows = patiently(|| self.written(store, git, app, moved)).await?;
        self.forget();
        Ok(follows)
    }

    async fn written(
        &self,
        store: &Store,
        git: &Git,
        app: &App,
        moved: &[Moved],
    ) -> Result<Follows, StoreError> {
        if moved.is_empty() {
            return Ok(Follows::Nothing);
        }
        let mut change = store.change().await?;
        if let Some(job) = job::find(&mut change, self.id).await? {
            return Ok(Follows::Build(job));
        }
        let deployed = |moved: &&Moved| moved.name.strip_prefix("refs/heads/") == Some(&app.deploy_branch);
        let follows = match moved.iter().find(deployed).filter(|moved| !moved.is_removed()) {
            None => Follows::Nothing,
            // One change is made at a time. Who moved the branch since writes that down after this one, so that builds are
            // queued in the order of the branch, and its last commit is deployed last.
            Some(branch) if git.refs(&self.repository).await.is_ok_and(|now| now.contains(branch)) => {
                let work = Work::Build(branch.object.clone());
                let new = NewJob { app: app.id, work, made_by: self.account };
                Follows::Build(job::queue_as(&mut change, self.id, &new).await?)
            }
            Some(_) => Follows::Superseded,
        };
        let mut detail: Vec<String> = moved.iter().take(MOST_NAMED).map(Moved::short).collect();
        if moved.len() > MOST_NAMED {
            detail.push(format!("{} more", moved.len() - MOST_NAMED));
        }
        let line = NewLine {
            organisation: Some(app.organisation),
            account: Some(self.account),
            by_means_of: "ssh key",
            action: "push",
            target: &app.id.to_string(),
            detail: &detail.join(", "),
        };
        audit::add(&mut change, &line).await?;
        change.commit().await?;
        Ok(follows)
    }

    /// Nothing follows from it any more. What cannot be removed is found to be done by the next start.
    pub(super) fn forget(&self) {
        for ending in ENDINGS {
            let _ = fs::remove_file(self.file(ending));
        }
    }

    fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }
}

/// Lines as git gives them to hooks: `<old> <new> <name>`; nothing where there is no such file.
fn read(path: &Path) -> io::Result<Option<Vec<Moved>>> {
    let mut text = String::new();
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
        Ok(file) => file.take(MAX_MOVED).read_to_string(&mut text)?,
    };
    let moved = |line: &str| {
        let mut words = line.splitn(3, ' ').skip(1);
        Some(Moved { object: words.next()?.to_owned(), name: words.next()?.to_owned() })
    };
    Ok(Some(text.lines().filter_map(moved).collect()))
}

const PREFIX: &str = "push-";
const INTENDED: &str = ".intended";
const MOVED: &str = ".moved";
const ENDINGS: [&str; 4] = [INTENDED, MOVED, ".intended.new", ".moved.new"];
/// How many branches a line of the audit log names.
const MOST_NAMED: usize = 10;
/// The longest list of what moved, in bytes: 1,000 refs, and some that went.
const MAX_MOVED: u64 = 4 << 20;
