//! `caution apps logs`: what happened to an enclave and what its app wrote, live or ended.

use crate::Context;
use crate::commands::apps::events::{printable_line, show};
use crate::commands::apps::pick::{checkout_name, pick};
use crate::commands::apps::remote::job_log;
use crate::error::CliError;
use crate::terminal::Terminal;
use caution_abi::control::{Event, LogStream};
use caution_host::{HostEvent, LogEntry};

/// Arguments of `caution apps logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id; the one of this checkout when absent.
    app: Option<String>,
    /// Keep reading until it ends.
    #[arg(long, short)]
    follow: bool,

    /// What the run before the last one left: why it ended, and what its app wrote.
    #[arg(long, short, conflicts_with = "follow")]
    previous: bool,

    /// What this build or deployment of an app of the platform said, which APP then names.
    #[arg(long, value_name = "NUMBER", conflicts_with = "previous")]
    job: Option<i64>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    if let Some(job) = args.job {
        return job_log::run(context, args.app.as_deref(), job, args.follow);
    }
    let dirs = context.config.host_dirs();
    let name = match &args.app {
        Some(app) => app.clone(),
        None => pick(&dirs, None).map(|record| record.name).or_else(|error| checkout_name().ok_or(error))?,
    };
    let mut spoke = false;
    let logs = if args.previous {
        caution_host::previous_logs(&dirs, &name)?
    } else {
        caution_host::logs(&dirs, &name, args.follow)?
    };
    for entry in logs {
        spoke |= matches!(entry.event, HostEvent::Enclave(_));
        if !tell(context.terminal, &entry) {
            return Ok(());
        }
    }
    if !spoke && !context.terminal.json {
        context.terminal.note("  (the enclave said nothing)");
    }
    Ok(())
}

/// One entry: what the app wrote to stdout, everything else to stderr; with `--json` all of it to stdout.
/// False once nobody reads there.
fn tell(terminal: Terminal, entry: &LogEntry) -> bool {
    if terminal.json {
        return serde_json::to_value(entry).map_or(true, |value| terminal.json_line(&value));
    }
    match &entry.event {
        HostEvent::Enclave(Event::Log { stream, unix_ms, line }) => {
            let stream = match stream {
                LogStream::Stdout => "out",
                LogStream::Stderr => "err",
            };
            terminal.one_of_many(&format!("{} {stream} {}\n", at(*unix_ms), printable_line(line)))
        }
        HostEvent::Enclave(Event::LogDropped { lines }) => {
            terminal.one_of_many(&format!("{} ({lines} lines dropped)\n", at(entry.unix_ms)))
        }
        event => {
            show(terminal, event);
            true
        }
    }
}

/// RFC 3339 with milliseconds.
fn at(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{unix_ms} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_whatever_an_enclave_claims() {
        assert_eq!(at(1_700_000_000_042), "2023-11-14T22:13:20.042Z");
        assert_eq!(at(u64::MAX), "18446744073709551615 ms");
    }
}
