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
