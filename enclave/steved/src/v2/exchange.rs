//! A request of version 2: whole in, whole to the app, and its response whole back.

use super::room::{Room, beginning};
use super::sessions::Entry;
use super::{Refused, much};
use crate::body::{Pipe, Reply, beside};
use crate::request::{self, Came};
use crate::seated::Upload;
use crate::server::Shared;
use crate::upstream;
use bytes::Bytes;
use caution_steve::http::ResponseHead;
use caution_steve::v2::{Envelope, MAX_MESSAGE, Opened};
use hyper::header::CONTENT_LENGTH;
use hyper::{HeaderMap, Response};
use std::sync::Arc;
use tokio::time::{Instant, timeout, timeout_at};

/// What an error inside is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    HeadInvalid,
    Busy,
    Unavailable,
    Truncated,
    TooLarge,
    Timeout,
}

impl Failure {
    fn code(self) -> &'static str {
        match self {
            Self::HeadInvalid => "head_invalid",
            Self::Busy => "busy",
            Self::Unavailable => "upstream_unavailable",
            Self::Truncated => "upstream_truncated",
            Self::TooLarge => "response_too_large",
            Self::Timeout => "upstream_timeout",
        }
    }
}

/// Everything is done while its client waits, and ends when it goes away.
pub(super) async fn run(shared: &Arc<Shared>, mut body: Upload) -> Result<Response<Reply>, Refused> {
    let limits = &shared.settings.limits;
    let until = Instant::now() + limits.request;
    // Who has no session is told so before it has sent much, and takes no room.
    let named = beginning(&mut body, |bytes| named(shared, bytes));
    let (entry, bytes) = timeout(limits.patience, named).await.map_err(|_| Refused::Timeout)??;
    let _turn = entry.turn().ok_or(Refused::Rate)?;
    let mut room = shared.v2.room(entry.id(), body.seat());
    let bytes = timeout_at(until, room.collect(&mut body, bytes, MAX_MESSAGE)).await;
    let bytes = bytes.map_err(|_| Refused::Timeout)??;
    let opened = entry.with(|session| session.open(bytes))?;
    let sequence = opened.sequence;
    let outcome = timeout_at(until, ask(shared, opened, &mut room)).await.unwrap_or(Err(Failure::Timeout));
    let sealed = entry.with(|session| {
        let sealed = outcome.and_then(|(head, content)| {
            session.seal(sequence, head.status, &head.fields, &content).ok_or(Failure::TooLarge)
        });
        sealed.unwrap_or_else(|failure| session.seal_error(sequence, failure.code()))
    });
    Ok(much(sealed, room))
}

/// The session that the beginning of an envelope names, where this request may begin there as far as it says.
fn named(shared: &Shared, bytes: &[u8]) -> Result<Option<Arc<Entry>>, Refused> {
    let Some(begun) = Envelope::beginning(bytes)? else { return Ok(None) };
    let entry = shared.v2.get(&begun.session, &shared.settings.limits).ok_or(Refused::SessionUnknown)?;
    entry.with(|session| session.may_begin(begun.sequence))?;
    Ok(Some(entry))
}

/// The app's response.
async fn ask(shared: &Shared, opened: Opened, room: &mut Room) -> Result<(ResponseHead, Vec<u8>), Failure> {
    let settings = &shared.settings;
    let asked = opened.request().map_err(|_| Failure::HeadInvalid)?;
    let bytes = Bytes::from(opened.bytes);
    let content = asked.body.map(|body| bytes.slice(body));
    let length = content.as_ref().map(Bytes::len);
    let pipe = content.map_or_else(Pipe::empty, |content| Pipe::whole(content, HeaderMap::new()));
    let mut request = request::to_app(&asked.head, pipe, settings.protocol, Came::by_2(settings.suite))
        .ok_or(Failure::HeadInvalid)?;
    if let Some(length) = length {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    let connection = upstream::connect(settings.app, settings.protocol, settings.limits.patience)
        .await
        .ok_or(Failure::Unavailable)?;
    let (work, response) = connection.send(request);
    let answer = async {
        let (head, mut content) = response.await.map_err(|_| Failure::Truncated)?.into_parts();
        // A switch of protocols that nobody asked for.
        if head.status.is_informational() {
            return Err(Failure::Truncated);
        }
        let content =
            room.collect(&mut content, Vec::new(), MAX_MESSAGE).await.map_err(|refused| match refused {
                Refused::TooLarge => Failure::TooLarge,
                Refused::Busy => Failure::Busy,
                _ => Failure::Truncated,
            })?;
        Ok((request::from_app(head.status, &head.headers), content))
    };
    beside(work, answer).await
}
