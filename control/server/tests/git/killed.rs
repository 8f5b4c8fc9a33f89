//! What a server that was killed in the middle of a push leaves behind, and its next start makes of it.

use crate::support::{World, text};
use caution_server::job::phase::Phase;
use caution_server::store::job::Work;
use caution_server::store::{AccountId, JobId, audit};
use std::fs;

/// What is left of a push: what was to move, and whether it did.
struct Left {
    ending: &'static str,
    moved: bool,
    deployed: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_moved_the_branch_is_deployed_by_the_next_start_and_no_other_one() {
    for left in [
        Left { ending: "intended", moved: false, deployed: false },
        Left { ending: "intended", moved: true, deployed: true },
        Left { ending: "moved", moved: true, deployed: true },
        Left { ending: "moved.new", moved: false, deployed: false },
    ] {
        let mut world = World::new().await;
        let (dir, alice) = (world.checkout("one").await, AccountId::new().unwrap());
        // The commit is there, and the branch is not.
        assert!(world.run("alice", &dir, &["push", "caution", "main:other"]).await.status.success());
        let repository = world.path(&format!("data/git/{}.git", world.app));
        let commit = text(&world.run("alice", &dir, &["rev-parse", "HEAD"]).await).trim().to_owned();
        if left.moved {
            world.run("alice", &repository, &["update-ref", "refs/heads/main", &commit]).await;
        }
        let lock = repository.join("refs/heads/main.lock");
        fs::write(&lock, "").unwrap();
        let name = format!("push-{}.{alice}.{}", JobId::new().unwrap(), left.ending);
        let lines = format!("{} {commit} refs/heads/main\n", "0".repeat(40));
        for _ in 0..2 {
            // Also where the files could not be removed after the job was written down.
            fs::write(repository.join(&name), &lines).unwrap();
            world.start_again().await;
            // The next push finds a repository that can be pushed to, when what was left is settled.
            world.run("alice", &dir, &["commit", "-q", "--allow-empty", "-m", "more"]).await;
            let pushed =
                world.run("alice", &dir, &["push", &world.url(&world.app.to_string()), "HEAD:another"]).await;
            assert!(pushed.status.success(), "{}", text(&pushed));
            assert!(!lock.exists() && !repository.join(&name).exists());
        }
        let jobs = world.jobs().await;
        let queued: Vec<_> = jobs.iter().map(|job| (&job.work, job.phase, job.made_by)).collect();
        let expected = (&Work::Build(commit.clone()), Phase::Queued, alice);
        assert_eq!(queued, if left.deployed { vec![expected] } else { Vec::new() }, "{}", left.ending);
        let mut db = world.store.read().await.unwrap();
        let lines = audit::list(&mut db, world.organisation, None, 99).await.unwrap();
        let of_alice = lines.iter().filter(|line| line.account == Some(alice));
        let expected = if left.deployed { vec![format!("main {}", &commit[..7])] } else { Vec::new() };
        assert_eq!(of_alice.map(|line| line.detail.clone()).collect::<Vec<_>>(), expected);
        // Three pushes that were seen to their end.
        assert_eq!(lines.len(), 3 + expected.len());
    }
}
