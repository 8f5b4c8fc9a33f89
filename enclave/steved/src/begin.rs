//! The beginning of an exchange: its header, and a first record that authenticates.

use crate::body::next_frame;
use crate::outer::Problem;
use crate::server::Shared;
use crate::sessions::Turn;
use caution_steve::{Beginning, Begun, Pending, ServerSession};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::time::timeout;

/// An exchange that has begun.
pub(crate) struct Started {
    /// Its first record, and what opens and seals the rest.
    pub(crate) begun: Begun,
    /// The rest of the request.
    pub(crate) body: Incoming,
    /// None where the session has as many exchanges as it may.
    pub(crate) turn: Option<Turn>,
}

/// Reads as far as the first record, in time.
pub(crate) async fn begin(shared: &Shared, body: Incoming) -> Result<Started, Problem> {
    timeout(shared.settings.limits.patience, read(shared, body)).await.map_err(|_| Problem::Malformed)?
}

async fn read(shared: &Shared, mut body: Incoming) -> Result<Started, Problem> {
    let mut waiting = Vec::new();
    let header = loop {
        if let Some((header, _)) = waiting.split_first_chunk::<HEADER>() {
            break *header;
        }
        if !more(&mut body, &mut waiting).await? {
            return Err(Problem::Malformed);
        }
    };
    waiting.drain(..HEADER);
    let id = ServerSession::named_by(&header)?;
    let entry = shared.sessions.get(&id, &shared.settings.limits).ok_or(Problem::SessionUnknown)?;
    let mut pending: Pending = entry.with(|session| session.exchange(&header))?;
    let mut end = false;
    loop {
        match entry.with(|session| pending.feed(session, &waiting, end))? {
            Beginning::Begun(begun) => {
                return Ok(Started { begun, body, turn: Arc::clone(&entry).turn() });
            }
            Beginning::Pending(still) => pending = still,
        }
        waiting.clear();
        end = !more(&mut body, &mut waiting).await?;
    }
}

/// False at the end.
async fn more(body: &mut Incoming, into: &mut Vec<u8>) -> Result<bool, Problem> {
    let Some(frame) = next_frame(body).await else { return Ok(false) };
    if let Ok(data) = frame.map_err(|_| Problem::Malformed)?.into_data() {
        into.extend_from_slice(&data);
    }
    Ok(true)
}

/// Bytes of an exchange's header.
const HEADER: usize = 25;
