//! What is kept: one database, SQLite or PostgreSQL, by one set of SQL. `specs/platform.md` §2.
//!
//! One file for each noun. Functions take a connection, so that whoever calls decides what is one transaction.

pub mod account;
pub mod app;
pub mod audit;
pub mod event;
mod id;
pub mod idempotency;
pub mod job;
pub mod member;
pub mod release;
mod row;
pub mod ssh_key;
pub mod token;

pub use id::{AccountId, AppId, AuditId, EventId, JobId, NotAnId, OrganisationId, ReleaseId, TokenId};

use crate::job::phase::{self, Phase};
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Executor as _, SqlSafeStr as _, Transaction};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// A change that is carried out whole or not at all.
pub type Change = Transaction<'static, Any>;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    /// How a change begins. SQLite's own `BEGIN` takes the lock with the first write, and a change that has read
    /// before then may find that it cannot have it.
    begin: &'static str,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be made.
    #[error("the database file cannot be created")]
    Create(#[source] std::io::Error),
    /// The path cannot stand in a database's address.
    #[error("the path of the database is not UTF-8")]
    Path,
    /// The schema is not one of ours, or cannot be brought up to date.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The operating system has no random bytes.
    #[error("the operating system has no random bytes")]
    Random(#[source] getrandom::Error),
    /// What is written down there cannot be read.
    #[error("the database holds something else in `{0}` than belongs there")]
    Column(&'static str),
    /// There is one already.
    #[error("it is taken already")]
    Taken,
    /// Another worker took the job over.
    #[error("another worker took the job over")]
    LeaseLost,
    /// Nothing that can happen to a job.
    #[error("a job that is {before} cannot go on so ({event:?})")]
    Phase {
        /// How far it is.
        before: Phase,
        /// What was said to have happened.
        event: phase::Event,
    },
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Taken,
            _ => Self::Database(error),
        }
    }
}

impl Store {
    /// Opens a SQLite file, made with mode 0600 where there is none, and brings its schema up to date.
    pub async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(StoreError::Create)?;
        let address = url_of(path)?;
        Self::open(&address, "BEGIN IMMEDIATE", &SQLITE_PRAGMAS).await
    }

    /// Opens a PostgreSQL database by its address, `postgres://…`, and brings its schema up to date.
    pub async fn postgres(address: &str) -> Result<Self, StoreError> {
        Self::open(address, "BEGIN", &[]).await
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
            .connect(address)
            .await?;
        migrations().run(&pool).await?;
        Ok(Self { pool, begin })
    }

    /// Begins a change. Dropped without [`Transaction::commit`] it leaves nothing.
    pub async fn change(&self) -> Result<Change, StoreError> {
        Ok(self.pool.begin_with(self.begin).await?)
    }

    /// A connection for reading, and for single statements.
    pub async fn read(&self) -> Result<PoolConnection<Any>, StoreError> {
        Ok(self.pool.acquire().await?)
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

/// Connections at a time.
const CONNECTIONS: u32 = 16;
/// How long a request waits for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sorts behind every id.
pub(crate) const AFTER_ALL_IDS: &str = "g";
