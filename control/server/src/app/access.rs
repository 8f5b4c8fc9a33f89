//! Who may what: one table of roles, one of operations, one function that decides. `specs/platform.md` §3.

use super::{Refused, not_found};
use crate::store::app::App;
use crate::store::session::{self, Session};
use crate::store::token::{self, Scope};
use crate::store::{AccountId, AppId, OrganisationId, StoreError, TokenId, account, app};
use caution_api::{ErrorCode, Problem};
use sqlx::AnyConnection;

/// As what an account belongs to an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Deploys.
    Member,
    /// Destroys.
    Admin,
    /// Everything.
    Owner,
}

/// What a role may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read apps, releases, jobs, events, logs.
    Read,
    /// Push, deploy, roll back, stop, start.
    Deploy,
    /// Create and rename apps.
    Manage,
    /// Destroy apps.
    Destroy,
    /// Read the audit log.
    Audit,
    /// Invite, change and remove members, up to the own role.
    Members,
}

/// What an operation asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nobody's things.
    Nothing,
    /// What it brings along: a link, a passkey, a code. Who asks becomes known by it.
    Stranger,
    /// An account, which reads about itself, or lists what it may read.
    Account,
    /// An account with a token that is held to nothing: it changes what the account is known by.
    WholeAccount,
    /// A person in a browser.
    Session,
    /// This permission for the app or organisation that is named.
    Permission(Permission),
}

/// Who calls, and what with.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub account: AccountId,
    /// How they are known, for the audit log.
    pub means: &'static str,
    /// What they are held to.
    pub scope: Scope,
    /// The token, where it is a program.
    pub token: Option<TokenId>,
    /// The browser's session, where it is a person in one.
    pub session: Option<Session>,
}

impl Role {
    /// The table of `specs/platform.md` §3.
    pub const fn may(self, permission: Permission) -> bool {
        let least = match permission {
            Permission::Read => Self::Viewer,
            Permission::Deploy | Permission::Manage => Self::Member,
            Permission::Destroy | Permission::Audit | Permission::Members => Self::Admin,
        };
        self as u8 >= least as u8
    }

    /// Its name in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// As it is on the wire.
    pub(crate) const fn wire(self) -> caution_api::Role {
        match self {
            Self::Viewer => caution_api::Role::Viewer,
            Self::Member => caution_api::Role::Member,
            Self::Admin => caution_api::Role::Admin,
            Self::Owner => caution_api::Role::Owner,
        }
    }

    /// As it was on the wire.
    pub(crate) const fn from_wire(role: caution_api::Role) -> Self {
        match role {
            caution_api::Role::Viewer => Self::Viewer,
            caution_api::Role::Member => Self::Member,
            caution_api::Role::Admin => Self::Admin,
            caution_api::Role::Owner => Self::Owner,
        }
    }

    /// The role of this name.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.word() == word)
    }
}

impl Permission {
    const fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::Audit)
    }
}

/// What an operation of the API needs; nothing that has no line is answered.
pub fn need(operation: &str) -> Option<Need> {
    OPERATIONS.iter().find(|(name, _)| *name == operation).map(|(_, need)| *need)
}

/// The app of this id, if the caller may do this with it.
///
/// What one may not read does not exist.
pub async fn app(
    db: &mut AnyConnection,
    caller: &Caller,
    permission: Permission,
    id: AppId,
) -> Result<App, Refused> {
    let found = app::find(&mut *db, id).await?.ok_or_else(|| not_found("app"))?;
    if caller.scope.app.is_some_and(|only| only != id) {
        return Err(not_found("app").into());
    }
    decide(db, caller, permission, found.organisation, "app").await?;
    if found.destroying_ms.is_some() && permission.changes() {
        let text = format!("{} is being destroyed.", found.name);
        return Err(Problem::new(ErrorCode::Conflict, text).into());
    }
    Ok(found)
}

/// Whether the caller is known yet, and may read the app: asked again while they are told what happens.
pub async fn still_reads(db: &mut AnyConnection, caller: &Caller, id: AppId) -> Result<bool, StoreError> {
    let by_token = match caller.token {
        Some(token) => token::lasts(&mut *db, token).await?,
        None => true,
    };
    let by_session = match &caller.session {
        Some(session) => session::lasts(&mut *db, session.id).await?,
        None => true,
    };
    if !by_token || !by_session {
        return Ok(false);
    }
    match app(db, caller, Permission::Read, id).await {
        Ok(_) => Ok(true),
        Err(Refused::Told(_)) => Ok(false),
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// Whether the caller may do this in an organisation.
pub async fn organisation(
    db: &mut AnyConnection,
    caller: &Caller,
    permission: Permission,
    id: OrganisationId,
) -> Result<(), Refused> {
    if caller.scope.app.is_some() {
        return Err(held("to one app").into());
    }
    decide(db, caller, permission, id, "organisation").await
}

/// Whether the caller may change what their account is known by.
pub fn whole_account(caller: &Caller) -> Result<(), Problem> {
    match caller.scope {
        Scope { read_only: true, .. } => Err(held("to reading")),
        Scope { app: Some(_), .. } => Err(held("to one app")),
        Scope { .. } => Ok(()),
    }
}

/// Whether a person in a browser showed a passkey lately, where the operation asks for that. A token was made by somebody who did.
pub fn proved(caller: &Caller, operation: &str, now_ms: i64) -> Result<(), Problem> {
    let late = |session: &Session| session.proved_ms + PROOF_LASTS_MS < now_ms;
    if !PROVED.contains(&operation) || !caller.session.as_ref().is_some_and(late) {
        return Ok(());
    }
    let text = "This asks for your passkey, shown within the last 5 minutes.";
    Err(Problem::new(ErrorCode::ProofNeeded, text).fix("show it again: the page asks for it"))
}

/// Whether this is a person in a browser.
pub fn session(caller: &Caller) -> Result<&Session, Problem> {
    let text = "Only a person in a browser may do this, not a token.";
    caller.session.as_ref().ok_or_else(|| Problem::new(ErrorCode::Forbidden, text))
}

async fn decide(
    db: &mut AnyConnection,
    caller: &Caller,
    permission: Permission,
    organisation: OrganisationId,
    what: &str,
) -> Result<(), Refused> {
    let role = account::role(db, organisation, caller.account).await?.ok_or_else(|| not_found(what))?;
    if !role.may(Permission::Read) {
        return Err(not_found(what).into());
    }
    if caller.scope.read_only && permission.changes() {
        return Err(held("to reading").into());
    }
    if role.may(permission) {
        return Ok(());
    }
    let text = format!("A {} of this organisation may not do this.", role.word());
    Err(Problem::new(ErrorCode::Forbidden, text).fix("ask an owner or admin of it").into())
}

fn held(to: &str) -> Problem {
    Problem::new(ErrorCode::Forbidden, format!("This token is held {to}.")).fix("use one that is not")
}

/// Every operation of the API.
const OPERATIONS: [(&str, Need); 51] = [
    ("health_get", Need::Nothing),
    ("ready_get", Need::Nothing),
    ("metrics_get", Need::Nothing),
    ("registration_begin", Need::Stranger),
    ("registration_finish", Need::Stranger),
    ("session_begin", Need::Stranger),
    ("session_create", Need::Stranger),
    ("device_begin", Need::Stranger),
    ("device_token", Need::Stranger),
    ("session_get", Need::Session),
    ("session_prove", Need::Session),
    ("device_get", Need::Session),
    ("device_approve", Need::Session),
    ("device_refuse", Need::Session),
    ("invitation_accept", Need::WholeAccount),
    ("session_list", Need::Account),
    ("session_revoke", Need::WholeAccount),
    ("me_get", Need::Account),
    ("app_list", Need::Account),
    ("ssh_key_list", Need::Account),
    ("token_list", Need::Account),
    ("ssh_key_add", Need::WholeAccount),
    ("ssh_key_remove", Need::WholeAccount),
    ("token_create", Need::WholeAccount),
    ("token_revoke", Need::WholeAccount),
    ("app_get", Need::Permission(Permission::Read)),
    ("app_config", Need::Permission(Permission::Read)),
    ("app_logs", Need::Permission(Permission::Read)),
    ("job_list", Need::Permission(Permission::Read)),
    ("job_get", Need::Permission(Permission::Read)),
    ("job_log", Need::Permission(Permission::Read)),
    ("release_list", Need::Permission(Permission::Read)),
    ("release_get", Need::Permission(Permission::Read)),
    ("release_image", Need::Permission(Permission::Read)),
    ("event_list", Need::Permission(Permission::Read)),
    ("event_stream", Need::Permission(Permission::Read)),
    ("app_stop", Need::Permission(Permission::Deploy)),
    ("app_start", Need::Permission(Permission::Deploy)),
    ("app_restart", Need::Permission(Permission::Deploy)),
    ("job_create", Need::Permission(Permission::Deploy)),
    ("job_cancel", Need::Permission(Permission::Deploy)),
    ("app_create", Need::Permission(Permission::Manage)),
    ("app_rename", Need::Permission(Permission::Manage)),
    ("app_destroy", Need::Permission(Permission::Destroy)),
    ("audit_list", Need::Permission(Permission::Audit)),
    ("member_list", Need::Permission(Permission::Read)),
    ("member_change", Need::Permission(Permission::Members)),
    ("member_remove", Need::Permission(Permission::Members)),
    ("invitation_list", Need::Permission(Permission::Members)),
    ("invitation_create", Need::Permission(Permission::Members)),
    ("invitation_revoke", Need::Permission(Permission::Members)),
];

/// Operations that destroy, or change who is known by what: a session's owner shows a passkey anew.
const PROVED: [&str; 10] = [
    "app_destroy",
    "ssh_key_add",
    "ssh_key_remove",
    "token_create",
    "device_approve",
    "member_change",
    "member_remove",
    "invitation_create",
    "invitation_revoke",
    "invitation_accept",
];
/// How long that is good for.
const PROOF_LASTS_MS: i64 = 5 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// `specs/platform.md` §3: every operation names its permission.
    #[test]
    fn the_table_has_every_operation_of_the_document_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(&caution_api::openapi().unwrap()).unwrap();
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let there: BTreeSet<&str> = operations.map(|op| op["operationId"].as_str().unwrap()).collect();
        let table: BTreeSet<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, table);
        assert_eq!(table.len(), OPERATIONS.len());
        assert!(PROVED.iter().all(|operation| table.contains(operation)));
    }

    #[test]
    fn a_higher_role_may_everything_that_a_lower_one_may() {
        use Permission as P;
        let roles = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
        let allowed = |role: Role| {
            [P::Read, P::Deploy, P::Manage, P::Destroy, P::Audit, P::Members]
                .into_iter()
                .filter(|p| role.may(*p))
                .count()
        };
        assert_eq!(roles.map(allowed), [1, 3, 6, 6]);
        assert!(roles.iter().all(|role| Role::of(role.word()) == Some(*role)));
    }
}
