//! Which data folder the database belongs to: git repositories and images are there.

use super::StoreError;
use super::row::Columns;
use sqlx::AnyConnection;
use uuid::Uuid;

/// Writes a folder down where none is; the one that is written down.
pub(super) async fn claim(db: &mut AnyConnection, folder: Uuid) -> Result<Uuid, StoreError> {
    sqlx::query("INSERT INTO installation (one, folder) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
        .bind(folder.to_string())
        .execute(&mut *db)
        .await?;
    sqlx::query("SELECT folder FROM installation").fetch_one(db).await?.id("folder")
}
