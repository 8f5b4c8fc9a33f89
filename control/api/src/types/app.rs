//! Apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An app: a git repository, its releases, and at most one of them that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Its id, for ever.
    pub id: Uuid,
    /// Its name, unique in its organisation.
    pub name: String,
    /// Whose it is.
    pub organisation: Uuid,
    /// Where to push to.
    pub git_url: String,
    /// Pushing to this branch deploys.
    pub deploy_branch: String,
    /// What it does.
    pub state: AppState,
    /// The release that its traffic goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_release: Option<i64>,
    /// Where it answers by HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where its enclave answers for itself. Whoever verifies takes from here where to ask, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_url: Option<String>,
    /// When it was created, milliseconds since 1970.
    pub created_ms: i64,
}

/// What an app runs by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppConfig {
    /// The release that its traffic goes to.
    pub release: i64,
    /// The commit that it was built from, and whose file says all this.
    pub commit: String,
    /// What its enclave says of itself, as a JSON value.
    pub manifest: serde_json::Value,
}

/// What an app does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// No release was ever live.
    Empty,
    /// Its traffic goes to a release.
    Live,
    /// It was stopped; `start` deploys the release again that was live.
    Stopped,
    /// Everything of it is being removed.
    Destroying,
}

/// An app in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AppSelect {
    /// Its id.
    pub app: Uuid,
}

/// Creates an app.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppCreate {
    /// 1 to 63 of `a-z 0-9 -`, beginning and ending with a letter or digit: it becomes a part of a host name.
    pub name: String,
    /// Whose it is to be; may be absent for who belongs to one organisation.
    pub organisation: Option<Uuid>,
    /// The branch that deploys; `main` where absent.
    pub deploy_branch: Option<String>,
}

/// Gives an app another name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppRename {
    /// As for a new app.
    pub name: String,
}

/// Says that an app is meant to be destroyed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AppDestroy {
    /// Its name.
    pub confirm: String,
}
