//! Releases.

use super::{Refused, not_found, page, paged};
use crate::store::job::{self, Work};
use crate::store::{AppId, StoreError, account, release};
use caution_api::{Page, PageQuery, Release};
use sqlx::AnyConnection;

/// An app's releases, the last first.
pub async fn list(db: &mut AnyConnection, app: AppId, query: &PageQuery) -> Result<Page<Release>, Refused> {
    let (limit, before) = page::<i64>(query)?;
    let found = release::list(&mut *db, app, before, limit + 1).await?;
    let page = paged(found, limit, |release| release.number.to_string(), |release| release);
    let mut items = Vec::with_capacity(page.items.len());
    for release in page.items {
        items.push(view(&mut *db, release).await?);
    }
    Ok(Page { items, next_page: page.next_page })
}

/// The release of this number.
pub async fn numbered(db: &mut AnyConnection, app: AppId, number: i64) -> Result<release::Release, Refused> {
    Ok(release::numbered(db, app, number).await?.ok_or_else(|| not_found("release"))?)
}

/// Says what a release is.
pub async fn get(db: &mut AnyConnection, app: AppId, number: i64) -> Result<Release, Refused> {
    let found = numbered(&mut *db, app, number).await?;
    Ok(view(db, found).await?)
}

async fn view(db: &mut AnyConnection, release: release::Release) -> Result<Release, StoreError> {
    let live = job::live(&mut *db, release.app).await?;
    let made = release.made;
    Ok(Release {
        id: release.id.uuid(),
        number: release.number,
        commit: made.commit,
        plan_sha256: made.plan.to_string(),
        image_sha256: made.image.to_string(),
        image_bytes: i64::try_from(made.image_bytes).map_err(|_| StoreError::Column("image_bytes"))?,
        pcr0: made.measurements.pcr0.to_string(),
        pcr1: made.measurements.pcr1.to_string(),
        pcr2: made.measurements.pcr2.to_string(),
        enclaveos: made.enclaveos,
        manifest: serde_json::from_str(&made.manifest).map_err(|_| StoreError::Column("manifest"))?,
        made_by: account::name(db, release.made_by).await?,
        live: live.is_some_and(|job| job.work == Work::Deploy(release.id)),
        created_ms: release.created_ms,
    })
}
