//! The git server: pushes, clones and fetches over SSH. `specs/platform.md` §4.
//!
//! A client is known by its key, may run git's two commands on a repository named by an app's id, and nothing else. What a
//! push moves is built and deployed while the client is told; one that goes away leaves the work to go on.

mod access;
mod command;
mod connection;
mod push;
mod question;
mod session;
mod settle;
mod sideband;

use crate::job::Jobs;
use crate::store::Store;
use command::Git;
use connection::Connection;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::{MethodKind, MethodSet, SshId, server};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A git server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    key: PrivateKey,
    shared: Arc<Shared>,
}

/// What every connection uses.
#[derive(Debug)]
struct Shared {
    store: Store,
    jobs: Jobs,
    git: Git,
    /// Clients that are being served; they outlive their connections where something is left to be written down.
    work: Mutex<JoinSet<()>>,
}

/// Why there is no git server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The address cannot be listened on.
    #[error("Git cannot be served on {address}.")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The host key cannot be read or made.
    #[error("The git server's key cannot be read or made.")]
    HostKey(#[source] io::Error),
    /// The hooks cannot be written.
    #[error("The git server's hooks cannot be written.")]
    Hooks(#[source] io::Error),
}

impl Server {
    /// Listens. `data` is the data folder, with the folder `git` in it; `search_path` is where git is looked for.
    pub async fn bind(
        address: SocketAddr,
        data: &Path,
        search_path: &OsStr,
        store: Store,
        jobs: Jobs,
    ) -> Result<Self, GitError> {
        let key = host_key(&data.join("ssh_host_ed25519_key")).map_err(GitError::HostKey)?;
        let git = Git::prepare(data, search_path).map_err(GitError::Hooks)?;
        let listener =
            TcpListener::bind(address).await.map_err(|cause| GitError::Listen { address, cause })?;
        let shared = Arc::new(Shared { store, jobs, git, work: Mutex::default() });
        Ok(Self { listener, key, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Its key as a line of `known_hosts` has it: algorithm and key.
    pub fn host_key(&self) -> Result<String, GitError> {
        let mut key = PublicKey::from(&self.key);
        key.set_comment("");
        let text = key.to_openssh().map_err(|e| GitError::HostKey(io::Error::other(e)))?;
        Ok(text.trim_end().to_owned())
    }

    /// Serves clients until `end` is there. Pushes that were received are written down by then; what an earlier server left
    /// of them comes first.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let config = Arc::new(settings(self.key));
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let accept = async {
            settle::all(&self.shared).await;
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                // A client that went away before it was taken, or descriptors that are short for a moment.
                let Ok((stream, _)) = self.listener.accept().await else {
                    tokio::time::sleep(SHORT).await;
                    continue;
                };
                while connections.try_join_next().is_some() {}
                let (config, shared) = (Arc::clone(&config), Arc::clone(&self.shared));
                connections.spawn(async move {
                    serve(config, stream, shared).await;
                    drop(place);
                });
            }
        };
        tokio::select! {
            () = accept => {}
            () = end => {}
        }
        connections.shutdown().await;
        let mut work = std::mem::take(&mut *self.shared.lock());
        while work.join_next().await.is_some() {}
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(config: Arc<server::Config>, stream: TcpStream, shared: Arc<Shared>) {
    let connection = Connection::new(shared);
    let known = connection.known();
    let session = async move {
        // What a client does wrong is its own affair; it is told by the protocol.
        if let Ok(session) = server::run_stream(config, stream, connection).await {
            let _ = session.await;
        }
    };
    let late = async {
        tokio::time::sleep(LOGIN).await;
        if known.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = session => {}
        () = late => {}
    }
}

fn settings(key: PrivateKey) -> server::Config {
    server::Config {
        server_id: SshId::Standard("SSH-2.0-caution".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(300),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        max_auth_attempts: 6,
        inactivity_timeout: Some(IDLE),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        ..server::Config::default()
    }
}

/// Reads the key, or makes one with mode 0600.
fn host_key(path: &Path) -> io::Result<PrivateKey> {
    match fs::read(path) {
        Ok(bytes) => return PrivateKey::from_openssh(bytes).map_err(io::Error::other),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(key)
}

/// Connections at a time.
const CONNECTIONS: usize = 256;
/// How long a client may take to say who it is.
const LOGIN: Duration = Duration::from_secs(30);
/// How long a connection may be without a sign of life.
const IDLE: Duration = Duration::from_mins(10);
/// How often one is asked for.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long nobody is taken after that failed.
const SHORT: Duration = Duration::from_millis(50);
