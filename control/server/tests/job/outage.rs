//! The database goes away in the middle of work, and comes back.

use crate::database::Cluster;
use crate::support::{World, pipe};
use caution_server::job::phase::Phase;
use caution_server::store::job::Work;
use caution_server::store::{Store, event};
use std::fs;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_database_that_is_away_and_nothing_is_done_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let store = Store::postgres(&cluster.database().await).await.unwrap();
    let world = World::with(tempfile::tempdir().unwrap(), store).await;
    let (building, switching) = (world.path("gate"), world.path("switch"));
    pipe(&building);
    pipe(&switching);
    *world.provider.gate.lock().unwrap() = Some(switching.clone());
    let workers = world.work();
    world.queue(Work::Build(world.commit("one"))).await;
    away_while_it_goes_on(&cluster, &building).await;
    away_while_it_goes_on(&cluster, &switching).await;
    world.reaches(3, Phase::Live).await;
    let applied = world.provider.applied.lock().unwrap().len();
    assert_eq!((world.built(), applied, world.list().await.len()), (1, 1, 2));
    let mut db = world.store.read().await.unwrap();
    let events = event::list(&mut db, world.app, None, 9).await.unwrap();
    assert_eq!(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["live", "release"]);
    workers.abort();
}

/// Ends the database when what reads the pipe waits there, and begins it again when that has gone on.
async fn away_while_it_goes_on(cluster: &Cluster, pipe: &Path) {
    let path = pipe.to_owned();
    // Opened when there is a reader, which goes on when it is closed.
    let held = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(path).unwrap());
    let held = held.await.unwrap();
    cluster.end();
    drop(held);
    fs::remove_file(pipe).unwrap();
    cluster.begin();
}
