//! The beginning of an exchange: its header, and a first record that authenticates.

use crate::body::next_frame;
use crate::outer::Problem;
use crate::seated::Upload;
use crate::server::Shared;
use crate::sessions::Entry;
use crate::turns::Turn;
use caution_steve::{Beginning, Begun, EXCHANGE_HEADER as HEADER, Pending, ServerSession, SessionId};
use std::sync::Arc;
use tokio::time::timeout;

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
pub(crate) async fn begin(shared: &Shared, body: &mut Upload) -> Result<Started, Problem> {
    timeout(shared.settings.limits.patience, read(shared, body)).await.map_err(|_| Problem::Malformed)?
}

async fn read(shared: &Shared, body: &mut Upload) -> Result<Started, Problem> {
    let mut waiting = Vec::new();
    let header = loop {
        if let Some((header, _)) = waiting.split_first_chunk::<HEADER>() {
            break *header;
        }
        if !more(body, &mut waiting).await? {
            return Err(Problem::Malformed);
        }
    };
    waiting.drain(..HEADER);
    let (entry, mut pending) = named(shared, &header)?;
    let mut end = false;
    loop {
        match entry.with(|session| pending.feed(session, &waiting, end))? {
            Beginning::Begun(begun) => return Ok(Started { begun, session: entry.id(), turn: entry.turn() }),
            Beginning::Pending(still) => pending = still,
        }
        waiting.clear();
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
async fn more(body: &mut Upload, into: &mut Vec<u8>) -> Result<bool, Problem> {
    let Some(frame) = next_frame(body).await else { return Ok(false) };
    if let Ok(data) = frame.map_err(|_| Problem::Malformed)?.into_data() {
        into.extend_from_slice(&data);
    }
    Ok(true)
}
