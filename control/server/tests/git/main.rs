//! The git server, as git and ssh see it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

#[path = "../support/database.rs"]
mod database;
mod hostile;
mod killed;
mod removed;
mod support;

use caution_server::job::phase::Phase::{self, Done, Live, Replaced};
use std::process::Stdio;
use support::{World, text};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_built_and_deployed_while_the_client_is_told() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let (pushed, commit) = tokio::join!(world.run("alice", &dir, &["push", "caution", "main"]), world.work());
    let said = text(&pushed);
    assert!(pushed.status.success(), "{said}");
    for line in [
        &format!("remote: hello · commit {} ·", &commit[..7])[..],
        "remote:   build     from the test",
        "remote:   boot      from the test",
        "main -> main",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let again = world.run("alice", &dir, &["push", "caution", "main"]).await;
    assert!(again.status.success() && text(&again).contains("Everything up-to-date"), "{}", text(&again));
    assert_eq!(world.jobs().await.len(), 2);

    // What was pushed is fetched back, by whoever may read.
    let url = world.url(&world.app.to_string());
    let cloned = world.run("victor", world.path("").as_path(), &["clone", "-q", &url, "copy"]).await;
    assert!(cloned.status.success(), "{}", text(&cloned));
    let head = world.run("victor", &world.path("copy"), &["rev-parse", "HEAD"]).await;
    assert_eq!(text(&head).trim(), commit);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_deployment_fails_fails_with_the_reason_and_is_stored() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let failing = world.fail("The Procfile has 2 problems.", "caution apps check");
    let (pushed, ()) = tokio::join!(world.run("alice", &dir, &["push", "caution", "main"]), failing);
    let said = text(&pushed);
    assert_eq!(pushed.status.code(), Some(1), "{said}");
    assert!(said.contains("remote: error: The Procfile has 2 problems."), "{said}");
    assert!(said.contains("remote:   fix: caution apps check"), "{said}");
    let listed = text(&world.run("alice", &dir, &["ls-remote", "caution"]).await);
    assert!(listed.contains("refs/heads/main"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_branches_and_tags_are_stored_and_not_deployed() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    world.run("alice", &dir, &["tag", "v1"]).await;
    let pushed = world.run("alice", &dir, &["push", "caution", "main:feature", "v1"]).await;
    let said = text(&pushed);
    assert!(pushed.status.success(), "{said}");
    assert!(said.contains("remote: feature is stored; only main is deployed."), "{said}");
    assert!(said.contains("git push caution feature:main"), "{said}");
    assert_eq!(world.jobs().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_the_work_to_go_on() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let mut push = world.git("alice", &dir, &["push", "caution", "main"]);
    let mut push = push.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(push.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("goes on if you leave") {
            break;
        }
    }
    push.kill().await.unwrap();
    world.work().await;
    assert_eq!(world.jobs().await[0].phase, Live);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_in_a_row_are_deployed_in_order() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let mut pushes = Vec::new();
    let mut commits = Vec::new();
    for n in 0..3 {
        world.run("alice", &dir, &["commit", "-q", "--allow-empty", "-m", &n.to_string()]).await;
        let head = text(&world.run("alice", &dir, &["rev-parse", "HEAD"]).await);
        commits.push(head.trim().to_owned());
        let before = world.jobs().await.len();
        let mut bell = world.bell.listen();
        pushes.push(world.git("alice", &dir, &["push", "-q", "caution", "main"]).spawn().unwrap());
        while world.jobs().await.len() == before {
            bell.heard().await;
        }
    }
    for commit in &commits {
        assert_eq!(&world.work().await, commit);
    }
    for push in &mut pushes {
        assert!(push.wait().await.unwrap().success());
    }
    let phases: Vec<Phase> = world.jobs().await.iter().map(|job| job.phase).collect();
    assert_eq!(phases, [Live, Done, Replaced, Done, Replaced, Done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_and_told_nothing_about_others() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let pushed = world.run("victor", &dir, &["push", "caution", "main"]).await;
    assert!(!pushed.status.success());
    assert!(text(&pushed).contains("This key may fetch from hello, not push to it."), "{}", text(&pushed));

    let url = world.url("01890000-0000-7000-8000-000000000000");
    let nowhere = text(&world.run("mallory", &dir, &["ls-remote", &url]).await);
    let others = text(&world.run("mallory", &dir, &["ls-remote", "caution"]).await);
    assert!(nowhere.contains("There is no such app, or this key may not see it."), "{nowhere}");
    assert_eq!(nowhere, others);

    world.key("stranger").await;
    let refused = world.run("stranger", &dir, &["ls-remote", "caution"]).await;
    assert!(text(&refused).contains("Permission denied (publickey)"), "{}", text(&refused));
    assert_eq!(world.jobs().await, []);
}

#[test]
fn everything_holds_with_postgresql_too() {
    database::everything_again("everything_holds_with_postgresql_too");
}
