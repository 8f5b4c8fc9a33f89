//! A git server with its database, and people with keys.

use caution_measure::{Measurements, Pcr, Sha256Digest};
use caution_server::bell::Bell;
use caution_server::git::Server;
use caution_server::job::Jobs;
use caution_server::job::log::Logs;
use caution_server::job::phase::{Event, Phase};
use caution_server::store::job::{self, Failure, Held, Work};
use caution_server::store::release::{self, Made};
use caution_server::store::{AccountId, AppId, OrganisationId, Store, app};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) bell: Bell,
    pub(crate) logs: Logs,
    pub(crate) app: AppId,
    pub(crate) organisation: OrganisationId,
    port: u16,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    /// An app `hello` of an organisation in which `alice` is a member and `victor` a viewer; `mallory` is in none.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        for name in ["git", "logs"] {
            std::fs::create_dir_all(data.join(name)).unwrap();
        }
        let store = crate::database::fresh(&data.join("cautiond.db")).await;
        let (bell, logs) = (Bell::new(), Logs::new(&data.join("logs")));
        let jobs = Jobs::new(store.clone(), logs.clone(), bell.clone());
        let (port, stop, server) = start(folder.path(), store.clone(), jobs).await;
        let organisation = OrganisationId::new().unwrap();
        let mut world =
            Self { store, bell, logs, app: AppId::new().unwrap(), organisation, port, folder, stop, server };
        world
            .sql("INSERT INTO organisation (id, name, created_ms) VALUES ($1, 'o', 0)", &[&organisation])
            .await;
        let mut db = world.store.read().await.unwrap();
        world.app = app::create(&mut db, organisation, "hello", "main").await.unwrap().id;
        drop(db);
        for (name, role) in [("alice", Some("member")), ("victor", Some("viewer")), ("mallory", None)] {
            world.person(name, role).await;
        }
        world
    }

    /// A key that nobody is known by.
    pub(crate) async fn key(&self, name: &str) -> PathBuf {
        let key = self.path(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.await.unwrap().success());
        key
    }

    /// An account with a key.
    async fn person(&self, name: &str, role: Option<&str>) {
        let key = self.key(name).await;
        let listed = Command::new("ssh-keygen").args(["-lf"]).arg(&key).output().await.unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let fingerprint = listed.split(' ').nth(1).unwrap();
        let account = AccountId::new().unwrap();
        self.sql("INSERT INTO account (id, name, created_ms) VALUES ($1, $2, 0)", &[&account, &name]).await;
        let text = "INSERT INTO ssh_key (fingerprint, account_id, name, public_key, created_ms)
                    VALUES ($1, $2, 'k', 'k', 0)";
        self.sql(text, &[&fingerprint, &account]).await;
        if let Some(role) = role {
            let text =
                "INSERT INTO member (organisation_id, account_id, role, created_ms) VALUES ($1, $2, $3, 0)";
            self.sql(text, &[&self.organisation, &account, &role]).await;
        }
    }

    pub(crate) async fn sql(&self, text: &'static str, values: &[&dyn std::fmt::Display]) {
        let mut query = sqlx::query(text);
        for value in values {
            query = query.bind(value.to_string());
        }
        query.execute(&mut *self.store.read().await.unwrap()).await.unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self, app: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{app}.git", self.port)
    }

    pub(crate) fn ssh(&self, who: &str) -> String {
        let options = "-F /dev/null -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes";
        let (known, key) = (self.path("known"), self.path(who));
        format!("ssh {options} -o UserKnownHostsFile={} -i {}", known.display(), key.display())
    }

    /// git, as somebody runs it on their own machine.
    pub(crate) fn git(&self, who: &str, dir: &Path, args: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.args(args).current_dir(dir).env("GIT_SSH_COMMAND", self.ssh(who)).kill_on_drop(true);
        for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
            git.env(name, "a@b.c");
        }
        git
    }

    pub(crate) async fn run(&self, who: &str, dir: &Path, args: &[&str]) -> Output {
        self.git(who, dir, args).output().await.unwrap()
    }

    /// A checkout with a commit, whose remote `caution` is the app.
    pub(crate) async fn checkout(&self, name: &str) -> PathBuf {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        let url = self.url(&self.app.to_string());
        std::fs::write(dir.join("Procfile"), "run: /hello\n").unwrap();
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["remote", "add", "caution", &url],
            &["add", "-A"],
            &["commit", "-q", "-m", "first"],
        ] {
            let output = self.run("alice", &dir, args).await;
            assert!(output.status.success(), "{}", text(&output));
        }
        dir
    }

    /// What somebody gets who uses ssh itself.
    pub(crate) async fn ssh_command(&self, who: &str, command: &str) -> Output {
        let line = format!("{} -p {} git@127.0.0.1 {command}", self.ssh(who), self.port);
        Command::new("sh").args(["-c", &line]).output().await.unwrap()
    }

    /// Takes the next job as a worker does, once there is one.
    pub(crate) async fn take(&self) -> Held {
        let mut bell = self.bell.listen();
        loop {
            let held = job::take(&mut self.store.read().await.unwrap(), 1).await.unwrap();
            if let Some(held) = held {
                return held;
            }
            bell.heard().await;
        }
    }

    pub(crate) fn says(&self, held: &Held, line: &str) {
        self.logs.open(held.job.id).unwrap().line(line).unwrap();
        self.bell.ring();
    }

    /// Does a build and its deployment as a worker would.
    pub(crate) async fn work(&self) -> String {
        let held = self.take().await;
        let Work::Build(commit) = held.job.work.clone() else { panic!("{held:?}") };
        self.says(&held, "  build     from the test");
        let made = Made {
            commit: commit.clone(),
            plan: Sha256Digest::of(b"plan"),
            image: Sha256Digest::of(b"image"),
            image_bytes: 1,
            measurements: Measurements { pcr0: Pcr::ZERO, pcr1: Pcr::ZERO, pcr2: Pcr::EMPTY },
            enclaveos: "0.1.0".to_owned(),
            manifest: "{}".to_owned(),
        };
        let mut change = self.store.change().await.unwrap();
        job::advance(&mut change, &held, Event::Built).await.unwrap();
        release::write(&mut change, &held, &made).await.unwrap();
        change.commit().await.unwrap();
        self.bell.ring();
        let held = self.take().await;
        assert_eq!(held.job.phase, Phase::Starting);
        self.says(&held, "  boot      from the test");
        let mut change = self.store.change().await.unwrap();
        job::hand_over(&mut change, &held).await.unwrap();
        change.commit().await.unwrap();
        self.bell.ring();
        commit
    }

    pub(crate) async fn fail(&self, message: &str, fix: &str) {
        let held = self.take().await;
        let why = Failure { message: message.to_owned(), fix: Some(fix.to_owned()) };
        let mut change = self.store.change().await.unwrap();
        job::fail(&mut change, &held, &why).await.unwrap();
        change.commit().await.unwrap();
        self.bell.ring();
    }

    pub(crate) async fn jobs(&self) -> Vec<job::Job> {
        job::list(&mut self.store.read().await.unwrap(), self.app, None, 100).await.unwrap()
    }

    /// Ends the server and starts another one on what it left.
    pub(crate) async fn start_again(&mut self) {
        let jobs = Jobs::new(self.store.clone(), self.logs.clone(), self.bell.clone());
        let (port, stop, server) = start(self.folder.path(), self.store.clone(), jobs).await;
        self.port = port;
        self.stop = stop;
        std::mem::replace(&mut self.server, server).await.unwrap();
    }

    /// Ends the server and waits for what it has begun.
    pub(crate) async fn end(self) {
        let Self { stop, server, .. } = self;
        drop(stop);
        server.await.unwrap();
    }
}

async fn start(folder: &Path, store: Store, jobs: Jobs) -> (u16, oneshot::Sender<()>, JoinHandle<()>) {
    let address = "127.0.0.1:0".parse().unwrap();
    let path = OsStr::new("/usr/local/bin:/usr/bin:/bin");
    let server = Server::bind(address, &folder.join("data"), path, store, jobs).await.unwrap();
    let port = server.address().unwrap().port();
    let known = format!("[127.0.0.1]:{port} {}\n", server.host_key().unwrap());
    std::fs::write(folder.join("known"), known).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = ended.await;
    }));
    (port, end, running)
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
