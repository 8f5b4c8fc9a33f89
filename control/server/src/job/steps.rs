//! What jobs do, step by step. Each may be done twice with the same result: `specs/platform.md` §5.

use super::builder::{Built, Order};
use super::log::Log;
use super::phase::{Event, Phase};
use super::worker::Settings;
use super::{Jobs, patiently};
use crate::provider::{Placement, Provider, Running, Shape};
use crate::store::app::App;
use crate::store::job::{self, Failure, Held, Work};
use crate::store::release::{self, Made, Release};
use crate::store::{JobId, ReleaseId, StoreError, app, event};
use caution_abi::ports::AppPort;
use caution_build::git::{CommitId, Repository};
use caution_enclaveos::ReleaseError;
use caution_host::ingress::IngressSpec;
use caution_measure::{Measurements, Sha256Digest};
use sqlx::Any;
use sqlx::pool::PoolConnection;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a job comes to nothing, or is not this worker's any more.
#[derive(Debug)]
pub(super) enum Failing {
    Failed(Failure),
    Cancelled,
    Lost,
}

impl From<StoreError> for Failing {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LeaseLost => Self::Lost,
            other => {
                let cause = std::error::Error::source(&other).map(|cause| format!(": {cause}"));
                let why = format!("{other}{}", cause.unwrap_or_default());
                Self::Failed(failure(&format!("The platform cannot go on: {why}.")))
            }
        }
    }
}

impl From<Failure> for Failing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for Failing {
    fn from(error: io::Error) -> Self {
        Self::Failed(failure(&format!("The platform's data folder failed: {error}.")))
    }
}

/// What the steps need.
#[derive(Debug)]
pub(super) struct Steps {
    jobs: Jobs,
    provider: Arc<dyn Provider>,
    settings: Settings,
}

impl Steps {
    pub(super) fn new(jobs: Jobs, provider: Arc<dyn Provider>, settings: Settings) -> Self {
        Self { jobs, provider, settings }
    }

    /// Does a job from the phase that is written down to its end.
    pub(super) async fn all(&self, held: &Held) -> Result<(), Failing> {
        let app = patiently(|| async { app::find(&mut *self.read().await?, held.job.app).await });
        let app = app.await?.ok_or(Failing::Lost)?;
        match &held.job.work {
            Work::Build(commit) => {
                if held.job.phase == Phase::Building {
                    self.build(held, &app, commit).await?;
                }
                self.store(held, commit).await
            }
            Work::Deploy(release) => self.deploy(held, &app, *release).await,
            Work::Stop => self.stop(held, &app).await,
            Work::Destroy => self.destroy(&app).await,
        }
    }

    /// From a commit to an image in the scratch folder, and a note of it; or nothing, where a release has one already.
    async fn build(&self, held: &Held, app: &App, commit: &str) -> Result<(), Failing> {
        let scratch = self.scratch(held.job.id);
        clean(&scratch)?;
        fs::create_dir_all(&scratch)?;
        let plan = self.plan(commit).await?;
        let before = patiently(|| async { release::by_plan(&mut *self.read().await?, app.id, plan).await });
        let before = before.await?;
        let mut log = Voice::new(&self.jobs, held.job.id)?;
        if let Some(before) = before.filter(|before| self.image(before.made.image).exists()) {
            log.say(&format!("  build     nothing: release {} is of the same commit", before.number));
            return self.built(held).await;
        }
        let order = Order {
            repository: self.settings.data.join("git").join(format!("{}.git", app.id)),
            commit: commit.to_owned(),
            branch: app.deploy_branch.clone(),
            output: scratch.join("eif-stage"),
            cache: self.settings.host.cache.clone(),
        };
        let built = self.settings.builder.build(&order, &mut |line| log.say(line)).await?;
        if built.size > MAX_IMAGE {
            let message = format!("The image has {} bytes, more than {MAX_IMAGE}.", built.size);
            return Err(
                Failure { message, fix: Some("leave out what the app does not need".to_owned()) }.into()
            );
        }
        fs::write(scratch.join(BUILT), serde_json::to_vec(&built).map_err(io::Error::other)?)?;
        self.built(held).await
    }

    /// From an image to a release and its deployment.
    async fn store(&self, held: &Held, commit: &str) -> Result<(), Failing> {
        let scratch = self.scratch(held.job.id);
        let plan = self.plan(commit).await?;
        let made = if let Some(built) = read_built(&scratch.join(BUILT))? {
            let image = self.image(built.sha256);
            let (measured, kept) = (built.clone(), image.clone());
            tokio::task::spawn_blocking(move || keep(&measured, &kept)).await.map_err(io::Error::other)??;
            Made {
                commit: commit.to_owned(),
                plan,
                image: built.sha256,
                image_bytes: built.size,
                measurements: built.measurements,
                enclaveos: built.enclaveos,
                manifest: built.manifest,
            }
        } else {
            let before =
                patiently(|| async { release::by_plan(&mut *self.read().await?, held.job.app, plan).await });
            before.await?.ok_or_else(|| failure("What was built is gone from the data folder."))?.made
        };
        patiently(|| async {
            let mut change = self.jobs.store.change().await?;
            let (release, _) = release::write(&mut change, held, &made).await?;
            let text = format!("Release {} was made of commit {}.", release.number, short(commit));
            event::add(&mut change, held.job.app, "release", &text).await?;
            Ok(change.commit().await?)
        })
        .await?;
        clean(&scratch)?;
        Ok(())
    }

    /// A release in the place of what runs.
    async fn deploy(&self, held: &Held, app: &App, id: ReleaseId) -> Result<(), Failing> {
        let release = patiently(|| async { release::find(&mut *self.read().await?, id).await });
        let release = release.await?.ok_or(Failing::Lost)?;
        let (repository, image) =
            (self.settings.data.join("git").join(format!("{}.git", app.id)), self.image(release.made.image));
        let (provider, label, wanted) = (Arc::clone(&self.provider), app.label.clone(), release.clone());
        let mut log = Voice::new(&self.jobs, held.job.id)?;
        log.say(&format!("  release   {} · commit {}", release.number, short(&release.made.commit)));
        let applied = tokio::task::spawn_blocking(move || {
            let want = placement(&repository, image, label, &wanted)?;
            let running = provider.apply(&want, &mut |line| log.say(&format!("  {line}")))?;
            Ok((running, log))
        });
        let (running, mut log) = applied.await.map_err(io::Error::other)?.map_err(Failing::Failed)?;
        tell(&mut log, &release, &running);
        let text = format!("Release {} is live.", release.number);
        let written = patiently(|| async {
            let mut change = self.jobs.store.change().await?;
            job::hand_over(&mut change, held).await?;
            event::add(&mut change, app.id, "live", &text).await?;
            Ok(change.commit().await?)
        });
        Ok(written.await?)
    }

    async fn stop(&self, held: &Held, app: &App) -> Result<(), Failing> {
        self.end(app).await?;
        let written = patiently(|| async {
            let mut change = self.jobs.store.change().await?;
            job::end_live(&mut change, app.id, Event::Ended).await?;
            job::advance(&mut change, held, Event::Gone).await?;
            event::add(&mut change, app.id, "stopped", "The app was stopped.").await?;
            Ok(change.commit().await?)
        });
        Ok(written.await?)
    }

    /// Nothing is left: what runs, the repository, logs, images that no other app has, and then what is written down.
    async fn destroy(&self, app: &App) -> Result<(), Failing> {
        self.end(app).await?;
        clean(&self.settings.data.join("git").join(format!("{}.git", app.id)))?;
        patiently(|| self.forget(app)).await?
    }

    /// Logs and images go before the rows that name them: the next attempt finds what is left.
    async fn forget(&self, app: &App) -> Result<Result<(), Failing>, StoreError> {
        let mut change = self.jobs.store.change().await?;
        let jobs = job::list(&mut change, app.id, None, u32::MAX).await?;
        let releases = release::list(&mut change, app.id, None, u32::MAX).await?;
        app::forget(&mut change, app.id).await?;
        let mut images = Vec::new();
        for release in releases {
            if !release::has_image(&mut change, release.made.image).await? {
                images.push(release.made.image);
            }
        }
        let removed = (|| {
            for job in &jobs {
                clean(&self.scratch(job.id))?;
                remove(&self.jobs.logs.path(job.id))?;
            }
            images.into_iter().try_for_each(|image| remove(&self.image(image)))
        })();
        match removed {
            Ok(()) => Ok(Ok(change.commit().await?)),
            Err(cause) => Ok(Err(cause.into())),
        }
    }

    async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        self.jobs.store.read().await
    }

    async fn end(&self, app: &App) -> Result<(), Failing> {
        let (provider, label) = (Arc::clone(&self.provider), app.label.clone());
        let ended = tokio::task::spawn_blocking(move || provider.destroy(&label));
        Ok(ended.await.map_err(io::Error::other)??)
    }

    /// Writes down that the image is there; also where that is written down already.
    async fn built(&self, held: &Held) -> Result<(), Failing> {
        let written = patiently(|| async {
            let mut change = self.jobs.store.change().await?;
            match job::advance(&mut change, held, Event::Built).await {
                Ok(_) => Ok(change.commit().await?),
                Err(StoreError::Phase { before: Phase::Storing, .. }) => Ok(()),
                Err(error) => Err(error),
            }
        });
        Ok(written.await?)
    }

    /// What decides an image: the commit and the EnclaveOS release. Where there is none the builder says so.
    async fn plan(&self, commit: &str) -> Result<Sha256Digest, Failing> {
        let cache = self.settings.host.cache.clone();
        let release = tokio::task::spawn_blocking(move || match caution_enclaveos::default_release(&cache) {
            Ok(release) => Ok(release.id().to_string()),
            Err(ReleaseError::NoDefault) => Ok(String::new()),
            Err(error) => Err(failure(&error.to_string())),
        });
        let release = release.await.map_err(io::Error::other)??;
        let text = format!("caution-plan-1\n{commit}\n{release}\n{}\n", env!("CARGO_PKG_VERSION"));
        Ok(Sha256Digest::of(text.as_bytes()))
    }

    fn scratch(&self, job: JobId) -> PathBuf {
        self.settings.data.join("scratch").join(job.to_string())
    }

    fn image(&self, sha256: Sha256Digest) -> PathBuf {
        self.settings.data.join("images").join(format!("{sha256}.eif"))
    }
}

/// A job's log, and the bell that tells of it.
struct Voice {
    jobs: Jobs,
    log: Log,
}

impl Voice {
    fn new(jobs: &Jobs, job: JobId) -> io::Result<Self> {
        Ok(Self { jobs: jobs.clone(), log: jobs.logs.open(job)? })
    }

    /// A log that cannot be written holds nothing up.
    fn say(&mut self, line: &str) {
        let _ = self.log.line(line);
        self.jobs.bell.ring();
    }
}

/// Measures an image anew and moves it to where releases find it. Done twice, it finds it there.
fn keep(built: &Built, image: &Path) -> Result<(), Failing> {
    let from = if image.exists() { image } else { &built.eif };
    let read = caution_eif::read(File::open(from)?, &caution_eif::Limits::default());
    let read = read.map_err(|e| failure(&format!("What was built is no enclave image: {e}.")))?;
    if read.measurements != built.measurements {
        return Err(failure("What was built measures something else than its builder said.").into());
    }
    if from == image {
        return Ok(());
    }
    File::open(from)?.sync_all()?;
    fs::rename(from, image)?;
    Ok(File::open(image.parent().unwrap_or(image))?.sync_all()?)
}

/// The note of a build that came to its end; nothing where none was needed.
fn read_built(path: &Path) -> Result<Option<Built>, Failing> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::from)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What is to run of a release, by the configuration of its commit.
fn placement(
    repository: &Path,
    image: PathBuf,
    label: String,
    release: &Release,
) -> Result<Placement, Failure> {
    let failed = |error: caution_build::BuildError| Failure { message: error.to_string(), fix: error.fix() };
    let repo = Repository::bare(repository).map_err(|e| failed(e.into()))?;
    let commit: CommitId =
        release.made.commit.parse().map_err(|_| failure("The release names no commit."))?;
    let spec = caution_build::load_config(&repo, &commit).map_err(failed)?;
    let plan = caution_build::boot_plan_of(&image).map_err(failed)?;
    let behind = plan.e2e.as_ref().map(|e2e| e2e.app_port);
    let shape = Shape {
        cpus: spec.resources.cpus,
        memory_mib: spec.resources.memory_mib,
        debug: spec.debug.enabled,
        // The port behind encryption is none that leads out as it is, and is reached like the others.
        ports: plan.ports.iter().copied().chain(behind).map(AppPort::get).collect(),
        http_port: plan.http_port.or(behind).map(AppPort::get),
        e2e: behind.is_some(),
        ingress: IngressSpec::declared(&spec.network),
        restart: plan.restart,
    };
    let Made { image: image_sha256, measurements, manifest, .. } = release.made.clone();
    Ok(Placement { label, image, image_sha256, measurements, manifest: manifest.into_bytes(), shape })
}

/// What whoever pushed wants to know at the end.
fn tell(log: &mut Voice, release: &Release, running: &Running) {
    let Measurements { pcr0, pcr1, pcr2 } = release.made.measurements;
    for (name, pcr) in [("PCR0", pcr0), ("PCR1", pcr1), ("PCR2", pcr2)] {
        log.say(&format!("  {name}      {pcr}"));
    }
    for url in running.urls.iter().map(|url| url.trim_end_matches('/')) {
        log.say(&format!("{url}   attestation {url}/attestation"));
    }
    if running.urls.is_empty() {
        log.say(&format!("attestation {}", running.attestation_url));
    }
    log.say("verify it: caution verify");
}

fn failure(message: &str) -> Failure {
    Failure { message: message.to_owned(), fix: None }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Removes a folder; also where there is none.
fn clean(path: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(path))
}

/// Removes a file; also where there is none.
fn remove(path: &Path) -> io::Result<()> {
    gone(fs::remove_file(path))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The note of what was built, in the scratch folder.
const BUILT: &str = "built.json";
/// The largest image, in bytes.
const MAX_IMAGE: u64 = 4 << 30;
