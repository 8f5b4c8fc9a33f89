//! Answers that are no JSON: images, logs, events as they happen.

use super::Server;
use crate::app::access::{self, Caller};
use crate::app::{event as events, not_found};
use crate::bell::Listener;
use crate::store::{AppId, EventId, JobId, event, job};
use bytes::Bytes;
use caution_api::{ErrorCode, Problem};
use data_encoding::BASE64;
use dropshot::Body;
use futures_util::stream::{self, Stream};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, Response, StatusCode, response};
use http_body::Frame;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// An image to send.
pub(super) struct Image {
    /// What the receiver should call the file.
    pub(super) name: String,
    /// SHA-256 of the file, in hex.
    pub(super) sha256: String,
    /// Its length.
    pub(super) bytes: u64,
}

/// The image, or the part of it that `Range` names.
pub(super) async fn image(
    path: &Path,
    image: &Image,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let mut file = File::open(path).await.map_err(|_| {
        Problem::new(ErrorCode::NotFound, "The image of this release is not kept any more.")
            .fix("build it again from its commit")
    })?;
    let etag = format!("\"{}\"", image.sha256);
    // A part of another file than the one that the receiver has begun would be of no use to it.
    let same = headers.get("if-range").is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let range = headers.get("range").filter(|_| same).and_then(|value| value.to_str().ok());
    let (from, until, status) = match range.map(|text| part(text, image.bytes)) {
        None | Some(Part::All) => (0, image.bytes, StatusCode::OK),
        Some(Part::Of(from, until)) => (from, until, StatusCode::PARTIAL_CONTENT),
        Some(Part::Nothing) => {
            let text = format!("The image has {} bytes; the range is not in it.", image.bytes);
            return Err(Problem::new(ErrorCode::RangeNotSatisfiable, text));
        }
    };
    file.seek(SeekFrom::Start(from)).await.map_err(|_| failed())?;
    let digest = data_encoding::HEXLOWER.decode(image.sha256.as_bytes()).unwrap_or_default();
    let mut answer = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, until - from)
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, etag)
        // RFC 9530: of the whole file, whichever part this is.
        .header("repr-digest", format!("sha-256=:{}:", BASE64.encode(&digest)))
        .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", image.name));
    if status == StatusCode::PARTIAL_CONTENT {
        answer = answer.header(CONTENT_RANGE, format!("bytes {from}-{}/{}", until - 1, image.bytes));
    }
    let parts = stream::try_unfold((file, until - from), |(mut file, left)| async move {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        if piece.is_empty() {
            return Ok(None);
        }
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        piece.truncate(read);
        Ok(Some((Bytes::from(piece), (file, left - read as u64))))
    });
    finish(answer, parts)
}

/// The output of a job from a byte on; until the job has ended where `follow` says so.
pub(super) fn log(reads: Reads, job: JobId, from: u64, follow: bool) -> Result<Response<Body>, Problem> {
    let answer = Response::builder()
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .header("x-content-type-options", "nosniff");
    let server = &reads.server;
    let state =
        LogReader { path: server.data.log(job.uuid()), heard: server.bell.listen(), reads, job, at: from };
    let pieces = stream::try_unfold(state, move |mut reader| async move {
        let piece = reader.next(follow).await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reader)))
    });
    finish(answer, pieces)
}

/// Who reads of which app, for as long as they may.
pub(super) struct Reads {
    pub(super) server: Arc<Server>,
    pub(super) caller: Caller,
    pub(super) app: AppId,
}

impl Reads {
    /// Who was removed meanwhile, signed out or has had the token revoked is told nothing more.
    pub(super) async fn may_go_on(&self) -> io::Result<bool> {
        let mut db = self.server.store.read().await.map_err(io::Error::other)?;
        access::still_reads(&mut db, &self.caller, self.app).await.map_err(io::Error::other)
    }
}

struct LogReader {
    reads: Reads,
    heard: Listener,
    job: JobId,
    path: std::path::PathBuf,
    at: u64,
}

impl LogReader {
    async fn next(&mut self, follow: bool) -> io::Result<Option<Bytes>> {
        loop {
            // Asked before the file is read: what was written until the job ended is read below.
            let ended = !follow || self.reads.server.is_ending() || self.has_ended().await?;
            if !self.reads.may_go_on().await? {
                return Ok(None);
            }
            let piece = self.read().await?;
            if !piece.is_empty() {
                self.at += piece.len() as u64;
                return Ok(Some(piece));
            }
            if ended {
                return Ok(None);
            }
            if !self.heard.heard().await {
                return Ok(None);
            }
        }
    }

    async fn has_ended(&self) -> io::Result<bool> {
        let mut db = self.reads.server.store.read().await.map_err(io::Error::other)?;
        let found = job::find(&mut db, self.job).await.map_err(io::Error::other)?;
        Ok(found.is_none_or(|job| !job.phase.is_open()))
    }

    async fn read(&self) -> io::Result<Bytes> {
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.at)).await?;
        let mut piece = Vec::new();
        file.take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok(piece.into())
    }
}

/// What happens to an app, from after an event on.
pub(super) fn events(reads: Reads, after: EventId) -> Result<Response<Body>, Problem> {
    let answer =
        Response::builder().header(CONTENT_TYPE, "text/event-stream").header(CACHE_CONTROL, "no-store");
    let state = (reads.server.bell.listen(), reads, after);
    let pieces = stream::try_unfold(state, move |(mut heard, reads, mut after)| async move {
        loop {
            if reads.server.is_ending() || !reads.may_go_on().await? {
                return Ok(None);
            }
            let mut db = reads.server.store.read().await.map_err(io::Error::other)?;
            let new = event::after(&mut db, reads.app, after, 100).await.map_err(io::Error::other)?;
            drop(db);
            if let Some(last) = new.last() {
                after = last.id;
                let text: String = new.into_iter().map(said).collect();
                return Ok::<_, io::Error>(Some((Bytes::from(text), (heard, reads, after))));
            }
            match tokio::time::timeout(KEEP_ALIVE, heard.heard()).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                // A comment: who went away is noticed, and proxies see that the connection is used.
                Err(_) => return Ok(Some((Bytes::from_static(b":\n\n"), (heard, reads, after)))),
            }
        }
    });
    finish(answer, pieces)
}

/// The event that a client has seen last, by the header that browsers send or by the query.
pub(super) fn last_event(headers: &HeaderMap, query: Option<uuid::Uuid>) -> Result<Option<EventId>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(query.map(EventId::from)) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    Ok(Some(id.ok_or_else(|| not_found("event"))?))
}

/// An event in the format of the WHATWG's HTML standard, §9.2.
fn said(event: event::Event) -> String {
    let id = event.id;
    let data = serde_json::to_string(&events::wire(event)).unwrap_or_default();
    format!("id: {id}\ndata: {data}\n\n")
}

enum Part {
    All,
    /// From a byte, until before another.
    Of(u64, u64),
    Nothing,
}

/// One range (RFC 9110 §14.2); what is not understood, and several ranges, are as none.
fn part(text: &str, size: u64) -> Part {
    let Some((from, to)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::All;
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match (number(from), number(to)) {
        (Some::<u64>(from), None) if to.is_empty() && from < size => Part::Of(from, size),
        (Some(from), Some::<u64>(to)) if from <= to && from < size => {
            Part::Of(from, size.min(to.saturating_add(1)))
        }
        (None, Some(last)) if from.is_empty() && last > 0 && size > 0 => {
            Part::Of(size.saturating_sub(last), size)
        }
        (Some(from), to_number) if (to.is_empty() || to_number.is_some()) && from >= size => Part::Nothing,
        (None, Some(0)) if from.is_empty() => Part::Nothing,
        _ => Part::All,
    }
}

pub(super) fn finish(
    answer: response::Builder,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Result<Response<Body>, Problem> {
    answer.body(Body::wrap(Pieces(Mutex::new(Box::pin(pieces))))).map_err(|_| failed())
}

/// A body that is made while it is sent. Nobody locks: the mutex is there because bodies must be `Sync`.
struct Pieces(Mutex<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let pieces = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        pieces.as_mut().poll_next(cx).map_ok(Frame::data)
    }
}

pub(super) fn failed() -> Problem {
    Problem::new(ErrorCode::Internal, "The server failed to do this; its log says why.")
}

/// How much is read at a time.
const PIECE: usize = 128 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let of = |text: &str| match part(text, 10) {
            Part::All => "all".to_owned(),
            Part::Of(from, until) => format!("{from}..{until}"),
            Part::Nothing => "nothing".to_owned(),
        };
        for (text, expected) in [
            ("bytes=0-", "0..10"),
            ("bytes=4-5", "4..6"),
            ("bytes=4-99", "4..10"),
            ("bytes=-3", "7..10"),
            ("bytes=-30", "0..10"),
            ("bytes=10-", "nothing"),
            ("bytes=-0", "nothing"),
            ("bytes=5-4", "all"),
            ("bytes=0-1,3-4", "all"),
            ("bytes=+1-2", "all"),
            ("bytes=a-b", "all"),
            ("lines=1-2", "all"),
            ("bytes=0-18446744073709551615", "0..10"),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
