//! Links that make somebody a member, and the one that makes the first owner: only the hash of their secrets is kept.

use super::row::Columns;
use super::{AccountId, InvitationId, OrganisationId, StoreError};
use crate::app::access::Role;
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// An invitation, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Where to; the set-up link makes the first organisation.
    pub organisation: Option<OrganisationId>,
    /// As what.
    pub role: Role,
    /// Who made it; the server itself made the set-up link.
    pub made_by: Option<AccountId>,
    /// When it was made.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
}

/// An invitation that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct NewInvitation {
    /// Where to.
    pub organisation: Option<OrganisationId>,
    /// As what.
    pub role: Role,
    /// Who asks.
    pub made_by: Option<AccountId>,
    /// Hash of its secret.
    pub secret: Sha256Digest,
    /// When it ends.
    pub expires_ms: i64,
}

/// Writes an invitation down.
pub async fn create(db: &mut AnyConnection, new: &NewInvitation) -> Result<Invitation, StoreError> {
    let now = now_ms();
    sqlx::query("DELETE FROM invitation WHERE expires_ms <= $1").bind(now).execute(&mut *db).await?;
    let row = sqlx::query(
        "INSERT INTO invitation (id, organisation_id, role, secret_sha256, made_by, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
    )
    .bind(InvitationId::new()?.to_string())
    .bind(new.organisation.map(|id| id.to_string()))
    .bind(new.role.word())
    .bind(new.secret.to_string())
    .bind(new.made_by.map(|id| id.to_string()))
    .bind(now)
    .bind(new.expires_ms)
    .fetch_one(db)
    .await?;
    of(&row)
}

/// The invitation of this secret, unless it has ended.
pub async fn by_secret(
    db: &mut AnyConnection,
    secret: Sha256Digest,
) -> Result<Option<Invitation>, StoreError> {
    let row = sqlx::query("SELECT * FROM invitation WHERE secret_sha256 = $1 AND expires_ms > $2")
        .bind(secret.to_string())
        .bind(now_ms())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// The same, and it has ended: it is accepted once.
pub async fn take(db: &mut AnyConnection, secret: Sha256Digest) -> Result<Option<Invitation>, StoreError> {
    let row = sqlx::query("DELETE FROM invitation WHERE secret_sha256 = $1 AND expires_ms > $2 RETURNING *")
        .bind(secret.to_string())
        .bind(now_ms())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// Invitations to an organisation, newest first: up to `limit` before the invitation `before`.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    before: Option<InvitationId>,
    limit: u32,
) -> Result<Vec<Invitation>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM invitation WHERE organisation_id = $1 AND expires_ms > $2 AND id < $3
         ORDER BY id DESC LIMIT $4",
    )
    .bind(organisation.to_string())
    .bind(now_ms())
    .bind(before.map_or_else(|| super::AFTER_ALL_IDS.to_owned(), |id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}

/// How many invitations to an organisation wait.
pub async fn count(db: &mut AnyConnection, organisation: OrganisationId) -> Result<i64, StoreError> {
    let query =
        sqlx::query("SELECT COUNT(*) AS n FROM invitation WHERE organisation_id = $1 AND expires_ms > $2");
    query.bind(organisation.to_string()).bind(now_ms()).fetch_one(db).await?.number("n")
}

/// Ends an invitation of an organisation, and says what it was.
pub async fn revoke(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let row = sqlx::query("DELETE FROM invitation WHERE id = $1 AND organisation_id = $2 RETURNING *")
        .bind(id.to_string())
        .bind(organisation.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// Ends the invitations that somebody made to an organisation.
pub async fn revoke_of(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    made_by: AccountId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM invitation WHERE organisation_id = $1 AND made_by = $2")
        .bind(organisation.to_string())
        .bind(made_by.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends set-up links that were printed before.
pub async fn revoke_set_up(db: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM invitation WHERE organisation_id IS NULL").execute(db).await?;
    Ok(())
}

fn of(row: &AnyRow) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.id("id")?,
        organisation: row.id_or_none("organisation_id")?,
        role: Role::of(&row.text("role")?).ok_or(StoreError::Column("role"))?,
        made_by: row.id_or_none("made_by")?,
        created_ms: row.number("created_ms")?,
        expires_ms: row.number("expires_ms")?,
    })
}
