//! `cautiond serve`: everything that runs, from its start to its end.

use crate::app::invitation;
use crate::app::reach::Reach;
use crate::bell::Bell;
use crate::config::Config;
use crate::data::{Data, DataError};
use crate::git::{self, GitError};
use crate::http::{self, HttpError, Server};
use crate::job::builder::Builder;
use crate::job::drift::Patience;
use crate::job::log::Logs;
use crate::job::{Jobs, worker};
use crate::local::{self, LocalError};
use crate::provider::{Local as Host, Provider};
use crate::store::{Store, StoreError};
use crate::webauthn::RelyingParty;
use caution_api::Local;
use dropshot::{ConfigLogging, ConfigLoggingLevel};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The database cannot be used.
    #[error("The database cannot be opened.")]
    Store(#[from] StoreError),
    /// The API does not listen.
    #[error("The HTTP API cannot be started.")]
    Http(#[from] HttpError),
    /// Git is not served.
    #[error(transparent)]
    Git(#[from] GitError),
    /// This machine's user cannot be signed in.
    #[error("This machine's user cannot be signed in.")]
    Local(#[from] LocalError),
    /// The log cannot be written.
    #[error("The log cannot be opened.")]
    Log(#[source] io::Error),
    /// The end cannot be awaited.
    #[error("Signals cannot be received.")]
    Signals(#[source] io::Error),
}

impl ServeError {
    /// What to do about it.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Data(DataError::Held(_)) => Some("caution down      (ends it)".to_owned()),
            Self::Http(HttpError::Listen(..)) => Some(
                "end what listens there, or choose another address: CAUTIOND_HTTP_LISTEN=127.0.0.1:PORT"
                    .to_owned(),
            ),
            Self::Git(GitError::Listen { .. }) => Some(
                "end what listens there, or choose another address: CAUTIOND_GIT_LISTEN=127.0.0.1:PORT"
                    .to_owned(),
            ),
            Self::Store(StoreError::OtherFolder) => Some(
                "give it the data folder that it was made with, or another database: CAUTIOND_DATABASE=…"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Serves until SIGTERM or SIGINT, by this machine's host agent.
pub async fn serve(config: &Config) -> Result<(), ServeError> {
    serve_with(config, Arc::new(Host::new(&config.host)), Builder::this_program()).await
}

/// The same with what runs and builds releases.
pub async fn serve_with(
    config: &Config,
    provider: Arc<dyn Provider>,
    builder: Builder,
) -> Result<(), ServeError> {
    let data = Arc::new(Data::open(&config.data)?);
    let logging = ConfigLogging::StderrTerminal { level: ConfigLoggingLevel::Warn };
    let log = logging.to_logger("cautiond").map_err(ServeError::Log)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let store = open(config, &data).await?;
    let bell = Bell::new();
    let jobs = Jobs::new(store.clone(), Logs::new(&data.root().join("logs")), bell.clone());
    let pushes =
        git::Server::bind(config.git_listen, data.root(), &config.search_path, store.clone(), jobs.clone());
    let pushes = pushes.await?;
    let git = pushes.address().map_err(|cause| GitError::Listen { address: config.git_listen, cause })?;
    let git_host_key = pushes.host_key()?;
    let mut reach = Reach::new(git, config.host.clone());
    if let Some(site) = &config.site {
        reach = reach.by_name(&site.id, &git_host_key);
    }
    let people = store.clone();
    let server = Server::new(store, Arc::clone(&data), bell, reach, config.site.clone());
    let listener = http::start(Arc::clone(&server), config.http_listen, &log)?;
    let mut api = format!("http://{}", listener.local_addr());
    if let Some(site) = &config.site {
        local::sign_out(&people, &data).await?;
        api.clone_from(&site.origin);
        if let Some(link) = set_up(&people, site).await? {
            println!(
                "Nobody is known here yet. Whoever opens this link within 24 hours is the owner, once:\n  {link}"
            );
        }
    } else {
        let token = local::sign_in(&people).await?;
        local::tell(&data, &Local { api: api.clone(), git, git_host_key, token, pid: std::process::id() })?;
    }
    let (end, ended) = watch::channel(());
    let pushes = tokio::spawn(pushes.run(over(ended.clone())));
    let settings = worker::Settings {
        data: data.root().to_owned(),
        builds: config.builds,
        host: config.host.clone(),
        builder,
        drift: Patience::default(),
    };
    let work = worker::run(jobs, provider, settings, over(ended));
    let work = tokio::spawn(work);
    // Whoever started this reads the line and knows that requests are answered.
    println!("cautiond serves at {api}");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.end();
    // Requests that run get some time; what has not ended by then is taken up by the next start.
    drop(end);
    let rest = async { (listener.close().await, pushes.await, work.await) };
    let _ = tokio::time::timeout(PATIENCE, rest).await;
    Ok(())
}

async fn open(config: &Config, data: &Data) -> Result<Store, ServeError> {
    let Some(address) = &config.database else { return Ok(Store::sqlite(&data.database()).await?) };
    let store = Store::postgres(address).await?;
    store.belongs_to(data.id()?).await?;
    Ok(store)
}

async fn set_up(store: &Store, site: &RelyingParty) -> Result<Option<String>, StoreError> {
    let mut change = store.change().await?;
    let link = invitation::set_up(&mut change, site).await?;
    change.commit().await?;
    Ok(link)
}

/// Until the server ends.
async fn over(mut ended: watch::Receiver<()>) {
    while ended.changed().await.is_ok() {}
}

/// How long requests that run may take yet.
const PATIENCE: Duration = Duration::from_secs(10);
