//! A data folder with an app and a commit, a builder that is a script, and a provider that remembers what it was told.

use caution_eif::{HeaderOptions, Metadata, Writer};
use caution_host::Dirs;
use caution_rootfs::cpio::{self, Entry, EntryKind};
use caution_server::bell::Bell;
use caution_server::job::Jobs;
use caution_server::job::builder::Builder;
use caution_server::job::drift::Patience;
use caution_server::job::log::Logs;
use caution_server::job::phase::Phase;
use caution_server::job::worker::{self, Settings};
use caution_server::provider::{Observed, Placement, Provider, Running};
use caution_server::store::job::{Failure, Job, NewJob, Work};
use caution_server::store::{AccountId, AppId, OrganisationId, Store, app, job};
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A provider in memory.
#[derive(Debug, Default)]
pub(crate) struct Remembers {
    pub(crate) running: Mutex<Option<Running>>,
    pub(crate) applied: Mutex<Vec<Placement>>,
    pub(crate) refuses: AtomicBool,
    /// A pipe that is read before anything is switched: whoever writes to it knows that it was reached.
    pub(crate) gate: Mutex<Option<PathBuf>>,
    /// Whether what does not run came to its own end.
    pub(crate) over: AtomicBool,
}

impl Provider for Remembers {
    fn apply(&self, want: &Placement, say: &mut dyn FnMut(&str)) -> Result<Running, Failure> {
        self.applied.lock().unwrap().push(want.clone());
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Failure { message: "It was never ready.".to_owned(), fix: None });
        }
        let gate = self.gate.lock().unwrap().clone();
        gate.map(fs::read).transpose().unwrap();
        say("boot      in memory");
        let running = Running {
            image_sha256: want.image_sha256,
            measurements: want.measurements,
            urls: vec![format!("https://{}.localhost:8443/", want.label)],
            attestation_url: "http://127.0.0.1:1/attestation".to_owned(),
        };
        *self.running.lock().unwrap() = Some(running.clone());
        Ok(running)
    }

    fn observe(&self, _label: &str) -> Result<Observed, Failure> {
        let (running, over) = (self.running.lock().unwrap().clone(), self.over.load(Ordering::Relaxed));
        Ok(match running {
            Some(running) => Observed::Runs(running),
            None if over => Observed::Over("Its app ended with status 0.".to_owned()),
            None => Observed::Gone("Somebody asked for it.".to_owned()),
        })
    }

    fn destroy(&self, _label: &str) -> Result<(), Failure> {
        *self.running.lock().unwrap() = None;
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) bell: Bell,
    pub(crate) app: AppId,
    pub(crate) account: AccountId,
    pub(crate) provider: Arc<Remembers>,
    pub(crate) data: PathBuf,
    folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::database::fresh(&folder.path().join("cautiond.db")).await;
        Self::with(folder, store).await
    }

    pub(crate) async fn with(folder: TempDir, store: Store) -> Self {
        let data = folder.path().join("data");
        for name in ["git", "images", "logs"] {
            fs::create_dir_all(data.join(name)).unwrap();
        }
        let (bell, logs) = (Bell::new(), Logs::new(&data.join("logs")));
        let jobs = Jobs::new(store.clone(), logs, bell.clone());
        let (organisation, account) = (OrganisationId::new().unwrap(), AccountId::new().unwrap());
        let mut db = store.read().await.unwrap();
        sqlx::query("INSERT INTO organisation (id, name, created_ms) VALUES ($1, 'o', 0)")
            .bind(organisation.to_string())
            .execute(&mut *db)
            .await
            .unwrap();
        let app = app::create(&mut db, organisation, "hello", "main").await.unwrap().id;
        drop(db);
        let provider = Arc::new(Remembers::default());
        let world = Self { store, jobs, bell, app, account, provider, data, folder };
        world.builder();
        world
    }

    /// A commit in the app's repository.
    pub(crate) fn commit(&self, text: &str) -> String {
        let (checkout, repository) = (self.path("checkout"), self.data.join(format!("git/{}.git", self.app)));
        fs::create_dir_all(&checkout).unwrap();
        fs::write(checkout.join("Procfile"), "run: /hello\n").unwrap();
        fs::write(checkout.join("text"), text).unwrap();
        let repository = repository.to_str().unwrap();
        git(&checkout, &["init", "-q", "-b", "main"]);
        git(&checkout, &["init", "-q", "--bare", repository]);
        git(&checkout, &["add", "-A"]);
        git(&checkout, &["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", text]);
        git(&checkout, &["push", "-q", "-f", repository, "main"]);
        git(&checkout, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// A builder that copies an image which is there, and notes that it ran. With a file `hang` it never ends by itself.
    fn builder(&self) {
        let image = self.path("image.eif");
        let (bytes, written) = image_file();
        fs::write(&image, bytes).unwrap();
        let answer = serde_json::json!({ "built": {
            "eif": "EIF", "sha256": written.sha256, "size": written.size, "measurements": written.measurements,
            "enclaveos": "0.1.0", "manifest": "{}",
        }});
        fs::write(self.path("answer"), format!("{answer}\n")).unwrap();
        let script = r#"#!/bin/sh
set -eu
here=$(dirname "$0")
read -r order
echo ran >>"$here/ran"
out=$(printf %s "$order" | sed 's/.*"output":"\([^"]*\)".*/\1/')
printf '{"say":"  container from a script"}\n'
if [ -p "$here/gate" ]; then cat "$here/gate" >/dev/null; fi
if [ -e "$here/hang" ]; then read -r forever || exit 1; fi
if [ -e "$here/fail" ]; then printf '{"failed":{"message":"It does not build.","fix":"build it"}}\n'; exit 0; fi
mkdir -p "$out"
cp "$here/image.eif" "$out/enclave.eif"
sed "s|EIF|$out/enclave.eif|" "$here/answer"
"#;
        fs::write(self.path("builder"), script).unwrap();
        fs::set_permissions(self.path("builder"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How often something was built.
    pub(crate) fn built(&self) -> usize {
        fs::read_to_string(self.path("ran")).unwrap_or_default().lines().count()
    }

    /// Workers as `cautiond` has them; aborted, they end as if it was killed.
    pub(crate) fn work(&self) -> JoinHandle<()> {
        let (jobs, provider) = (self.jobs.clone(), Arc::clone(&self.provider));
        let none = self.path("none");
        let settings = Settings {
            data: self.data.clone(),
            builds: 2,
            host: Dirs { state: none.clone(), runtime: none.clone(), cache: none },
            builder: Builder::of(&self.path("builder"), Duration::from_mins(1)),
            drift: Patience {
                look: Duration::from_millis(20),
                pause: Duration::from_millis(10),
                most: 2,
                stable: Duration::from_mins(1),
            },
        };
        tokio::spawn(async move {
            worker::run(jobs, provider, settings, std::future::pending()).await.unwrap();
        })
    }

    pub(crate) async fn queue(&self, work: Work) -> Job {
        self.jobs.queue(&NewJob { app: self.app, work, made_by: self.account }).await.unwrap()
    }

    /// Waits until a job is at a phase.
    pub(crate) async fn reaches(&self, number: i64, phase: Phase) -> Job {
        loop {
            let mut bell = self.bell.listen();
            let jobs = self.list().await;
            let found = jobs.into_iter().find(|job| job.number == number && job.phase == phase);
            if let Some(job) = found {
                return job;
            }
            bell.heard().await;
        }
    }

    pub(crate) async fn list(&self) -> Vec<Job> {
        job::list(&mut self.store.read().await.unwrap(), self.app, None, 100).await.unwrap()
    }
}

/// Makes a pipe; writing to it waits for who reads it.
pub(crate) fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An image with nothing in it but a boot plan.
pub(crate) fn image_file() -> (Vec<u8>, caution_eif::Written) {
    let plan = serde_json::json!({
        "version": 1,
        "app": { "argv": ["/hello"], "env": {}, "cwd": "/", "uid": 0, "gid": 0, "groups": [] },
        "ports": [8080],
        "http_port": 8080,
        "readiness": { "kind": "started" },
        "restart": { "policy": "never", "max_restarts": 0, "backoff_ms": 1, "backoff_max_ms": 1 },
        "logs": false,
    });
    let plan = serde_json::from_value::<caution_abi::boot_plan::BootPlan>(plan).unwrap().to_bytes();
    let mut archive = cpio::Writer::new(Vec::new());
    let entry = Entry {
        path: b"boot.json".to_vec(),
        kind: EntryKind::File { size: plan.len() as u64 },
        mode: 0o444,
        uid: 0,
        gid: 0,
    };
    archive.append(&entry, &mut plan.as_slice()).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&archive.finish().unwrap()).unwrap();
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).unwrap();
    writer.kernel(&b"kernel"[..]).unwrap();
    writer.cmdline("panic=1").unwrap();
    writer.metadata(&Metadata::new("6.12.1")).unwrap();
    writer.ramdisk(&b"EnclaveOS"[..]).unwrap();
    writer.ramdisk(gzip.finish().unwrap().as_slice()).unwrap();
    let (file, written) = writer.finish().unwrap();
    (file.into_inner(), written)
}
