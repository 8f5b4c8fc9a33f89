//! `kill -9` of the server at every phase of push → build → deploy → switch, stop and destruction.

use crate::process::{Gate, Platform, Reached, said};
use caution_server::job::phase::{Kind, Phase};
use caution_server::store::job::{self, Job, Work};
use caution_server::store::{AppId, app, audit, release};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where the server is killed on the way of a push.
struct Killed {
    at: &'static str,
    /// What is written down then of the newest job.
    phase: Option<Phase>,
    reach: fn(&Platform, AppId) -> Box<dyn FnOnce() -> Reached>,
}

const ON_THE_WAY: [Killed; 6] = [
    Killed { at: "before the branch moves", phase: None, reach: |p, _| in_hook(p, "pre-receive") },
    Killed { at: "when the branch has moved", phase: None, reach: |p, _| in_hook(p, "post-receive") },
    Killed {
        at: "in the middle of the build",
        phase: Some(Phase::Building),
        reach: |p, _| gate(&p.path("hang")),
    },
    Killed {
        at: "while the image is measured",
        phase: Some(Phase::Storing),
        reach: image_that_is_never_read,
    },
    Killed {
        at: "before the switch",
        phase: Some(Phase::Starting),
        reach: |p, _| gate(&p.path("before-apply")),
    },
    Killed {
        at: "after the switch",
        phase: Some(Phase::Starting),
        reach: |p, _| gate(&p.path("after-apply")),
    },
];

fn gate(path: &Path) -> Box<dyn FnOnce() -> Reached> {
    let gate = Gate::new(path.to_owned());
    Box::new(move || gate.reached().close())
}

/// The next start writes hooks anew; the git that runs goes on with this one.
fn in_hook(platform: &Platform, name: &str) -> Box<dyn FnOnce() -> Reached> {
    let (hook, pipe) = (platform.path("data/hooks").join(name), platform.path("hook"));
    let text = fs::read_to_string(&hook).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let waits = format!("cat {} >{}.passed\n", pipe.display(), pipe.display());
    let text = match name {
        "pre-receive" => format!("{text}{waits}"),
        _ => format!("{first}\n{waits}{rest}"),
    };
    fs::write(hook, text).unwrap();
    gate(&pipe)
}

fn image_that_is_never_read(platform: &Platform, _app: AppId) -> Box<dyn FnOnce() -> Reached> {
    fs::write(platform.path("slow"), "").unwrap();
    // Every commit has this same image, which would not be looked at again.
    for image in fs::read_dir(platform.path("data/images")).unwrap() {
        fs::remove_file(image.unwrap().path()).unwrap();
    }
    let (scratch, slow) = (platform.path("data/scratch"), platform.path("slow"));
    let image = platform.path("image.eif");
    Box::new(move || {
        let eif = wait_for(|| {
            let jobs = fs::read_dir(&scratch).ok()?;
            let images = jobs.flatten().map(|job| job.path().join("eif-stage/enclave.eif"));
            images.into_iter().find(|path| path.exists())
        });
        // Opened when the server reads it.
        let reached = Gate::there(eif.clone()).reached().close();
        fs::copy(image, eif).unwrap();
        fs::remove_file(slow).unwrap();
        reached
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_on_the_way_of_a_push_brings_it_to_its_end() {
    let mut platform = Platform::new().await;
    let app = platform.app("hello");
    let mut commit = platform.commit("first");
    let (pushed, text) = said(platform.push(app));
    assert!(pushed, "{text}");
    for (n, killed) in ON_THE_WAY.into_iter().enumerate() {
        let before = newest(&platform, app).await.map(|job| job.number);
        let reach = (killed.reach)(&platform, app);
        let earlier = std::mem::replace(&mut commit, platform.commit(killed.at));
        let push = platform.push(app);
        let reached = reach();
        let job = newest(&platform, app).await.filter(|job| Some(job.number) != before);
        assert_eq!(job.map(|job| job.phase), killed.phase, "{}", killed.at);
        platform.kill();
        assert!(!said(push).0, "{}", killed.at);
        // One of them is there at any time.
        let running = platform.running("hello").unwrap();
        assert!(running == commit || running == earlier, "{}", killed.at);
        platform.start();
        // Hooks that wait: their git goes on although its server is gone.
        drop(reached);
        let live = live(&platform, app, &commit).await;
        assert_eq!(platform.running("hello").as_ref(), Some(&commit), "{}", killed.at);
        assert_eq!(audited(&platform, "push").await, n + 2, "{}", killed.at);
        nothing_is_left(&platform, app, live).await;
        assert_eq!(platform.asked("destroy"), 0);
    }
    // First start, key, app, and a push each.
    let mut db = platform.store.read().await.unwrap();
    let lines = audit::list(&mut db, platform.organisation, None, 99).await.unwrap();
    assert_eq!(lines.len(), 2 + 1 + ON_THE_WAY.len(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_is_killed_fails_its_build_and_nothing_else() {
    let platform = Platform::new().await;
    let app = platform.app("hello");
    let commit = platform.commit("first");
    assert!(said(platform.push(app)).0);
    let reach = gate(&platform.path("hang"));
    platform.commit("second");
    let push = platform.push(app);
    let reached = reach();
    kill_builder(&platform);
    let (pushed, text) = said(push);
    assert!(!pushed && text.contains("The builder failed: it ended with signal: 9"), "{text}");
    drop(reached);
    live(&platform, app, &commit).await;
    assert_eq!(platform.running("hello"), Some(commit));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_it_ends_an_app_ends_it() {
    let mut platform = Platform::new().await;
    let app = platform.app("hello");
    let commit = platform.commit("first");
    assert!(said(platform.push(app)).0);
    let path = format!("/v1/apps/{app}");
    for at in ["before-destroy", "after-destroy"] {
        let reach = gate(&platform.path(at));
        platform.ask("POST", &format!("{path}/stop"), None);
        kill_and_start(&mut platform, reach());
        wait(async || job::live(&mut platform.store.read().await.unwrap(), app).await.unwrap().is_none())
            .await;
        assert_eq!(platform.running("hello"), None, "{at}");
        platform.ask("POST", &format!("{path}/jobs"), Some(json!({ "release": 1 })));
        live(&platform, app, &commit).await;
        assert_eq!(platform.running("hello").as_ref(), Some(&commit), "{at}");
    }
    let reach = gate(&platform.path("before-destroy"));
    platform.ask("DELETE", &format!("{path}?confirm=hello"), None);
    kill_and_start(&mut platform, reach());
    wait(async || app::find(&mut platform.store.read().await.unwrap(), app).await.unwrap().is_none()).await;
    assert_eq!(platform.running("hello"), None);
    for folder in ["git", "images", "logs", "scratch"] {
        assert_eq!(fs::read_dir(platform.path("data").join(folder)).unwrap().count(), 0, "{folder}");
    }
    for (action, times) in [("app_stop", 2), ("job_create", 2), ("app_destroy", 1)] {
        assert_eq!(audited(&platform, action).await, times, "{action}");
    }
}

fn kill_and_start(platform: &mut Platform, reached: Reached) {
    platform.kill();
    drop(reached);
    platform.start();
}

async fn newest(platform: &Platform, app: AppId) -> Option<Job> {
    job::list(&mut platform.store.read().await.unwrap(), app, None, 1).await.unwrap().into_iter().next()
}

/// Waits until a commit is live, and everything else at its end.
async fn live(platform: &Platform, app: AppId, commit: &str) -> Job {
    loop {
        let mut db = platform.store.read().await.unwrap();
        let jobs = job::list(&mut db, app, None, 99).await.unwrap();
        let live: Vec<&Job> = jobs.iter().filter(|job| job.phase == Phase::Live).collect();
        assert!(live.len() <= 1);
        if let ([live], false) = (live.as_slice(), jobs.iter().any(|job| job.phase.is_open())) {
            let Work::Deploy(id) = live.work else { panic!("{live:?}") };
            if release::find(&mut db, id).await.unwrap().unwrap().made.commit == commit {
                return (*live).clone();
            }
        }
        drop(db);
        tokio::time::sleep(LOOK).await;
    }
}

/// Neither files of work that ended nor a builder; and one release for each build.
async fn nothing_is_left(platform: &Platform, app: AppId, live: Job) {
    let mut db = platform.store.read().await.unwrap();
    let jobs = job::list(&mut db, app, None, 99).await.unwrap();
    let builds = jobs.iter().filter(|job| job.work.kind() == Kind::Build).count();
    let releases = release::list(&mut db, app, None, 99).await.unwrap();
    assert_eq!((releases.len(), jobs.len(), jobs[0].id), (builds, 2 * builds, live.id));
    let scratch = fs::read_dir(platform.path("data/scratch")).unwrap().count();
    let pushes = fs::read_dir(platform.path(&format!("data/git/{app}.git"))).unwrap().flatten();
    let pushes = pushes.filter(|entry| entry.file_name().to_string_lossy().starts_with("push-")).count();
    assert_eq!((scratch, pushes), (0, 0));
    let builder = fs::read_to_string(platform.path("builder.pid")).unwrap();
    wait(async || !Path::new("/proc").join(builder.trim()).exists()).await;
}

async fn audited(platform: &Platform, action: &str) -> usize {
    let mut db = platform.store.read().await.unwrap();
    let lines = audit::list(&mut db, platform.organisation, None, 99).await.unwrap();
    lines.iter().filter(|line| line.action == action).count()
}

fn kill_builder(platform: &Platform) {
    let pid = fs::read_to_string(platform.path("builder.pid")).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    assert!(killed.success());
}

/// What other processes do is seen by looking.
async fn wait(mut there: impl AsyncFnMut() -> bool) {
    while !there().await {
        tokio::time::sleep(LOOK).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of another process is seen by looking for it")]
fn wait_for<T>(mut there: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = there() {
            return found;
        }
        std::thread::sleep(LOOK);
    }
}

const LOOK: Duration = Duration::from_millis(20);
