//! Many pushes at once.

use crate::process::{Platform, said};
use caution_server::job::phase::{Kind, Phase};
use caution_server::store::job::{self, Work};
use caution_server::store::{AppId, release};
use std::process::Child;

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_once_are_drained_in_order_and_the_last_commit_of_each_branch_is_live() {
    drained(20, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "200 pushes take a minute and both processors"]
async fn a_hundred_pushes_at_once_to_one_app_and_to_twenty_are_drained_in_order() {
    drained(1, 100).await;
    drained(20, 5).await;
}

async fn drained(apps: usize, pushes: usize) {
    let platform = Platform::new().await;
    let apps: Vec<AppId> = (0..apps).map(|n| platform.app(&format!("app-{n}"))).collect();
    let mut all: Vec<(AppId, Child)> = Vec::new();
    for n in 0..pushes {
        let commit = platform.commit(&n.to_string());
        all.extend(apps.iter().map(|app| (*app, platform.push_commit(*app, &commit))));
    }
    let mut stored = 0;
    for (_, push) in all {
        let (done, text) = said(push);
        // Two that move one branch at the same moment: git takes one of them.
        assert!(done || text.contains("cannot lock ref") || text.contains("failed to update ref"), "{text}");
        stored += usize::from(done);
    }
    let mut builds = 0;
    for (n, app) in apps.iter().enumerate() {
        let mut db = platform.store.read().await.unwrap();
        let jobs = job::list(&mut db, *app, None, 1000).await.unwrap();
        assert!(jobs.iter().all(|job| !job.phase.is_open() && job.failure.is_none()), "{jobs:?}");
        // One after the other, in the order of their numbers.
        for pair in jobs.windows(2) {
            assert!(pair[1].ended_ms.is_none_or(|ended| pair[0].started_ms.unwrap() >= pair[1].started_ms.unwrap().min(ended)));
        }
        assert_eq!(jobs[0].phase, Phase::Live);
        assert_eq!(jobs.iter().filter(|job| job.phase == Phase::Live).count(), 1);
        let Work::Deploy(id) = jobs[0].work else { panic!("{:?}", jobs[0]) };
        let live = release::find(&mut db, id).await.unwrap().unwrap().made.commit;
        assert_eq!(live, platform.head(*app));
        assert_eq!(platform.running(&format!("app-{n}")), Some(live));
        builds += jobs.iter().filter(|job| job.work.kind() == Kind::Build).count();
    }
    // The others were told that theirs was overtaken.
    assert!((apps.len()..=stored).contains(&builds), "{builds} of {stored}");
}
