//! From a commit to what runs, and what is left of it when the server is killed in between.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

#[path = "../support/database.rs"]
mod database;
mod drift;
mod full;
mod killed;
mod many;
mod outage;
mod process;
mod support;

use caution_server::job::Said;
use caution_server::job::phase::{Event, Phase};
use caution_server::store::job::{self, NewJob, Work};
use caution_server::store::{app, event, release};
use std::fs;
use std::sync::atomic::Ordering;
use support::{World, image_file};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_a_release_that_is_live_and_the_same_one_is_not_built_again() {
    let world = World::new().await;
    let commit = world.commit("one");
    let workers = world.work();
    let build = world.queue(Work::Build(commit.clone())).await;
    let live = world.reaches(3, Phase::Live).await;
    let log = fs::read_to_string(world.data.join(format!("logs/{}.log", build.id))).unwrap();
    assert_eq!(log, "  container from a script\n");
    let log = fs::read_to_string(world.data.join(format!("logs/{}.log", live.id))).unwrap();
    for part in ["release   1", "boot      in memory", "PCR0", "https://hello.localhost:8443   attestation "]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
    let want = world.provider.applied.lock().unwrap()[0].clone();
    let (bytes, written) = image_file();
    assert_eq!((want.image_sha256, want.measurements), (written.sha256, written.measurements));
    assert_eq!(fs::read(&want.image).unwrap(), bytes);
    assert_eq!((want.label.as_str(), want.shape.http_port), ("hello", Some(8080)));
    assert!(!world.data.join(format!("scratch/{}", build.id)).exists());

    world.queue(Work::Build(commit.clone())).await;
    world.reaches(5, Phase::Live).await;
    assert_eq!(world.built(), 1);
    let mut db = world.store.read().await.unwrap();
    let releases = release::list(&mut db, world.app, None, 9).await.unwrap();
    assert_eq!(
        releases.iter().map(|r| (r.number, &r.made.commit)).collect::<Vec<_>>(),
        [(2, &commit), (1, &commit)]
    );
    drop(db);

    // Back, to nothing, and away.
    world.queue(Work::Deploy(releases[1].id)).await;
    world.reaches(6, Phase::Live).await;
    world.queue(Work::Stop).await;
    world.reaches(8, Phase::Done).await;
    world.reaches(6, Phase::Stopped).await;
    assert!(world.provider.running.lock().unwrap().is_none());
    let mut change = world.store.change().await.unwrap();
    assert!(app::begin_destroying(&mut change, world.app).await.unwrap());
    change.commit().await.unwrap();
    world.queue(Work::Destroy).await;
    loop {
        let mut bell = world.bell.listen();
        if app::find(&mut world.store.read().await.unwrap(), world.app).await.unwrap().is_none() {
            break;
        }
        bell.heard().await;
    }
    for folder in ["git", "images", "logs", "scratch"] {
        assert_eq!(fs::read_dir(world.data.join(folder)).unwrap().count(), 0, "{folder}");
    }
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why_and_what_was_live_goes_on() {
    let world = World::new().await;
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    world.reaches(3, Phase::Live).await;
    fs::write(world.path("fail"), "").unwrap();
    world.queue(Work::Build(world.commit("two"))).await;
    let failed = world.reaches(4, Phase::Failed).await.failure.unwrap();
    assert_eq!((failed.message.as_str(), failed.fix.as_deref()), ("It does not build.", Some("build it")));
    fs::remove_file(world.path("fail")).unwrap();
    world.provider.refuses.store(true, Ordering::Relaxed);
    world.queue(Work::Build(world.commit("three"))).await;
    let failed = world.reaches(7, Phase::Failed).await.failure.unwrap();
    assert_eq!(failed.message, "It was never ready.");
    let mut db = world.store.read().await.unwrap();
    assert_eq!(job::live(&mut db, world.app).await.unwrap().unwrap().number, 3);
    let events = event::list(&mut db, world.app, None, 9).await.unwrap();
    assert_eq!(events[0].text, "The deploy failed: It was never ready.");
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_called_off_ends_with_its_builder() {
    let world = World::new().await;
    fs::write(world.path("hang"), "").unwrap();
    let workers = world.work();
    let build = world.queue(Work::Build(world.commit("one"))).await;
    world.reaches(2, Phase::Building).await;
    assert!(job::cancel(&mut world.store.read().await.unwrap(), build.id).await.unwrap());
    world.bell.ring();
    world.reaches(2, Phase::Cancelled).await;
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_begun_again_by_the_next_start() {
    let world = World::new().await;
    fs::write(world.path("hang"), "").unwrap();
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    while world.built() == 0 {
        let mut bell = world.bell.listen();
        if world.built() == 0 {
            bell.heard().await;
        }
    }
    workers.abort();
    assert!(workers.await.unwrap_err().is_cancelled());
    fs::remove_file(world.path("hang")).unwrap();
    let workers = world.work();
    world.reaches(3, Phase::Live).await;
    assert_eq!((world.built(), world.list().await.len()), (2, 2));
    workers.abort();
}

/// A worker that was killed leaves a job at its phase, held, with what it has done already.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_built_is_stored_and_deployed_by_the_next_start() {
    let world = World::new().await;
    let build = world.queue(Work::Build(world.commit("one"))).await;
    let mut db = world.store.read().await.unwrap();
    let held = job::take(&mut db, 1).await.unwrap().unwrap();
    let scratch = world.data.join(format!("scratch/{}", build.id));
    fs::create_dir_all(&scratch).unwrap();
    let eif = scratch.join("enclave.eif");
    fs::copy(world.path("image.eif"), &eif).unwrap();
    let note = fs::read_to_string(world.path("answer")).unwrap().replace("EIF", eif.to_str().unwrap());
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    fs::write(scratch.join("built.json"), note["built"].to_string()).unwrap();
    job::advance(&mut db, &held, Event::Built).await.unwrap();
    drop(db);
    let workers = world.work();
    world.reaches(3, Phase::Live).await;
    assert_eq!(world.built(), 0);
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_was_begun_is_asked_for_again_by_the_next_start() {
    let world = World::new().await;
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    world.reaches(3, Phase::Live).await;
    workers.abort();
    assert!(workers.await.unwrap_err().is_cancelled());
    let mut db = world.store.read().await.unwrap();
    let release = release::list(&mut db, world.app, None, 1).await.unwrap().remove(0);
    drop(db);
    world.queue(Work::Deploy(release.id)).await;
    // The database may still have done this for the worker that ended, which leaves the same.
    let _held = job::take(&mut world.store.read().await.unwrap(), 1).await.unwrap();
    world.reaches(4, Phase::Starting).await;
    let workers = world.work();
    world.reaches(4, Phase::Live).await;
    world.reaches(3, Phase::Replaced).await;
    assert_eq!(world.provider.applied.lock().unwrap().len(), 2);
    workers.abort();
}

/// What a lease says is long over when the clock jumps forward: nobody takes the work away from who does it.
#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_when_the_clock_jumps() {
    let world = World::new().await;
    let gate = world.path("gate");
    support::pipe(&gate);
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    let path = gate.clone();
    let held = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(path).unwrap());
    let held = held.await.unwrap();
    let mut db = world.store.read().await.unwrap();
    sqlx::query("UPDATE job SET lease_ms = 1").execute(&mut *db).await.unwrap();
    let organisation = app::find(&mut db, world.app).await.unwrap().unwrap().organisation;
    let other = app::create(&mut db, organisation, "other", "main").await.unwrap().id;
    drop(db);
    // Workers look for something to do, and find it elsewhere.
    let new = NewJob { app: other, work: Work::Stop, made_by: world.account };
    let stop = world.jobs.queue(&new).await.unwrap();
    let mut followed = world.jobs.follow(stop.id);
    assert!(matches!(followed.next().await.unwrap(), Said::Ended(job) if job.phase == Phase::Done));
    fs::remove_file(gate).unwrap();
    drop(held);
    world.reaches(3, Phase::Live).await;
    assert_eq!(world.built(), 1);
    workers.abort();
}

#[test]
fn everything_holds_with_postgresql_too() {
    database::everything_again("everything_holds_with_postgresql_too");
}
