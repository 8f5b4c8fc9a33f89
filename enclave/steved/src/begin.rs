//! The beginning of an exchange: its header, and a first record that authenticates.

use crate::alarm::Alarm;
use crate::body::next_frame;
use crate::outer::Problem;
use crate::seated::Upload;
use crate::server::Shared;
use crate::sessions::Entry;
use crate::turns::Turn;
use bytes::Bytes;
use caution_steve::{Beginning, Begun, EXCHANGE_HEADER as HEADER, Pending, ServerSession, SessionId};
use std::sync::Arc;

/// An exchange that has begun.
pub(crate) struct Started {
    /// Its first record, and what opens and seals the rest.
    pub(crate) begun: Begun,
    /// Whose it is.
    pub(crate) session: SessionId,
    /// None where the session has as many exchanges as it may.
    pub(crate) turn: Option<Turn>,
}

/// Reads a body as far as the first record, in time.
pub(crate) async fn begin(shared: &Shared, alarm: &Alarm, body: &mut Upload) -> Result<Started, Problem> {
    alarm.limit(shared.settings.limits.patience, read(shared, body)).await.ok_or(Problem::Malformed)?
}

async fn read(shared: &Shared, body: &mut Upload) -> Result<Started, Problem> {
    let mut waiting = Bytes::new();
    let header = loop {
        if let Some((header, _)) = waiting.split_first_chunk::<HEADER>() {
            break *header;
        }
        if !more(body, &mut waiting).await? {
            return Err(Problem::Malformed);
        }
    };
    let mut waiting = waiting.slice(HEADER..);
    let (entry, mut pending) = named(shared, &header)?;
    let mut end = false;
    loop {
        match entry.with(|session| pending.feed(session, &waiting, end))? {
            Beginning::Begun(begun) => return Ok(Started { begun, session: entry.id(), turn: entry.turn() }),
            Beginning::Pending(still) => pending = still,
        }
        waiting = Bytes::new();
        end = !more(body, &mut waiting).await?;
    }
}

/// What the first message of a WebSocket begins: header and first record, and nothing else.
pub(crate) fn begin_socket(shared: &Shared, message: &[u8]) -> Result<Started, Problem> {
    let (header, record) = message.split_first_chunk::<HEADER>().ok_or(Problem::Malformed)?;
    let (entry, pending) = named(shared, header)?;
    match entry.with(|session| pending.feed(session, record, true))? {
        Beginning::Begun(begun) if begun.opener.is_empty() => {
            Ok(Started { begun, session: entry.id(), turn: entry.turn() })
        }
        Beginning::Begun(_) | Beginning::Pending(_) => Err(Problem::Malformed),
    }
}

/// The session that a header names, and what it begins there.
fn named(shared: &Shared, header: &[u8; HEADER]) -> Result<(Arc<Entry>, Pending), Problem> {
    let id = ServerSession::named_by(header)?;
    let entry = shared.sessions.get(&id, &shared.settings.limits).ok_or(Problem::SessionUnknown)?;
    let pending = entry.with(|session| session.exchange(header))?;
    Ok((entry, pending))
}

/// False at the end.
async fn more(body: &mut Upload, into: &mut Bytes) -> Result<bool, Problem> {
    let Some(frame) = next_frame(body).await else { return Ok(false) };
    if let Ok(data) = frame.map_err(|_| Problem::Malformed)?.into_data() {
        // Almost always nothing waits, or at most a part of a header.
        *into = if into.is_empty() { data } else { [&into[..], &data].concat().into() };
    }
    Ok(true)
}
