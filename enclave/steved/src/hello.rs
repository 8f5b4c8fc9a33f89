//! Evidence, and sessions that begin with it.

use crate::body::{Reply, Unread, collect};
use crate::outer::{Problem, whole};
use crate::seated::Upload;
use crate::server::Shared;
use bytes::Bytes;
use caution_steve::{Grant, MAX_HANDSHAKE, ServerRandom};
use hyper::Response;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// The bundle of this epoch, which anybody on the way may keep for a minute.
pub(crate) fn bundle(shared: &Shared) -> Response<Reply> {
    let Some(bundle) = shared.keys.bundle() else { return Problem::Starting.response() };
    let mut response = whole(200, BUNDLE, bundle);
    let cached = HeaderValue::from_static("public, max-age=60, no-transform");
    response.headers_mut().insert(CACHE_CONTROL, cached);
    response
}

/// A bundle for this nonce.
pub(crate) async fn fresh(shared: &Arc<Shared>, body: Upload) -> Result<Response<Reply>, Problem> {
    let nonce = read(shared, body, NONCE).await.map_err(|_| Problem::Malformed)?;
    let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| Problem::Malformed)?;
    if !shared.fresh.take(Instant::now()) {
        return Err(Problem::Rate);
    }
    let inside = Arc::clone(shared);
    let made = tokio::task::spawn_blocking(move || inside.keys.fresh(inside.enclave.as_ref(), &nonce));
    let bundle = made.await.ok().and_then(Result::ok).flatten().ok_or(Problem::Starting)?;
    Ok(whole(200, BUNDLE, bundle))
}

/// A session for a hello.
pub(crate) async fn session(shared: &Shared, body: Upload) -> Result<Response<Reply>, Problem> {
    let hello = read(shared, body, MAX_HANDSHAKE).await.map_err(|unread| match unread {
        Unread::TooLong => Problem::TooLarge,
        Unread::Broken => Problem::Malformed,
    })?;
    let limits = &shared.settings.limits;
    let mut random = ServerRandom { encapsulate: Zeroizing::new([0; 64]), session: [0; 16], hello: [0; 32] };
    shared.enclave.random(&mut random.encapsulate[..]);
    shared.enclave.random(&mut random.session);
    shared.enclave.random(&mut random.hello);
    let allowed = caution_steve::Limits { concurrency: limits.concurrency, ..caution_steve::Limits::DEFAULT };
    let lifetime_s = u32::try_from(limits.lifetime.as_secs()).unwrap_or(u32::MAX);
    let grant = Grant { contexts: &[], limits: allowed, lifetime_s };
    let (session, answer) = shared.keys.accept(&hello, &grant, &random).ok_or(Problem::Starting)??;
    if !shared.sessions.insert(session, limits) {
        return Err(Problem::Busy);
    }
    Ok(whole(200, HELLO, Bytes::from(answer)))
}

async fn read(shared: &Shared, mut body: Upload, most: usize) -> Result<Vec<u8>, Unread> {
    let patience = shared.settings.limits.patience;
    timeout(patience, collect(&mut body, most)).await.unwrap_or(Err(Unread::Broken))
}

/// So many at once, and then one in a while.
pub(crate) struct Rate(Mutex<Instant>);

impl Rate {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Whether one more may be.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = now.max(*paid);
        let free = from + EVERY <= now + EVERY * AT_ONCE;
        if free {
            *paid = from + EVERY;
        }
        free
    }
}

/// Bytes of a nonce.
const NONCE: usize = 32;
const BUNDLE: &str = "application/cbor";
/// Of hellos, both ways.
pub(crate) const HELLO: &str = "application/steve-hello";
/// How long a fresh document pays for the next; so many may be owed.
const EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_documents_at_once_and_then_two_a_second() {
        let (rate, now) = (Rate::new(), Instant::now());
        let taken = |now| (0..20).filter(|_| rate.take(now)).count();
        assert_eq!(taken(now), 8);
        assert_eq!(taken(now + EVERY / 2), 0);
        assert_eq!(taken(now + EVERY * 2), 2);
        assert_eq!(taken(now + EVERY * 100), 8);
    }
}
