//! What happened to an app.

use super::{Refused, page, paged};
use crate::store::{AppId, AuditId, EventId, OrganisationId, audit, event};
use caution_api::{AuditLine, Event, Page, PageQuery};
use sqlx::AnyConnection;

/// An app's events, the last first.
pub async fn list(db: &mut AnyConnection, app: AppId, query: &PageQuery) -> Result<Page<Event>, Refused> {
    let (limit, before) = page::<EventId>(query)?;
    let found = event::list(db, app, before, limit + 1).await?;
    Ok(paged(found, limit, |event| event.id.to_string(), wire))
}

/// An event as it is on the wire.
pub(crate) fn wire(event: event::Event) -> Event {
    Event { id: event.id.uuid(), kind: event.kind, text: event.text, created_ms: event.created_ms }
}

/// Changes in an organisation, the last first.
pub async fn audit_list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    query: &PageQuery,
) -> Result<Page<AuditLine>, Refused> {
    let (limit, before) = page::<AuditId>(query)?;
    let found = audit::list(db, organisation, before, limit + 1).await?;
    let wire = |line: audit::Line| AuditLine {
        id: line.id.uuid(),
        account: line.account.map(crate::store::AccountId::uuid),
        by_means_of: line.by_means_of,
        action: line.action,
        target: line.target,
        detail: line.detail,
        created_ms: line.created_ms,
    };
    Ok(paged(found, limit, |line| line.id.to_string(), wire))
}
