//! `caution apps …` about apps of a platform, one file a word.

pub(crate) mod cancel;
pub(crate) mod deploy;
pub(crate) mod destroy;
pub(crate) mod events;
mod follow;
pub(crate) mod get;
pub(crate) mod job_log;
pub(crate) mod jobs;
pub(crate) mod list;
pub(crate) mod releases;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod start;
pub(crate) mod stop;

use caution_api::{AppState, JobKind};

/// An app of the platform.
#[derive(Debug, clap::Args)]
pub(crate) struct Picked {
    /// Its name or id; the one that this checkout is linked to when absent.
    app: Option<String>,
}

const fn state(state: AppState) -> &'static str {
    match state {
        AppState::Empty => "empty",
        AppState::Live => "live",
        AppState::Stopped => "stopped",
        AppState::Destroying => "destroying",
    }
}

const fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Build => "build",
        JobKind::Deploy => "deployment",
        JobKind::Stop => "stop",
        JobKind::Destroy => "destruction",
    }
}

/// A moment of the platform's, RFC 3339.
pub(crate) fn when(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| format!("{unix_ms} ms"), |time| format!("{time:.0}"))
}
