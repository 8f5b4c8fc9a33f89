//! `caution apps …` about apps of a platform, one file a word.

pub(crate) mod deploy;
pub(crate) mod destroy;
pub(crate) mod events;
mod follow;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod releases;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rollback;
pub(crate) mod start;
pub(crate) mod stop;

use caution_api::AppState;

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

fn when(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| format!("{unix_ms} ms"), |time| format!("{time:.0}"))
}
