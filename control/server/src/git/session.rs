//! One command: git's own part of it, and for a push what becomes of it.

use super::Shared;
use super::access::{self, Known};
use super::command::{Asked, Service};
use super::push::{Follows, Moved, Push};
use super::question::Question;
use super::sideband::Sideband;
use crate::job::phase::Phase;
use crate::job::{JobError, Said, patiently};
use crate::store::app::App;
use crate::store::job::{self, Job, Work};
use crate::store::{JobId, release};
use russh::{Channel, ChannelReadHalf, ChannelWriteHalf, server::Msg};
use std::convert::Infallible;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

/// Answers a client. What it asked for is `None` where that is nothing git asks for.
pub(super) async fn serve(shared: Arc<Shared>, channel: Channel<Msg>, known: Known, asked: Option<Asked>) {
    let (read, write) = channel.split();
    let mut client = Client { write, side: Sideband::default(), gone: false };
    let status = match asked {
        None => {
            client.tell("error: This server speaks git only, with repositories named <app id>.git.\n").await;
            FAILED
        }
        Some(asked) => answer(&shared, read, &mut client, known, asked).await,
    };
    client.end(status).await;
}

/// Tells somebody whose key cannot be looked up.
pub(super) async fn away(channel: Channel<Msg>, why: String) {
    let (_, write) = channel.split();
    let mut client = Client { write, side: Sideband::default(), gone: false };
    client.tell(&format!("error: The platform cannot take this at the moment: {why}.\n")).await;
    client.end(FAILED).await;
}

/// Tells somebody who wanted a shell that there is none.
pub(super) async fn greet(channel: Channel<Msg>) {
    let (_, write) = channel.split();
    let mut client = Client { write, side: Sideband::default(), gone: false };
    client
        .tell("This key is known. There is no shell here: git push, fetch and clone are all there is.\n")
        .await;
    client.end(0).await;
}

async fn answer(
    shared: &Shared,
    read: ChannelReadHalf,
    client: &mut Client,
    known: Known,
    asked: Asked,
) -> u32 {
    let app = match access::app(&shared.store, &known, asked.app, asked.service).await {
        Ok(app) => app,
        Err(refused) => {
            client.tell(&format!("error: {refused}\n")).await;
            return FAILED;
        }
    };
    let served: io::Result<_> = async {
        let repository = shared.git.open(app.id, &app.deploy_branch).await?;
        let push = Push::new(&repository, known.account).map_err(io::Error::other)?;
        let mut git = shared.git.serve(asked.service, push.repository(), push.path());
        let question = match asked.service {
            Service::Fetch => None,
            Service::Push => Some(Question::new(shared.git.questions(), push.id())?),
        };
        if let Some(question) = &question {
            git.env("CAUTION_QUESTION", question.folder());
        }
        let last_word = last_word(shared, &known, asked, question);
        let status = serve_git(git.spawn()?, read, client, asked.service, last_word).await?;
        let moved = push.moved(&shared.git).await?;
        Ok((status, push, moved))
    }
    .await;
    let (status, push, moved) = match served {
        Ok(served) => served,
        Err(cause) => {
            client.tell(&format!("error: git failed on the server: {cause}\n")).await;
            return FAILED;
        }
    };
    let followed = pushed(shared, client, &app, &push, &moved).await;
    match (status.code(), followed) {
        (Some(0), Some(followed)) => followed,
        (Some(0), None) => 0,
        // Never 0: whatever git did not do, it did not succeed.
        (code, _) => code.and_then(|code| u32::try_from(code).ok()).unwrap_or(FAILED),
    }
}

/// git's part; what it says comes first.
async fn serve_git(
    mut child: Child,
    mut read: ChannelReadHalf,
    client: &mut Client,
    service: Service,
    last_word: impl Future<Output = io::Result<Infallible>>,
) -> io::Result<ExitStatus> {
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let upload = async {
        // A client that sends no more, or is gone: git is told, and decides.
        let _ = tokio::io::copy(&mut read.make_reader(), &mut input).await;
        drop(input);
        std::future::pending().await
    };
    tokio::select! {
        status = relay(&mut child, client, service) => status,
        status = upload => status,
        never = last_word => never.map(|never| match never {}),
    }
}

/// Has the hook told whether branches may move, when the pack is there: by who asks then, not by who they were before.
async fn last_word(
    shared: &Shared,
    known: &Known,
    asked: Asked,
    mut question: Option<Question>,
) -> io::Result<Infallible> {
    if let Some(question) = &mut question {
        question.asked().await?;
        let refused = access::app(&shared.store, known, asked.app, asked.service).await.err();
        question.answer(refused.map(|refused| refused.to_string()).as_deref())?;
    }
    std::future::pending().await
}

/// Passes on what git says until it ends. A push is seen to its end even where nobody listens any more.
async fn relay(child: &mut Child, client: &mut Client, service: Service) -> io::Result<ExitStatus> {
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (mut out, mut err) = (vec![0; BUFFER], vec![0; BUFFER]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            read = output.read(&mut out), if out_open => match read? {
                0 => out_open = false,
                n => {
                    let bytes = match service {
                        Service::Push => client.side.pass(&out[..n]),
                        Service::Fetch => out[..n].to_vec(),
                    };
                    client.send(&bytes).await;
                }
            },
            read = errors.read(&mut err), if err_open => match read? {
                0 => err_open = false,
                n => client.send_error(&err[..n]).await,
            },
        }
        if client.gone && service == Service::Fetch {
            child.start_kill()?;
        }
    }
    child.wait().await
}

/// Has what a push moved built and deployed, and tells the client. Returns how that ended, where there was something to do.
async fn pushed(
    shared: &Shared,
    client: &mut Client,
    app: &App,
    push: &Push,
    moved: &[Moved],
) -> Option<u32> {
    for moved in moved.iter().filter(|moved| !moved.is_removed()) {
        match moved.name.strip_prefix("refs/heads/") {
            Some(branch) if branch == app.deploy_branch => {}
            Some(branch) => {
                let text = format!(
                    "{branch} is stored; only {} is deployed. To deploy it: git push caution {branch}:{}\n",
                    app.deploy_branch, app.deploy_branch
                );
                client.tell(&text).await;
            }
            None => {
                let text = format!("{} is stored; only {} is deployed.\n", moved.name, app.deploy_branch);
                client.tell(&text).await;
            }
        }
    }
    let outcome = match push.write_down(&shared.store, &shared.git, app, moved).await {
        Ok(Follows::Nothing) => return None,
        Ok(Follows::Superseded) => {
            let text = format!("{} was pushed to again since; that is deployed.\n", app.deploy_branch);
            client.tell(&text).await;
            return Some(0);
        }
        Ok(Follows::Build(Job { id, work: Work::Build(commit), .. })) => {
            shared.jobs.bell.ring();
            let short = commit.get(..7).unwrap_or_default();
            let text = format!("{} · commit {short} · goes on if you leave: caution apps get\n", app.name);
            client.tell(&text).await;
            follow(shared, client, id).await
        }
        Ok(Follows::Build(_)) => Err(JobError::Gone),
        Err(error) => Err(error.into()),
    };
    Some(match outcome {
        Ok(status) => status,
        Err(error) => {
            client
                .tell(&format!("error: The push is stored, and its course cannot be told: {error}.\n"))
                .await;
            FAILED
        }
    })
}

/// Tells the client what a build says, and then its deployment.
async fn follow(shared: &Shared, client: &mut Client, id: JobId) -> Result<u32, JobError> {
    let build = tell(shared, client, id).await?;
    if build.phase != Phase::Done {
        return Ok(ended(client, &build).await);
    }
    let deployment = patiently(|| async {
        let mut db = shared.store.read().await?;
        let Some(release) = release::of_build(&mut db, id).await? else { return Ok(None) };
        job::deployment_of(&mut db, release.id).await
    });
    let deployment = deployment.await?.ok_or(JobError::Gone)?;
    let deployed = tell(shared, client, deployment.id).await?;
    Ok(ended(client, &deployed).await)
}

async fn tell(shared: &Shared, client: &mut Client, id: JobId) -> Result<Job, JobError> {
    let mut follower = shared.jobs.follow(id);
    loop {
        match follower.next().await? {
            Said::Lines(lines) => client.tell_bytes(&lines).await,
            Said::Ended(job) => return Ok(*job),
        }
        if client.gone {
            return Err(JobError::Gone);
        }
    }
}

async fn ended(client: &mut Client, job: &Job) -> u32 {
    if let Some(failure) = &job.failure {
        client.tell(&format!("error: {}\n", failure.message)).await;
        if let Some(fix) = &failure.fix {
            client.tell(&format!("  fix: {fix}\n")).await;
        }
    }
    match job.phase {
        Phase::Live | Phase::Replaced | Phase::Stopped | Phase::Done => 0,
        Phase::Cancelled => {
            client.tell("error: It was called off.\n").await;
            FAILED
        }
        _ => FAILED,
    }
}

/// The other end of the channel.
struct Client {
    write: ChannelWriteHalf<Msg>,
    side: Sideband,
    gone: bool,
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        if !self.gone && !bytes.is_empty() {
            self.gone = self.write.make_writer().write_all(bytes).await.is_err();
        }
    }

    async fn send_error(&mut self, bytes: &[u8]) {
        if !self.gone {
            self.gone = self.write.make_writer_ext(Some(STDERR)).write_all(bytes).await.is_err();
        }
    }

    async fn tell(&mut self, text: &str) {
        self.tell_bytes(text.as_bytes()).await;
    }

    /// Lines for whoever sits there, as git shows those of a server.
    async fn tell_bytes(&mut self, text: &[u8]) {
        if let Some(packets) = self.side.say(text) {
            return self.send(&packets).await;
        }
        let mut out = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(b"remote: ");
            out.extend_from_slice(line);
        }
        self.send_error(&out).await;
    }

    async fn end(mut self, status: u32) {
        let last = std::mem::take(&mut self.side).end();
        self.send(&last).await;
        // A client that is gone needs none of it.
        let _ = self.write.exit_status(status).await;
        let _ = self.write.eof().await;
        let _ = self.write.close().await;
    }
}

/// What `git push` ends with where the server did not do it.
const FAILED: u32 = 1;
/// Extended data of SSH: what goes to the client's stderr (RFC 4254 §5.2).
const STDERR: u32 = 1;
/// How much is passed on at a time, in bytes.
const BUFFER: usize = 32 * 1024;
