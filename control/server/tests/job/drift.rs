//! What runs, and what is to run.

use crate::support::World;
use caution_measure::Sha256Digest;
use caution_server::job::phase::Phase;
use caution_server::store::event;
use caution_server::store::job::Work;
use std::sync::atomic::Ordering;

/// A world with something live, and what was said of it since.
async fn live() -> (World, tokio::task::JoinHandle<()>) {
    let world = World::new().await;
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    world.reaches(3, Phase::Live).await;
    (world, workers)
}

async fn drifts(world: &World) -> Vec<String> {
    let mut db = world.store.read().await.unwrap();
    let events = event::list(&mut db, world.app, None, 100).await.unwrap();
    events.into_iter().filter(|event| event.kind == "drift").map(|event| event.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_any_more_is_said_and_deployed_again() {
    let (world, workers) = live().await;
    *world.provider.running.lock().unwrap() = None;
    world.reaches(4, Phase::Live).await;
    world.reaches(3, Phase::Replaced).await;
    assert_eq!(
        drifts(&world).await,
        ["Nothing ran of release 1: Somebody asked for it. It is deployed again."]
    );
    // Another image in its place.
    if let Some(running) = world.provider.running.lock().unwrap().as_mut() {
        running.image_sha256 = Sha256Digest::of(b"another");
    }
    world.reaches(6, Phase::Live).await;
    assert_eq!(drifts(&world).await[0], "Another image ran in the place of release 1. It is deployed again.");
    assert!(world.provider.running.lock().unwrap().is_some());
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_right_is_given_up_and_said() {
    let (world, workers) = live().await;
    world.provider.refuses.store(true, Ordering::Relaxed);
    *world.provider.running.lock().unwrap() = None;
    world.reaches(3, Phase::Stopped).await;
    let jobs = world.list().await;
    assert_eq!(jobs.iter().filter(|job| job.phase == Phase::Failed).count(), 2);
    let last = &drifts(&world).await[0];
    assert!(last.contains("deployed again 2 times in a row, and no more"), "{last}");
    // Somebody starts it again: a row of its own.
    world.provider.refuses.store(false, Ordering::Relaxed);
    let Work::Deploy(release) = jobs[0].work else { panic!("{:?}", jobs[0]) };
    world.queue(Work::Deploy(release)).await;
    world.reaches(8, Phase::Live).await;
    workers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_came_to_its_own_end_is_not_started_again() {
    let (world, workers) = live().await;
    world.provider.over.store(true, Ordering::Relaxed);
    *world.provider.running.lock().unwrap() = None;
    world.reaches(3, Phase::Stopped).await;
    assert_eq!(world.list().await.len(), 2);
    assert!(drifts(&world).await[0].ends_with("it is not started again: Its app ended with status 0."));
    workers.abort();
}
