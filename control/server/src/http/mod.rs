//! The HTTP API: `caution-api`'s trait over `app/`. Whoever speaks HTTP stands here and nowhere else.

mod account;
mod apps;
mod call;
mod console;
mod metrics;
mod once;
mod page;
mod people;
mod rate;
mod stream;
mod v1;

use crate::app::reach::Reach;
use crate::bell::Bell;
use crate::data::Data;
use crate::store::Store;
use crate::webauthn::RelyingParty;
use dropshot::{ConfigDropshot, HttpServer, ServerBuilder};
use metrics::Metrics;
use rate::Rate;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// What the handlers share.
#[derive(Debug)]
pub struct Server {
    pub(crate) store: Store,
    pub(crate) data: Arc<Data>,
    pub(crate) bell: Bell,
    pub(crate) reach: Reach,
    metrics: Metrics,
    /// Turns of those who read what apps write.
    consoles: Arc<Semaphore>,
    by_address: Rate<std::net::IpAddr>,
    by_account: Rate<crate::store::AccountId>,
    by_sign_in: Rate<std::net::IpAddr>,
    /// The site of a platform that people sign in to; absent where it is this machine's user's alone.
    site: Option<RelyingParty>,
    ends: AtomicBool,
}

/// Why the API does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The operations contradict each other.
    #[error("the API's operations cannot be routed")]
    Routes(#[source] dropshot::ApiDescriptionBuildErrors),
    /// The pages contradict the operations.
    #[error("the pages cannot be routed")]
    Pages(#[source] dropshot::ApiDescriptionRegisterError),
    /// The address cannot be had.
    #[error("the API cannot listen at {0}")]
    Listen(SocketAddr, #[source] Box<dropshot::BuildError>),
}

impl Server {
    /// What handlers share, of one data folder.
    pub fn new(
        store: Store,
        data: Arc<Data>,
        bell: Bell,
        reach: Reach,
        site: Option<RelyingParty>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            data,
            bell,
            reach,
            metrics: Metrics::default(),
            consoles: Arc::new(Semaphore::new(console::READERS)),
            by_address: Rate::of_requests(),
            by_account: Rate::of_requests(),
            by_sign_in: Rate::of_sign_in(),
            site,
            ends: AtomicBool::new(false),
        })
    }

    /// From now on `/ready` says that no more work is taken, and what is streamed ends.
    pub fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    fn is_ending(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }
}

/// Listens. Every clone of `server` is the same.
pub fn start(
    server: Arc<Server>,
    listen: SocketAddr,
    log: &slog::Logger,
) -> Result<HttpServer<Arc<Server>>, HttpError> {
    let mut api = caution_api::api_description::<v1::Handlers>().map_err(HttpError::Routes)?;
    page::register(&mut api).map_err(HttpError::Pages)?;
    let config = ConfigDropshot {
        bind_address: listen,
        default_request_body_max_bytes: MAX_BODY,
        ..ConfigDropshot::default()
    };
    let builder = ServerBuilder::new(api, server, log.clone()).config(config);
    builder.start().map_err(|cause| HttpError::Listen(listen, Box::new(cause)))
}

/// The longest body of a request.
const MAX_BODY: usize = 1024 * 1024;
