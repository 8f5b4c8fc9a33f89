//! What happened to an app, for people.

use super::row::Columns;
use super::{AppId, EventId, StoreError};
use crate::clock::now_ms;
use sqlx::AnyConnection;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id; later events have greater ones.
    pub id: EventId,
    /// What kind of event, one word for programs.
    pub kind: String,
    /// What happened, a sentence.
    pub text: String,
    /// When.
    pub created_ms: i64,
}

/// Writes an event down.
pub async fn add(db: &mut AnyConnection, app: AppId, kind: &str, text: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO event (id, app_id, kind, text, created_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(EventId::new()?.to_string())
        .bind(app.to_string())
        .bind(kind)
        .bind(text)
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(())
}

/// Events of an app, newest first: up to `limit` before the event `before`, else the newest.
pub async fn list(
    db: &mut AnyConnection,
    app: AppId,
    before: Option<EventId>,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let before = before.map_or_else(|| END.to_owned(), |id| id.to_string());
    let rows = sqlx::query(
        "SELECT id, kind, text, created_ms FROM event WHERE app_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(app.to_string())
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}

fn of(row: &sqlx::any::AnyRow) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.id("id")?,
        kind: row.text("kind")?,
        text: row.text("text")?,
        created_ms: row.number("created_ms")?,
    })
}

/// Greater than every id.
const END: &str = "g";

/// Events of an app after one, oldest first.
pub async fn after(
    db: &mut AnyConnection,
    app: AppId,
    after: EventId,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, kind, text, created_ms FROM event WHERE app_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(app.to_string())
    .bind(after.to_string())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}
