//! What an app writes, as its host keeps it: lines of JSON.

use super::Server;
use super::stream::{Reads, finish};
use bytes::Bytes;
use caution_abi::control::{Event, LogStream};
use caution_api::{ConsoleFrom, ConsoleLine, ConsoleQuery, ErrorCode, Problem};
use caution_host::{HostEvent, LogEntry, Logs};
use dropshot::Body;
use futures_util::stream;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc::{Sender, channel};

/// The last lines of a run's console, and on from there where the query says so.
pub(super) fn console(
    reads: Reads,
    logs: Option<Logs>,
    query: &ConsoleQuery,
) -> Result<Response<Body>, Problem> {
    let most = query.lines.unwrap_or(100);
    if most > MOST {
        let text = format!("`lines` must be 0 to {MOST}; it is {most}.");
        return Err(Problem::new(ErrorCode::InvalidRequest, text));
    }
    let answer = Response::builder()
        .header(CONTENT_TYPE, "application/jsonl")
        .header(CACHE_CONTROL, "no-store")
        .header("x-content-type-options", "nosniff");
    let Some(logs) = logs else { return answer.body(Body::empty()).map_err(|_| super::stream::failed()) };
    let server = Arc::clone(&reads.server);
    let turn = Arc::clone(&server.consoles).try_acquire_owned().map_err(|_| {
        let text = format!("{READERS} consoles are read at this moment, as many as may be. Ask again later.");
        Problem::new(ErrorCode::Unavailable, text)
    })?;
    let (say, said) = channel(WAITING);
    let since = u64::try_from(crate::clock::now_ms()).unwrap_or_default();
    tokio::task::spawn_blocking(move || {
        tell(&server, logs, since, usize::try_from(most).unwrap_or(usize::MAX), &say);
        drop(turn);
    });
    let lines = stream::try_unfold((said, reads), |(mut said, reads)| async move {
        let mut lines: Vec<Bytes> = Vec::new();
        if said.recv_many(&mut lines, WAITING).await == 0 || !reads.may_go_on().await? {
            return Ok::<_, io::Error>(None);
        }
        Ok(Some((Bytes::from(lines.concat()), (said, reads))))
    });
    finish(answer, lines)
}

/// Reads until the log ends, nobody listens any more, or the server ends.
fn tell(server: &Server, mut logs: Logs, since: u64, most: usize, say: &Sender<Bytes>) {
    let mut last = VecDeque::new();
    let mut there = true;
    loop {
        let step = logs.step();
        if there && step.as_ref().is_none_or(|next| next.as_ref().is_none_or(|entry| entry.unix_ms >= since))
        {
            // What was there when somebody asked has been read.
            there = false;
            if last.drain(..).any(|line| say.blocking_send(line).is_err()) {
                return;
            }
        }
        let Some(entry) = step else { return };
        if say.is_closed() || server.is_ending() {
            return;
        }
        let Some(line) = entry.and_then(line) else { continue };
        if !there {
            if say.blocking_send(line).is_err() {
                return;
            }
        } else if most > 0 {
            if last.len() == most {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
}

/// An entry as a line; nothing for what says how far a boot is.
fn line(entry: LogEntry) -> Option<Bytes> {
    let (from, unix_ms, text) = match entry.event {
        HostEvent::Enclave(Event::Log { stream, unix_ms, line }) => match stream {
            LogStream::Stdout => (ConsoleFrom::Stdout, unix_ms, line),
            LogStream::Stderr => (ConsoleFrom::Stderr, unix_ms, line),
        },
        event => (ConsoleFrom::Host, entry.unix_ms, sentence(event)?),
    };
    let mut bytes = serde_json::to_vec(&ConsoleLine { unix_ms, from, text }).ok()?;
    bytes.push(b'\n');
    Some(bytes.into())
}

fn sentence(event: HostEvent) -> Option<String> {
    Some(match event {
        HostEvent::Enclave(Event::LogDropped { lines }) => format!("{lines} lines were dropped."),
        HostEvent::Enclave(Event::AppExit { exit, .. }) => format!("The app {exit}."),
        HostEvent::Ready { .. } => "The app is ready.".to_owned(),
        HostEvent::Egress(text) | HostEvent::Console(text) => text,
        HostEvent::Refused { so_far } => format!("{so_far} connections were refused: too many were open."),
        HostEvent::Ended(ending) => ending.to_string(),
        HostEvent::Failed { message, .. } => message,
        _ => return None,
    })
}

/// How many lines of what is there may be asked for.
const MOST: u32 = 10_000;
/// Who may read at a time: each has a thread.
pub(super) const READERS: usize = 64;
/// How many lines wait for who reads slowly.
const WAITING: usize = 256;
