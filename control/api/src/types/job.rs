//! Work: builds, deployments, ends of apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A build, a deployment, or an end of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// The order of an app's work: greater is later.
    pub number: i64,
    /// What it is to do.
    pub kind: JobKind,
    /// How far it is.
    pub phase: JobPhase,
    /// What is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The number of the release that is deployed, or was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<i64>,
    /// The name of the account that asked for it.
    pub made_by: String,
    /// Somebody asked to end it before its time.
    pub cancel_requested: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it was asked for, milliseconds since 1970.
    pub created_ms: i64,
    /// When its work began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
}

/// What a job is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A commit becomes a release.
    Build,
    /// A release comes in the place of what runs.
    Deploy,
    /// What runs is ended, until a release is deployed again.
    Stop,
    /// What runs is ended, and everything of the app removed.
    Destroy,
}

/// How far a job is; `specs/platform.md` §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// It waits for its turn.
    Queued,
    /// A build: the builder works.
    Building,
    /// A build: image and release are being kept.
    Storing,
    /// A deployment: boots, is attested, and takes over.
    Starting,
    /// A stop or destruction: what runs is being ended.
    Stopping,
    /// A build that made its release, or a stop after which nothing runs.
    Done,
    /// The deployment that the app's traffic goes to.
    Live,
    /// A deployment that was live until another one came.
    Replaced,
    /// A deployment that was live until the app was stopped.
    Stopped,
    /// It failed.
    Failed,
    /// Somebody ended it before its time.
    Cancelled,
}

impl JobPhase {
    /// Whether nothing more will be done for it.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::Storing | Self::Starting | Self::Stopping)
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Asks for a build and its deployment (`commit`), or for the deployment of a release that exists (`release`): one of both.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobCreate {
    /// A commit that was pushed, 40 hex digits.
    pub commit: Option<String>,
    /// The number of a release.
    pub release: Option<i64>,
}

/// A job in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct JobSelect {
    /// The app's id.
    pub app: Uuid,
    /// The job's number.
    pub number: i64,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct LogQuery {
    /// The first byte that is wanted.
    #[serde(default)]
    pub from: u64,
    /// Whether to go on until the job has ended.
    #[serde(default)]
    pub follow: bool,
}
