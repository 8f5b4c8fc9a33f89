//! Work that outlives the process: builds, deployments, ends of apps.

pub mod builder;
pub mod drift;
pub mod log;
pub mod phase;
mod steps;
pub mod worker;

use crate::bell::{Bell, Listener};
use crate::store::job::{self, Job, NewJob};
use crate::store::{JobId, Store, StoreError};
use log::{Logs, Reader};
use std::time::Duration;

/// The work of the platform. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(crate) store: Store,
    pub(crate) logs: Logs,
    /// Rung when a job was queued, has said something or went on.
    pub(crate) bell: Bell,
}

/// Why the course of a job cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its log.
    #[error("the log of the job cannot be read")]
    Log(#[source] std::io::Error),
    /// Its app was removed, or it never was.
    #[error("there is no such job any more")]
    Gone,
}

/// What a job says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Lines of its log.
    Lines(Vec<u8>),
    /// Nothing more: a worker has nothing left to do for it.
    Ended(Box<Job>),
}

/// Somebody who follows a job.
#[derive(Debug)]
pub struct Follower {
    jobs: Jobs,
    id: JobId,
    log: Reader,
    bell: Listener,
}

/// Makes a change, or looks, until the database answers and has room; what else is wrong with it ends that. A change that
/// was being committed when the database went away may be there: attempts have to find that out.
pub(crate) async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match attempt().await {
            Err(error) if error.passes() => tokio::time::sleep(AGAIN).await,
            other => return other,
        }
    }
}

impl Jobs {
    /// Work that is written down there.
    pub fn new(store: Store, logs: Logs, bell: Bell) -> Self {
        Self { store, logs, bell }
    }

    /// Queues work behind what its app has to do already, and wakes workers.
    pub async fn queue(&self, new: &NewJob) -> Result<Job, StoreError> {
        let mut change = self.store.change().await?;
        let job = job::queue(&mut change, new).await?;
        change.commit().await?;
        self.bell.ring();
        Ok(job)
    }

    /// Follows a job from its first line.
    pub fn follow(&self, id: JobId) -> Follower {
        Follower { jobs: self.clone(), id, log: self.logs.read(id), bell: self.bell.listen() }
    }
}

impl Follower {
    /// Waits for what the job says next.
    pub async fn next(&mut self) -> Result<Said, JobError> {
        loop {
            // Before the log: what was said before the end is there once the end is written down.
            let found = patiently(|| async { job::find(&mut *self.jobs.store.read().await?, self.id).await });
            let job = found.await?.ok_or(JobError::Gone)?;
            let lines = self.log.more().map_err(JobError::Log)?;
            if !lines.is_empty() {
                return Ok(Said::Lines(lines));
            }
            if !job.phase.is_open() {
                return Ok(Said::Ended(Box::new(job)));
            }
            self.bell.heard().await;
        }
    }
}

/// How long a database that does not answer is left alone.
const AGAIN: Duration = Duration::from_secs(1);
