//! Workers: take a job, hold it while they do it, and write down how far it is.
//!
//! A worker that is killed leaves the job at its phase; the next start takes it up there. A worker that lost its lease
//! finds out by its next write, and stops.

use super::builder::Builder;
use super::drift::{self, Patience};
use super::steps::{Failing, Steps};
use super::{Jobs, patiently};
use crate::provider::Provider;
use crate::store::event;
use crate::store::job::{self, Held};
use crate::store::{JobId, StoreError};
use caution_host::Dirs;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What workers need.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder, with `git`, `images` and `logs` in it.
    pub data: PathBuf,
    /// How many builds run at a time.
    pub builds: u32,
    /// The host agent's folders; EnclaveOS releases are in its cache.
    pub host: Dirs,
    /// What builds.
    pub builder: Builder,
    /// How what runs is looked after.
    pub drift: Patience,
}

/// Does what is queued until `end` is there; what runs then is left at its phase.
///
/// # Errors
/// - the database fails before anything is begun; one that is away is waited for
pub async fn run(
    jobs: Jobs,
    provider: Arc<dyn Provider>,
    settings: Settings,
    end: impl Future<Output = ()>,
) -> Result<(), StoreError> {
    patiently(|| async { job::forget_leases(&mut *jobs.store.read().await?).await }).await?;
    let steps = Arc::new(Steps::new(jobs.clone(), Arc::clone(&provider), settings.clone()));
    tokio::select! {
        () = take_all(&jobs, &steps, settings.builds) => {}
        () = drift::watch(&jobs, &provider, settings.drift) => {}
        () = end => {}
    }
    Ok(())
}

/// Never ends. Dropped, it ends what its workers do.
async fn take_all(jobs: &Jobs, steps: &Arc<Steps>, builds: u32) {
    let mut workers = JoinSet::new();
    let mut busy = HashMap::new();
    loop {
        let mut bell = jobs.bell.listen();
        while let Some(ended) = workers.try_join_next_with_id() {
            busy.remove(&ended.map_or_else(|panicked| panicked.id(), |(id, ())| id));
        }
        let ours: Vec<JobId> = busy.values().copied().collect();
        let held = match jobs.store.read().await {
            Ok(mut db) => job::take_other_than(&mut db, &ours, builds).await,
            Err(error) => Err(error),
        };
        match held {
            Ok(Some(held)) => {
                let (jobs, steps, id) = (jobs.clone(), Arc::clone(steps), held.job.id);
                let worker = workers.spawn(async move {
                    work(&jobs, &steps, &held).await;
                    jobs.bell.ring();
                });
                busy.insert(worker.id(), id);
            }
            // A database that is gone for a moment is asked again, as a lease that ran out is seen: some time later.
            Ok(None) | Err(_) => {
                tokio::select! {
                    _ = bell.heard() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    }
}

async fn work(jobs: &Jobs, steps: &Steps, held: &Held) {
    let outcome = tokio::select! {
        outcome = steps.all(held) => outcome,
        failing = hold(jobs, held) => Err(failing),
    };
    let Err(failing) = outcome else { return };
    // What cannot be written down for another reason is found by its lease, which runs out.
    let _ = patiently(|| give_up(jobs, held, &failing)).await;
}

/// Renews the lease. Returns when it was lost, or the job is to end.
async fn hold(jobs: &Jobs, held: &Held) -> Failing {
    loop {
        let mut bell = jobs.bell.listen();
        let renewed = async { job::renew(&mut *jobs.store.read().await?, held).await };
        match renewed.await {
            Ok(true) if held.job.work.kind().can_be_called_off() => return Failing::Cancelled,
            Err(StoreError::LeaseLost) => return Failing::Lost,
            // It is tried again before the lease runs out.
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(BREATH).await;
        tokio::select! {
            _ = bell.heard() => {}
            () = tokio::time::sleep(RENEW) => {}
        }
    }
}

async fn give_up(jobs: &Jobs, held: &Held, failing: &Failing) -> Result<(), StoreError> {
    let mut change = jobs.store.change().await?;
    let text = match failing {
        Failing::Lost => return Ok(()),
        Failing::Cancelled => {
            job::advance(&mut change, held, super::phase::Event::Cancelled).await?;
            "was called off".to_owned()
        }
        Failing::Failed(why) => {
            job::fail(&mut change, held, why).await?;
            format!("failed: {}", why.message)
        }
    };
    let kind = held.job.work.kind().word();
    event::add(&mut change, held.job.app, kind, &format!("The {kind} {text}")).await?;
    Ok(change.commit().await?)
}

/// How often the table is looked at though nothing was heard.
const LOOK: Duration = Duration::from_secs(10);
/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// The shortest time between two looks at one job.
const BREATH: Duration = Duration::from_millis(200);
