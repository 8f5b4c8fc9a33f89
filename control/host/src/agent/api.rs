//! What is said on the agent's socket: JSON lines. One request, answers until [`Reply::Done`] or
//! [`Reply::Error`], then the end of the connection. Normative: specs/host-agent.md.

use crate::config::RunConfig;
use crate::error::HostError;
use crate::event::{HostEvent, LogEntry};
use crate::files::record::Record;
use caution_abi::boot_plan::Restart;
use caution_abi::control::Phase;
use caution_measure::{Measurements, Sha256Digest};
use serde::{Deserialize, Serialize};

/// The version of these lines.
pub const PROTOCOL: u32 = 1;
/// The longest request, in bytes: a manifest as a JSON array of numbers.
pub(super) const MAX_REQUEST: usize = 1024 * 1024;
/// The longest reply, in bytes: as many apps as are kept, with their last exits.
pub(super) const MAX_REPLY: usize = 16 * 1024 * 1024;

/// What a client wants; its first and only line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Request {
    /// Boot an app and keep it running. [`Reply::Event`]s until it is ready, then [`Done::Running`].
    /// A client that goes away before that ends the boot.
    Run {
        /// What to run.
        app: AppSpec,
    },
    /// Put a new image in the place of the one that an app runs, while its clients go on. [`Reply::Event`]s until the new
    /// enclave is ready, then [`Done::Running`] when it serves and the old one is gone.
    Replace {
        /// What to run instead; the name says which app.
        app: AppSpec,
        /// What the new image must measure, and its enclave attest.
        expected: Measurements,
        /// How many seconds clients of the old enclave may take to finish; 30 when absent.
        drain_s: Option<u32>,
    },
    /// End an app, by name or by its enclave's id. [`Done::Stopped`].
    Stop {
        /// Which.
        app: String,
    },
    /// A [`Reply::App`] for each app that is known.
    // With braces, as others: serde ignores what stands beside the name of a variant without them.
    List {},
    /// [`Reply::App`] of every app, then a [`Reply::Change`] whenever something happens, until the client goes.
    Watch {
        /// Only this one.
        app: Option<String>,
    },
    /// The event log of an app's last run as [`Reply::Log`].
    Logs {
        /// Which.
        app: String,
        /// Go on until the run ends.
        follow: bool,
    },
    /// The image that an app's enclave was booted from: [`Reply::Image`], and then its bytes instead of lines.
    Fetch {
        /// Which, by name or by its enclave's id.
        app: String,
        /// How many bytes the client has already: the ones from there on are sent.
        from: u64,
    },
    /// End every enclave and then the agent, which takes no app in any more. What was to run is, and the next agent starts
    /// it. [`Done::Drained`].
    Drain {},
    /// [`Done::Status`].
    Status {},
    /// How apps are reached by HTTPS: [`Done::Ingress`].
    Ingress {},
}

/// An app to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// The enclave. The image is copied; what becomes of the file later does not matter.
    pub config: RunConfig,
    /// The boot plan's policy, which decides whether an enclave that ended is started again.
    pub restart: Restart,
}

/// A line of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// The first line of every connection, before the request.
    Hello(Hello),
    /// What the supervisor of a booting enclave says.
    Event(HostEvent),
    /// An app.
    App(AppStatus),
    /// Something happened to an app.
    Change(Change),
    /// A line of an event log.
    Log(LogEntry),
    /// An image; what the client does not have of its bytes follows, and then the connection ends.
    Image {
        /// Of the file, in bytes.
        size: u64,
        /// Of the file, as it was measured. Nobody has looked at it since: whoever relies on it compares.
        sha256: Sha256Digest,
    },
    /// The request was carried out.
    Done(Done),
    /// It was not.
    Error {
        /// Why, as a sentence.
        message: String,
        /// What to do about it.
        fix: Option<String>,
        /// What kind of failure it is, for programs.
        kind: ErrorKind,
    },
}

/// Kinds of failures that programs tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A new image measures, or its enclave attests, something else than was expected.
    NotAsExpected,
    /// Anything else.
    Other,
}

impl Reply {
    /// An error as a line.
    pub(super) fn error(error: &HostError) -> Self {
        let kind = match error {
            HostError::NotAsExpected(_) => ErrorKind::NotAsExpected,
            _ => ErrorKind::Other,
        };
        Self::Error { message: error.with_causes(), fix: error.fix(), kind }
    }
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Done {
    /// The enclave is ready.
    Running(Box<Record>),
    /// Nothing of it runs any more.
    Stopped {
        /// The app.
        name: String,
        /// The enclave that it ended, where one ran.
        id: Option<String>,
    },
    /// Everything was said.
    End,
    /// No enclave of the agent runs any more, and it ends.
    Drained {
        /// How many it ended.
        enclaves: usize,
    },
    /// How apps are reached by HTTPS.
    Ingress(Box<super::Reached>),
    /// The agent itself.
    Status {
        /// How many apps it knows.
        apps: usize,
        /// For how many of them an enclave runs.
        running: usize,
        /// Whether it ends by itself when there is nothing to look after.
        ends_when_idle: bool,
    },
}

/// One app, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub state: AppState,
    /// The enclave that runs, where one does.
    pub id: Option<String>,
    /// How far that enclave is.
    pub phase: Option<Phase>,
    /// Which deployment of this name it is, counted from 1.
    pub generation: u64,
    /// Restarts in a row.
    pub restarts: u32,
    /// The last ends of its enclaves, oldest first.
    pub exits: Vec<ExitNote>,
}

/// What becomes of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AppState {
    /// An enclave boots.
    Starting,
    /// An enclave runs.
    Running,
    /// It waits for its next start.
    BackingOff,
    /// It is being stopped.
    Stopping,
    /// It is to run and does not: its enclave ended while no agent was there. The next agent starts it again.
    Lost,
    /// Nothing is to run: it was stopped, came to its end, or was given up.
    Ended,
}

impl std::fmt::Display for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff => "backing off",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
            Self::Ended => "ended",
        })
    }
}

/// How an enclave of an app ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitNote {
    /// When it was noticed, in seconds since the Unix epoch.
    pub unix_s: u64,
    /// How, as a sentence.
    pub reason: String,
    /// What the agent did about it, as a sentence.
    pub then: String,
}

impl ExitNote {
    /// What is done where the boot plan's policy says that this was the end.
    pub(super) const FINAL: &'static str = "not started again, by the boot plan's restart policy";

    /// Whether the app came to its end by its own restart policy.
    pub fn is_final(&self) -> bool {
        self.then == Self::FINAL
    }
}

/// Something that happened to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What happened, as a sentence.
    pub what: String,
    /// The app afterwards.
    pub app: AppStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of specs/host-agent.md, by their exact bytes.
    #[test]
    fn requests_and_replies_are_the_lines_of_the_specification() {
        for (request, line) in [
            (Request::Stop { app: "hello".to_owned() }, r#"{"do":"stop","app":"hello"}"#),
            (Request::List {}, r#"{"do":"list"}"#),
            (Request::Watch { app: None }, r#"{"do":"watch","app":null}"#),
            (
                Request::Logs { app: "hello".to_owned(), follow: true },
                r#"{"do":"logs","app":"hello","follow":true}"#,
            ),
            (Request::Fetch { app: "hello".to_owned(), from: 7 }, r#"{"do":"fetch","app":"hello","from":7}"#),
            (Request::Drain {}, r#"{"do":"drain"}"#),
            (Request::Status {}, r#"{"do":"status"}"#),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        let hello = Reply::Hello(Hello { protocol: PROTOCOL, version: "0.1.0".to_owned(), pid: 7 });
        let line = r#"{"hello":{"protocol":1,"version":"0.1.0","pid":7}}"#;
        assert_eq!(serde_json::to_string(&hello).unwrap(), line);
        let stopped = Reply::Done(Done::Stopped { name: "hello".to_owned(), id: None });
        let line = r#"{"done":{"stopped":{"name":"hello","id":null}}}"#;
        assert_eq!(serde_json::to_string(&stopped).unwrap(), line);
        for wrong in [r#"{"do":"stop","app":"a","force":true}"#, r#"{"do":"list","all":true}"#] {
            assert!(serde_json::from_str::<Request>(wrong).is_err(), "{wrong}");
        }
    }
}
