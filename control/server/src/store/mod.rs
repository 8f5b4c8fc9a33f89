//! What is kept: one database, SQLite or PostgreSQL, by one set of SQL. `specs/platform.md` §2.
//!
//! One file for each noun. Functions take a connection, so that whoever calls decides what is one transaction.

pub mod account;
mod address;
pub mod app;
pub mod audit;
pub mod device;
mod error;
pub mod event;
mod id;
pub mod idempotency;
mod installation;
pub mod invitation;
pub mod job;
pub mod member;
pub mod passkey;
pub mod release;
mod row;
pub mod session;
pub mod ssh_key;
pub mod token;

pub use address::{NotAnAddress, PostgresAddress};
pub use error::StoreError;
pub use id::{
    AccountId, AppId, AuditId, EventId, InvitationId, JobId, NotAnId, OrganisationId, ReleaseId, SessionId,
    TokenId,
};

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _, Transaction};
use std::fs::OpenOptions;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    /// How a change begins. SQLite's own `BEGIN` takes the lock with the first write, and a change that has read
    /// before then may find that it cannot have it.
    begin: &'static str,
    /// Held by the change that is being made. One process works in a database, so that changes that wait for each other
    /// here meet neither a deadlock nor a conflict there, with either kind of database.
    turn: Arc<Mutex<()>>,
}

/// A change that is carried out whole or not at all. There is one at a time.
#[derive(Debug)]
pub struct Change {
    transaction: Transaction<'static, Any>,
    _turn: OwnedMutexGuard<()>,
}

impl Store {
    /// Opens a SQLite file, made with mode 0600 where there is none, and brings its schema up to date.
    pub async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(StoreError::Create)?;
        let address = url_of(path)?;
        Self::open(&address, "BEGIN IMMEDIATE", &SQLITE_PRAGMAS).await
    }

    /// Opens a PostgreSQL database, and brings its schema up to date under the database's own lock.
    pub async fn postgres(address: &PostgresAddress) -> Result<Self, StoreError> {
        Self::open(address.whole(), "BEGIN", &POSTGRES_SETTINGS).await
    }

    /// Notes which data folder the database belongs to, where nothing is noted.
    ///
    /// # Errors
    /// - [`StoreError::OtherFolder`] when it is another one
    pub async fn belongs_to(&self, folder: Uuid) -> Result<(), StoreError> {
        let mut change = self.change().await?;
        let first = installation::claim(&mut change, folder).await?;
        change.commit().await?;
        if first == folder { Ok(()) } else { Err(StoreError::OtherFolder) }
    }

    async fn open(
        address: &str,
        begin: &'static str,
        each: &'static [&'static str],
    ) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    for &statement in each {
                        connection.execute(statement).await?;
                    }
                    Ok(())
                })
            })
            // SQLite ends a change by itself where its disk is full, and sqlx takes the connection to be in it for ever.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect(address)
            .await?;
        migrations().run(&pool).await?;
        Ok(Self { pool, begin, turn: Arc::default() })
    }

    /// Begins a change, when those that were begun before have ended. Dropped without [`Change::commit`] it leaves nothing.
    pub async fn change(&self) -> Result<Change, StoreError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turn).lock_owned());
        let turn = turn.await.map_err(|_| StoreError::Away(None))?;
        Ok(Change { transaction: self.pool.begin_with(self.begin).await?, _turn: turn })
    }

    /// A connection for reading, and for single statements.
    pub async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.pool.acquire().await?)
    }
}

impl Change {
    /// Makes the change last.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl Deref for Change {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

/// A path as a SQLite address; `?` and `%` in it must not be read as more than the path.
fn url_of(path: &Path) -> Result<String, StoreError> {
    let path = path.to_str().ok_or(StoreError::Path)?;
    let mut url = "sqlite://".to_owned();
    for c in path.chars() {
        match c {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            c => url.push(c),
        }
    }
    Ok(url)
}

/// Every change of the schema, in order; what was applied once is never edited.
fn migrations() -> Migrator {
    let change = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![change(1, "first", include_str!("../../migrations/0001_first.sql"))])
}

/// What each connection of SQLite is told: readers do not wait for writers, what was committed survives the power.
static SQLITE_PRAGMAS: [&str; 4] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
];

/// What each connection of PostgreSQL is told. A change sees what was committed before each of its statements, as with
/// SQLite; what takes this long is given up, so that a lock that somebody else holds there stops nobody here for ever.
static POSTGRES_SETTINGS: [&str; 3] = [
    "SET default_transaction_isolation = 'read committed'",
    "SET statement_timeout = '30s'",
    "SET idle_in_transaction_session_timeout = '60s'",
];

/// Connections at a time.
const CONNECTIONS: u32 = 16;
/// How long a request waits for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sorts behind every id.
pub(crate) const AFTER_ALL_IDS: &str = "g";
