//! What runs of an app is what its live deployment says, or is put right. `specs/platform.md` §6.

use super::Jobs;
use super::phase::Event;
use crate::provider::{Observed, Provider};
use crate::store::job::{self, Job, NewJob, Work};
use crate::store::{AppId, JobId, StoreError, app, event, release};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked, and how often put right.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between two looks.
    pub look: Duration,
    /// Before a second try in a row, doubled with each further one.
    pub pause: Duration,
    /// Tries in a row.
    pub most: u32,
    /// What ran for this long ends the row.
    pub stable: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            look: Duration::from_mins(1),
            pause: Duration::from_mins(1),
            most: 5,
            stable: Duration::from_mins(10),
        }
    }
}

/// Tries in a row of one app.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The deployment that was live, and the one that was to take its place.
    of: [JobId; 2],
    tries: u32,
    last: Instant,
}

/// Looks at once, and then from time to time. Never ends.
///
/// Rows are not written down: each start of the server tries anew.
pub(super) async fn watch(jobs: &Jobs, provider: &Arc<dyn Provider>, patience: Patience) {
    let mut rows = HashMap::new();
    loop {
        // A database or provider that cannot be asked now is asked again at the next look.
        let _ = look(jobs, provider, patience, &mut rows).await;
        tokio::time::sleep(patience.look).await;
    }
}

async fn look(
    jobs: &Jobs,
    provider: &Arc<dyn Provider>,
    patience: Patience,
    rows: &mut HashMap<AppId, Row>,
) -> Result<(), StoreError> {
    let mut db = jobs.store.read().await?;
    let all = job::undisturbed(&mut db).await?;
    drop(db);
    // An app that has something to do is not among them, and its row goes on.
    let longest = patience.stable.saturating_add(pause(patience, patience.most));
    rows.retain(|_, row| row.last.elapsed() < longest);
    for live in all {
        if let Some(drift) = Drift::of(jobs, provider, &live).await? {
            drift.answer(jobs, patience, &live, rows).await?;
        } else if rows.get(&live.app).is_some_and(|row| row.last.elapsed() >= patience.stable) {
            rows.remove(&live.app);
        }
    }
    Ok(())
}

/// A difference between what is to run and what does.
enum Drift {
    /// Something to put right, as a sentence.
    Wrong(String),
    /// The app came to its end, by its own restart policy; as a sentence.
    Over(String),
}

impl Drift {
    async fn of(jobs: &Jobs, provider: &Arc<dyn Provider>, live: &Job) -> Result<Option<Self>, StoreError> {
        let Work::Deploy(id) = live.work else { return Ok(None) };
        let mut db = jobs.store.read().await?;
        let (app, release) = (app::find(&mut db, live.app).await?, release::find(&mut db, id).await?);
        drop(db);
        let (Some(app), Some(release)) = (app, release) else { return Ok(None) };
        let provider = Arc::clone(provider);
        let observed = tokio::task::spawn_blocking(move || provider.observe(&app.label)).await;
        let Ok(Ok(observed)) = observed else { return Ok(None) };
        let (number, made) = (release.number, &release.made);
        Ok(match observed {
            Observed::Runs(running)
                if running.image_sha256 == made.image && running.measurements == made.measurements =>
            {
                None
            }
            Observed::Busy => None,
            Observed::Runs(_) => {
                Some(Self::Wrong(format!("Another image ran in the place of release {number}.")))
            }
            Observed::Gone(why) => Some(Self::Wrong(format!("Nothing ran of release {number}: {why}"))),
            Observed::Over(why) => Some(Self::Over(format!(
                "Release {number} came to its end, and its restart policy says that it is not started again: {why}"
            ))),
        })
    }

    async fn answer(
        self,
        jobs: &Jobs,
        patience: Patience,
        live: &Job,
        rows: &mut HashMap<AppId, Row>,
    ) -> Result<(), StoreError> {
        let text = match self {
            Self::Over(text) => return end(jobs, live, &text).await,
            Self::Wrong(text) => text,
        };
        // Somebody deployed since: what went wrong before counts no more.
        let row = rows.get(&live.app).copied().filter(|row| row.of.contains(&live.id));
        let tries = row.map_or(0, |row| row.tries);
        if row.is_some_and(|row| row.last.elapsed() < pause(patience, row.tries)) {
            return Ok(());
        }
        if tries >= patience.most {
            rows.remove(&live.app);
            let text = format!(
                "{text} It was deployed again {tries} times in a row, and no more: `caution apps start` tries again."
            );
            return end(jobs, live, &text).await;
        }
        if let Some(again) = deploy(jobs, live, &text).await? {
            let row = Row { of: [live.id, again], tries: tries + 1, last: Instant::now() };
            rows.insert(live.app, row);
        }
        Ok(())
    }
}

/// How long the next try waits after so many.
fn pause(patience: Patience, tries: u32) -> Duration {
    patience.pause.saturating_mul(1 << tries.saturating_sub(1).min(16))
}

/// Queues the live release's deployment, unless somebody asked for something meanwhile: then that decides what runs.
async fn deploy(jobs: &Jobs, live: &Job, text: &str) -> Result<Option<JobId>, StoreError> {
    let mut change = jobs.store.change().await?;
    let new = NewJob { app: live.app, work: live.work.clone(), made_by: live.made_by };
    let queued = job::queue(&mut change, &new).await?;
    // After it was queued: whatever comes later comes behind it.
    let still = job::live(&mut change, live.app).await?.is_some_and(|now| now.id == live.id);
    if !still || job::open(&mut change, live.app).await?.len() > 1 {
        return Ok(None);
    }
    event::add(&mut change, live.app, "drift", &format!("{text} It is deployed again.")).await?;
    change.commit().await?;
    jobs.bell.ring();
    Ok(Some(queued.id))
}

/// Nothing is live any more, since nothing runs.
async fn end(jobs: &Jobs, live: &Job, text: &str) -> Result<(), StoreError> {
    let mut change = jobs.store.change().await?;
    let still = job::live(&mut change, live.app).await?.is_some_and(|now| now.id == live.id);
    if !still || !job::open(&mut change, live.app).await?.is_empty() {
        return Ok(());
    }
    job::end_live(&mut change, live.app, Event::Ended).await?;
    event::add(&mut change, live.app, "drift", text).await?;
    change.commit().await?;
    jobs.bell.ring();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double() {
        let patience = Patience::default();
        let minutes = |tries| pause(patience, tries).as_secs() / 60;
        assert_eq!([1, 2, 3, 4].map(minutes), [1, 2, 4, 8]);
    }
}
