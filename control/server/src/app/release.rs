//! Releases.

use super::{Refused, not_found, page, paged};
use crate::store::{AppId, StoreError, app, release};
use caution_api::{AppConfig, ErrorCode, Page, PageQuery, Problem, Release};
use sqlx::AnyConnection;

/// An app's releases, the last first.
pub async fn list(db: &mut AnyConnection, app: AppId, query: &PageQuery) -> Result<Page<Release>, Refused> {
    let (limit, before) = page::<i64>(query)?;
    let found = release::shown(db, app, before, limit + 1).await?;
    let page = paged(found, limit, |shown| shown.release.number.to_string(), wire);
    let items = page.items.into_iter().collect::<Result<_, _>>()?;
    Ok(Page { items, next_page: page.next_page })
}

/// The release of this number.
pub async fn numbered(db: &mut AnyConnection, app: AppId, number: i64) -> Result<release::Release, Refused> {
    Ok(release::numbered(db, app, number).await?.ok_or_else(|| not_found("release"))?)
}

/// Says what a release is.
pub async fn get(db: &mut AnyConnection, app: AppId, number: i64) -> Result<Release, Refused> {
    let before = number.checked_add(1).ok_or_else(|| not_found("release"))?;
    let found = release::shown(db, app, Some(before), 1).await?.into_iter().next();
    let found = found.filter(|shown| shown.release.number == number).ok_or_else(|| not_found("release"))?;
    Ok(wire(found)?)
}

/// What the live release runs by.
pub async fn config(db: &mut AnyConnection, app: &app::App) -> Result<AppConfig, Refused> {
    let standing = app::standing(&mut *db, app.id).await?;
    let Some(number) = standing.release else {
        let text = format!("Nothing of {} is live.", app.name);
        return Err(Problem::new(ErrorCode::Conflict, text).fix("git push caution main").into());
    };
    let Release { commit, manifest, .. } = get(db, app.id, number).await?;
    Ok(AppConfig { release: number, commit, manifest })
}

/// A release as it is on the wire.
fn wire(shown: release::Shown) -> Result<Release, StoreError> {
    let release::Shown { release, made_by, live } = shown;
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
        made_by,
        live,
        created_ms: release.created_ms,
    })
}
