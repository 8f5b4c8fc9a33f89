use super::Fixture;
use caution_measure::{Measurements, Pcr, Sha256Digest};
use caution_server::job::phase::{Event, Phase};
use caution_server::store::job::{self, Failure, Held, Job, NewJob, Work};
use caution_server::store::release::{self, Made};
use caution_server::store::{AppId, Store, StoreError, event};

impl Fixture {
    async fn queue(&self, app: AppId, work: Work) -> Job {
        let mut db = self.store.read().await.unwrap();
        job::queue(&mut db, &NewJob { app, work, made_by: self.account }).await.unwrap()
    }
}

async fn take(store: &Store) -> Option<Held> {
    job::take(&mut store.read().await.unwrap(), 2).await.unwrap()
}

async fn phase(store: &Store, job: &Job) -> Phase {
    job::find(&mut store.read().await.unwrap(), job.id).await.unwrap().unwrap().phase
}

fn made(commit: &str) -> Made {
    Made {
        commit: commit.to_owned(),
        plan: Sha256Digest::of(commit.as_bytes()),
        image: Sha256Digest::of(b"image"),
        image_bytes: 7,
        measurements: Measurements { pcr0: Pcr::ZERO, pcr1: Pcr::ZERO, pcr2: Pcr::EMPTY },
        enclaveos: "0.1.0".to_owned(),
        manifest: "{}".to_owned(),
    }
}

/// A build up to its release and the deployment that follows.
async fn build(here: &Fixture, app: AppId, commit: &str) -> Job {
    here.queue(app, Work::Build(commit.to_owned())).await;
    let held = take(&here.store).await.unwrap();
    let mut change = here.store.change().await.unwrap();
    job::advance(&mut change, &held, Event::Built).await.unwrap();
    let (release, deployment) = release::write(&mut change, &held, &made(commit)).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(deployment.work, Work::Deploy(release.id));
    assert_eq!(release.made, made(commit));
    deployment
}

#[tokio::test]
async fn an_apps_work_is_taken_in_order_one_at_a_time_and_builds_up_to_their_limit() {
    let here = Fixture::new().await;
    let (a, b, c) = (here.app("a").await, here.app("b").await, here.app("c").await);
    let first = here.queue(a, Work::Build("1".to_owned())).await;
    let second = here.queue(a, Work::Build("2".to_owned())).await;
    assert_eq!((first.number, second.number), (2, 4));
    let held = take(&here.store).await.unwrap();
    assert_eq!((held.job.id, held.job.phase), (first.id, Phase::Building));
    assert_eq!(take(&here.store).await, None);

    here.queue(b, Work::Build("3".to_owned())).await;
    here.queue(c, Work::Build("4".to_owned())).await;
    let other = take(&here.store).await.unwrap();
    assert_eq!(other.job.app, b);
    // Two builds are the limit.
    assert_eq!(take(&here.store).await, None);

    let why = Failure { message: "It cannot be built.".to_owned(), fix: None };
    job::fail(&mut here.store.change().await.unwrap(), &held, &why).await.unwrap();
    assert_eq!(phase(&here.store, &first).await, Phase::Building, "a change that is not committed is none");
    let mut change = here.store.change().await.unwrap();
    job::fail(&mut change, &held, &why).await.unwrap();
    change.commit().await.unwrap();
    let failed = job::find(&mut here.store.read().await.unwrap(), first.id).await.unwrap().unwrap();
    assert_eq!((failed.phase, failed.failure), (Phase::Failed, Some(why)));
    assert!(failed.ended_ms.is_some());
    assert_eq!(take(&here.store).await.unwrap().job.id, second.id);
}

#[tokio::test]
async fn a_worker_whose_lease_was_taken_over_writes_nothing() {
    let here = Fixture::new().await;
    let app = here.app("a").await;
    let queued = here.queue(app, Work::Build("1".to_owned())).await;
    let old = take(&here.store).await.unwrap();
    let mut db = here.store.read().await.unwrap();
    assert!(!job::renew(&mut db, &old).await.unwrap());
    // As at the start after a crash.
    job::forget_leases(&mut db).await.unwrap();
    drop(db);
    let new = take(&here.store).await.unwrap();
    assert_eq!((new.job.id, new.job.phase), (queued.id, Phase::Building));

    let mut change = here.store.change().await.unwrap();
    assert!(matches!(job::renew(&mut change, &old).await, Err(StoreError::LeaseLost)));
    assert!(matches!(job::advance(&mut change, &old, Event::Built).await, Err(StoreError::LeaseLost)));
    let why = Failure { message: "It was slow.".to_owned(), fix: None };
    assert!(matches!(job::fail(&mut change, &old, &why).await, Err(StoreError::LeaseLost)));
    job::advance(&mut change, &new, Event::Built).await.unwrap();
    let refused = job::advance(&mut change, &new, Event::Taken).await;
    assert!(matches!(refused, Err(StoreError::Phase { before: Phase::Storing, .. })), "{refused:?}");
    assert!(matches!(release::write(&mut change, &old, &made("1")).await, Err(StoreError::LeaseLost)));
    release::write(&mut change, &new, &made("1")).await.unwrap();
    change.commit().await.unwrap();
}

#[tokio::test]
async fn live_changes_hands_at_once_and_one_deployment_has_it() {
    let here = Fixture::new().await;
    let app = here.app("a").await;
    let first = build(&here, app, "1").await;
    let one = take(&here.store).await.unwrap();
    assert_eq!(one.job.phase, Phase::Starting);
    let mut change = here.store.change().await.unwrap();
    job::hand_over(&mut change, &one).await.unwrap();
    change.commit().await.unwrap();

    let second = build(&here, app, "2").await;
    let two = take(&here.store).await.unwrap();
    // Not without taking it from the first.
    let mut change = here.store.change().await.unwrap();
    assert!(matches!(job::advance(&mut change, &two, Event::Serves).await, Err(StoreError::Taken)));
    drop(change);
    assert_eq!(phase(&here.store, &first).await, Phase::Live);
    let mut change = here.store.change().await.unwrap();
    job::hand_over(&mut change, &two).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(phase(&here.store, &first).await, Phase::Replaced);
    assert_eq!(phase(&here.store, &second).await, Phase::Live);

    let mut db = here.store.read().await.unwrap();
    assert_eq!(job::live(&mut db, app).await.unwrap().unwrap().id, second.id);
    job::end_live(&mut db, app, Event::Ended).await.unwrap();
    assert_eq!(job::live(&mut db, app).await.unwrap(), None);
    assert_eq!(job::served_last(&mut db, app).await.unwrap().unwrap().id, second.id);
    let releases = release::list(&mut db, app, None, 10).await.unwrap();
    assert_eq!(releases.iter().map(|release| release.number).collect::<Vec<_>>(), [2, 1]);
    let found = release::by_plan(&mut db, app, Sha256Digest::of(b"1")).await.unwrap().unwrap();
    assert_eq!(found, releases[1]);
    assert_eq!(release::numbered(&mut db, app, 2).await.unwrap().as_ref(), Some(&releases[0]));
}

#[tokio::test]
async fn a_job_that_waits_is_called_off_at_once_and_one_that_runs_is_asked() {
    let here = Fixture::new().await;
    let app = here.app("a").await;
    let running = here.queue(app, Work::Build("1".to_owned())).await;
    let waiting = here.queue(app, Work::Build("2".to_owned())).await;
    let held = take(&here.store).await.unwrap();
    let mut db = here.store.read().await.unwrap();
    job::cancel_all(&mut db, app).await.unwrap();
    assert_eq!(phase(&here.store, &waiting).await, Phase::Cancelled);
    assert_eq!(phase(&here.store, &running).await, Phase::Building);
    assert!(job::renew(&mut db, &held).await.unwrap());
    assert_eq!(job::advance(&mut db, &held, Event::Cancelled).await.unwrap(), Phase::Cancelled);
    assert!(!job::cancel(&mut db, running.id).await.unwrap());
    assert_eq!(take(&here.store).await, None);
}

#[tokio::test]
async fn events_are_listed_newest_first_in_pages() {
    let here = Fixture::new().await;
    let app = here.app("a").await;
    let mut db = here.store.read().await.unwrap();
    for n in 0..5 {
        event::add(&mut db, app, "note", &format!("Event {n}.")).await.unwrap();
    }
    let page = event::list(&mut db, app, None, 2).await.unwrap();
    assert_eq!(page.iter().map(|e| e.text.as_str()).collect::<Vec<_>>(), ["Event 4.", "Event 3."]);
    let page = event::list(&mut db, app, Some(page[1].id), 9).await.unwrap();
    assert_eq!(page.len(), 3);
}
