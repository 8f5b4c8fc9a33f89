//! Passkeys, and the challenges that they answer.

use super::row::Columns;
use super::{AccountId, StoreError};
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// As authenticators know it, base64url.
    pub credential: String,
    /// Whose it is.
    pub account: AccountId,
    /// COSE, base64url.
    pub public_key: String,
    /// How often it was used, as it says.
    pub count: u32,
}

/// What a challenge was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A new passkey, for the account that it names.
    Register(AccountId),
    /// A use of one, whosever.
    SignIn,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::SignIn => "sign_in",
        }
    }
}

/// Writes a passkey down.
///
/// # Errors
/// - [`StoreError::Taken`] when it is known already
pub async fn add(db: &mut AnyConnection, new: &Passkey) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO passkey (credential, account_id, public_key, sign_count, created_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&new.credential)
    .bind(new.account.to_string())
    .bind(&new.public_key)
    .bind(i64::from(new.count))
    .bind(now_ms())
    .execute(db)
    .await?;
    Ok(())
}

/// The passkey of this credential.
pub async fn find(db: &mut AnyConnection, credential: &str) -> Result<Option<Passkey>, StoreError> {
    let query = sqlx::query("SELECT * FROM passkey WHERE credential = $1").bind(credential);
    let Some(row) = query.fetch_optional(db).await? else { return Ok(None) };
    Ok(Some(Passkey {
        credential: row.text("credential")?,
        account: row.id("account_id")?,
        public_key: row.text("public_key")?,
        count: u32::try_from(row.number("sign_count")?).map_err(|_| StoreError::Column("sign_count"))?,
    }))
}

/// Notes that a passkey was used now, and what its counter says.
pub async fn used(db: &mut AnyConnection, credential: &str, count: u32) -> Result<(), StoreError> {
    sqlx::query("UPDATE passkey SET sign_count = $2, used_ms = $3 WHERE credential = $1")
        .bind(credential)
        .bind(i64::from(count))
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(())
}

/// Whether anybody has a passkey here.
pub async fn any(db: &mut AnyConnection) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM passkey").fetch_one(db).await?;
    Ok(row.number("n")? > 0)
}

/// Keeps a challenge until it is answered; false where too many wait for an answer.
pub async fn ask(
    db: &mut AnyConnection,
    challenge: Sha256Digest,
    purpose: Purpose,
) -> Result<bool, StoreError> {
    let now = now_ms();
    sqlx::query("DELETE FROM challenge WHERE expires_ms <= $1").bind(now).execute(&mut *db).await?;
    let waiting = sqlx::query("SELECT COUNT(*) AS n FROM challenge").fetch_one(&mut *db).await?;
    if waiting.number("n")? >= MOST_CHALLENGES {
        return Ok(false);
    }
    let account = match purpose {
        Purpose::Register(account) => Some(account.to_string()),
        Purpose::SignIn => None,
    };
    sqlx::query("INSERT INTO challenge (sha256, purpose, account_id, expires_ms) VALUES ($1, $2, $3, $4)")
        .bind(challenge.to_string())
        .bind(purpose.word())
        .bind(account)
        .bind(now + CHALLENGE_MS)
        .execute(db)
        .await?;
    Ok(true)
}

/// What a challenge was made for, where it was ours and was not answered yet: nobody gets it twice.
pub async fn answered(
    db: &mut AnyConnection,
    challenge: Sha256Digest,
) -> Result<Option<Purpose>, StoreError> {
    let row = sqlx::query(
        "DELETE FROM challenge WHERE sha256 = $1 AND expires_ms > $2 RETURNING purpose, account_id",
    )
    .bind(challenge.to_string())
    .bind(now_ms())
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    match (row.text("purpose")?.as_str(), row.id_or_none("account_id")?) {
        ("register", Some(account)) => Ok(Some(Purpose::Register(account))),
        ("sign_in", None) => Ok(Some(Purpose::SignIn)),
        _ => Err(StoreError::Column("purpose")),
    }
}

/// How long a browser may take: people look for their key.
pub const CHALLENGE_MS: i64 = 5 * 60 * 1000;
/// Challenges that wait for an answer.
const MOST_CHALLENGES: i64 = 10_000;
