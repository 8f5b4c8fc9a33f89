//! Whose key or role is taken away while they are connected.

use crate::support::{World, text};
use std::process::Stdio;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_removed_opens_nothing_on_a_connection_from_before() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let held = format!("{} -S {}", world.ssh("alice"), world.path("held").display());
    let url = world.url("");
    let server = url.strip_suffix("/.git").unwrap();
    // It returns when the server knows who it is; nothing is asked for yet.
    let open =
        Command::new("sh").args(["-c", &format!("{held} -M -f -N {server}")]).stderr(Stdio::null()).status();
    assert!(open.await.unwrap().success());
    world.sql("DELETE FROM ssh_key", &[]).await;
    let mut push = world.git("alice", &dir, &["push", "caution", "main"]);
    let pushed = push.env("GIT_SSH_COMMAND", &held).output().await.unwrap();
    Command::new("sh").args(["-c", &format!("{held} -O exit {server}")]).output().await.unwrap();
    assert!(!pushed.status.success());
    assert!(text(&pushed).contains("error: This key was removed."), "{}", text(&pushed));
    assert_eq!(world.jobs().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_while_a_push_is_on_its_way_moves_nothing() {
    for (taken, reason) in [
        ("DELETE FROM member", "error: There is no such app, or this key may not see it."),
        ("UPDATE member SET role = 'viewer'", "error: This key may fetch from hello, not push to it."),
        ("DELETE FROM ssh_key", "error: This key was removed."),
    ] {
        let world = World::new().await;
        let dir = world.checkout("one").await;
        let (at, go) = (world.path("at"), world.path("go"));
        assert!(Command::new("mkfifo").args([&at, &go]).status().await.unwrap().success());
        // git runs it when the server has said what it has, before the pack is sent.
        let hook = format!("#!/bin/sh\necho >{}\ncat {}\n", at.display(), go.display());
        std::fs::write(dir.join("pre-push"), hook).unwrap();
        let chmod = Command::new("chmod").arg("+x").arg(dir.join("pre-push")).status();
        assert!(chmod.await.unwrap().success());
        let hooks = format!("core.hooksPath={}", dir.display());
        let push = ["-c", &hooks, "push", "caution", "main"];
        let (pushed, ()) = tokio::join!(world.run("alice", &dir, &push), async {
            tokio::fs::read(&at).await.unwrap();
            world.sql(taken, &[]).await;
            tokio::fs::write(&go, "").await.unwrap();
        });
        assert!(!pushed.status.success());
        assert!(text(&pushed).contains(reason), "{}", text(&pushed));
        let repository = world.path(&format!("data/git/{}.git", world.app));
        assert_eq!(text(&world.run("alice", &repository, &["for-each-ref"]).await), "");
        assert_eq!(world.jobs().await, []);
        let left = std::fs::read_dir(&repository).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(left.filter(|name| name.starts_with("push-")).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
