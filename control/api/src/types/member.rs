//! Members of organisations, and links that make more of them.

use super::account::{Account, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Somebody who belongs to an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Who.
    pub account: Account,
    /// As what.
    pub role: Role,
    /// Since when, milliseconds since 1970.
    pub created_ms: i64,
}

/// A member in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MemberSelect {
    /// The organisation's id.
    pub organisation: Uuid,
    /// The account's id.
    pub account: Uuid,
}

/// Gives a member another role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// As what they belong from now on.
    pub role: Role,
}

/// A link that makes somebody a member, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// As what.
    pub role: Role,
    /// The id of the account that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Uuid>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
}

/// Makes an invitation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationCreate {
    /// As what whoever has the link is to belong; not more than who asks.
    pub role: Role,
    /// Days until it ends, 1 to 7; 7 where absent.
    pub days: Option<u32>,
}

/// An invitation that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InvitationMade {
    /// What is kept of it.
    pub invitation: Invitation,
    /// What to give to whom it is for; whoever has it may use it, once. It is shown this once.
    pub link: String,
}

/// An invitation in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InvitationSelect {
    /// The organisation's id.
    pub organisation: Uuid,
    /// The invitation's id.
    pub invitation: Uuid,
}

/// Who is known already uses a link.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationAccept {
    /// The link's secret.
    pub link: String,
}
