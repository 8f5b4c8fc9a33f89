//! Why the database did not do what was asked.

use crate::job::phase::{Event, Phase};
use std::io;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be made.
    #[error("the database file cannot be created")]
    Create(#[source] io::Error),
    /// The path cannot stand in a database's address.
    #[error("the path of the database is not UTF-8")]
    Path,
    /// The schema is not one of ours, or cannot be brought up to date.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// What it says of apps lies in another data folder.
    #[error("the database belongs to another data folder")]
    OtherFolder,
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
        event: Event,
    },
    /// It may answer again in a moment, without anybody doing anything here. Whether a change that was being committed is
    /// there is not known.
    #[error("the database does not answer")]
    Away(#[source] Option<Box<sqlx::Error>>),
    /// There is no room for what was to be written. Nothing of it was.
    #[error("the disk of the database is full")]
    Full(#[source] Box<sqlx::Error>),
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same may be done later, as it is.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Full(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match Kind::of(&error) {
            Kind::Taken => Self::Taken,
            Kind::Away => Self::Away(Some(Box::new(error))),
            Kind::Full => Self::Full(Box::new(error)),
            Kind::Other => Self::Database(error),
        }
    }
}

enum Kind {
    Taken,
    Away,
    Full,
    Other,
}

impl Kind {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Taken,
            sqlx::Error::Database(cause) => cause.code().map_or(Self::Other, |code| Self::of_code(&code)),
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::StorageFull => Self::Full,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => Self::Away,
            _ => Self::Other,
        }
    }

    /// By PostgreSQL's SQLSTATE (its manual, appendix A) or SQLite's extended result code (sqlite.org/rescode.html).
    fn of_code(code: &str) -> Self {
        match code.parse::<u32>() {
            // SQLITE_FULL, SQLITE_IOERR_SHMSIZE; SQLITE_BUSY and SQLITE_LOCKED in their last eight bits.
            Ok(13 | 4874) if code.len() != 5 => return Self::Full,
            Ok(n) if code.len() != 5 && matches!(n & 0xff, 5 | 6) => return Self::Away,
            _ => {}
        }
        match code {
            "53100" => Self::Full,
            // Connections; too many of them; shut down, crashed or starting; statements that took too long.
            _ if code.len() == 5 && code.starts_with("08") => Self::Away,
            "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "57014" | "25P03" => Self::Away,
            _ => Self::Other,
        }
    }
}
