//! Apps.

use super::access::{self, Caller, Permission};
use super::reach::{Address, Addresses, Reach};
use super::{Refused, audited, page, paged};
use crate::store::audit::NewLine;
use crate::store::job::{self, NewJob, Work};
use crate::store::{AppId, OrganisationId, StoreError, account, app};
use caution_api::{App, AppCreate, AppState, ErrorCode, Job, Page, PageQuery, Problem};
use sqlx::AnyConnection;

/// Apps that the caller may read, by organisation and name.
pub async fn list(
    db: &mut AnyConnection,
    caller: &Caller,
    query: &PageQuery,
    reach: &Reach,
) -> Result<Page<App>, Refused> {
    let (limit, after) = page::<String>(query)?;
    let after = after.unwrap_or_default();
    // `organisation/name`: both sort, and a name holds no slash.
    let (organisation, name) = after.split_once('/').unwrap_or_default();
    let mut found = Vec::new();
    let mut memberships = account::memberships(&mut *db, caller.account).await?;
    memberships.sort_by_key(|membership| membership.organisation);
    for membership in memberships {
        let id = membership.organisation.to_string();
        if id.as_str() < organisation || !membership.role.may(Permission::Read) {
            continue;
        }
        let from = if id == organisation { name } else { "" };
        let room = limit + 1 - u32::try_from(found.len()).unwrap_or(limit);
        found.extend(app::list(&mut *db, membership.organisation, caller.scope.app, from, room).await?);
        if found.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            break;
        }
    }
    let page = paged(found, limit, |(app, _)| format!("{}/{}", app.organisation, app.name), |app| app);
    let mut items = Vec::with_capacity(page.items.len());
    // Asked for once: the host agent knows the addresses of all apps.
    let reached = if page.items.iter().any(|(_, standing)| standing.live) {
        reach.all().await
    } else {
        Addresses::default()
    };
    for (app, standing) in page.items {
        let address = reached.of(&app.label);
        items.push(wire(app, standing, address, reach));
    }
    Ok(Page { items, next_page: page.next_page })
}

/// Creates an app.
pub async fn create(
    db: &mut AnyConnection,
    caller: &Caller,
    asked: &AppCreate,
    reach: &Reach,
) -> Result<App, Refused> {
    let name = name(&asked.name)?;
    let branch = branch(asked.deploy_branch.as_deref().unwrap_or("main"))?;
    let organisation = match asked.organisation {
        Some(id) => OrganisationId::from(id),
        None => only_organisation(&mut *db, caller).await?,
    };
    access::organisation(&mut *db, caller, Permission::Manage, organisation).await?;
    if app::count(&mut *db, organisation).await? >= MOST {
        let text = format!("An organisation has {MOST} apps at most.");
        return Err(Problem::new(ErrorCode::LimitReached, text).into());
    }
    let made = app::create(&mut *db, organisation, name, branch).await.map_err(|e| taken(e, name))?;
    note(&mut *db, caller, "app_create", &made, name).await?;
    Ok(view(db, made, reach).await?)
}

/// Says what an app is and does.
pub async fn get(db: &mut AnyConnection, found: app::App, reach: &Reach) -> Result<App, Refused> {
    Ok(view(db, found, reach).await?)
}

/// Gives an app another name.
pub async fn rename(
    db: &mut AnyConnection,
    caller: &Caller,
    found: &app::App,
    new: &str,
    reach: &Reach,
) -> Result<App, Refused> {
    let new = name(new)?;
    let renamed = app::rename(&mut *db, found.id, new).await.map_err(|e| taken(e, new))?;
    let renamed = renamed.ok_or_else(|| super::not_found("app"))?;
    note(&mut *db, caller, "app_rename", &renamed, &format!("{} is now {new}", found.name)).await?;
    Ok(view(db, renamed, reach).await?)
}

/// Queues the end of everything that an app is.
pub async fn destroy(
    db: &mut AnyConnection,
    caller: &Caller,
    found: &app::App,
    confirm: &str,
) -> Result<Job, Refused> {
    if confirm != found.name {
        let text = format!("`confirm` is not the name of the app, which is `{}`.", found.name);
        return Err(Problem::new(ErrorCode::NotConfirmed, text).into());
    }
    job::cancel_all(&mut *db, found.id).await?;
    app::begin_destroying(&mut *db, found.id).await?;
    note(&mut *db, caller, "app_destroy", found, &found.name).await?;
    queue(db, caller, found.id, Work::Destroy).await
}

/// Queues the end of what runs.
pub async fn stop(db: &mut AnyConnection, caller: &Caller, found: &app::App) -> Result<Job, Refused> {
    if job::live(&mut *db, found.id).await?.is_none() {
        let text = format!("Nothing of {} runs.", found.name);
        return Err(Problem::new(ErrorCode::Conflict, text).into());
    }
    note(&mut *db, caller, "app_stop", found, "").await?;
    queue(db, caller, found.id, Work::Stop).await
}

/// Queues a deployment of what served last (`start`), or of what is live (`restart`).
pub async fn deploy_again(
    db: &mut AnyConnection,
    caller: &Caller,
    found: &app::App,
    action: &'static str,
) -> Result<Job, Refused> {
    let last = job::served_last(&mut *db, found.id).await?;
    let Some(Work::Deploy(release)) = last.map(|job| job.work) else {
        let text = format!("Nothing of {} ever served.", found.name);
        return Err(Problem::new(ErrorCode::Conflict, text).fix("git push caution main").into());
    };
    note(&mut *db, caller, action, found, "").await?;
    queue(db, caller, found.id, Work::Deploy(release)).await
}

/// Queues work of an app.
pub(super) async fn queue(
    db: &mut AnyConnection,
    caller: &Caller,
    app: AppId,
    work: Work,
) -> Result<Job, Refused> {
    let queued = job::queue(&mut *db, &NewJob { app, work, made_by: caller.account }).await?;
    super::job::get(db, app, queued.number).await
}

/// Writes down what was done to an app.
pub(super) async fn note(
    db: &mut AnyConnection,
    caller: &Caller,
    action: &str,
    app: &app::App,
    detail: &str,
) -> Result<(), StoreError> {
    let target = app.id.to_string();
    let organisation = Some(app.organisation);
    audited(
        db,
        caller,
        NewLine { organisation, account: None, by_means_of: "", action, target: &target, detail },
    )
    .await
}

async fn view(db: &mut AnyConnection, app: app::App, reach: &Reach) -> Result<App, StoreError> {
    let standing = app::standing(db, app.id).await?;
    let reached = if standing.live { reach.all().await } else { Addresses::default() };
    let address = reached.of(&app.label);
    Ok(wire(app, standing, address, reach))
}

/// An app as it is on the wire. Where it is reached is told while something of it is live.
fn wire(app: app::App, standing: app::Standing, address: Address, reach: &Reach) -> App {
    let state = if app.destroying_ms.is_some() {
        AppState::Destroying
    } else if standing.live {
        AppState::Live
    } else if standing.served {
        AppState::Stopped
    } else {
        AppState::Empty
    };
    let Address { url, attestation_url } = if standing.live { address } else { Address::default() };
    App {
        id: app.id.uuid(),
        name: app.name,
        organisation: app.organisation.uuid(),
        git_url: reach.git_url(app.id),
        deploy_branch: app.deploy_branch,
        state,
        live_release: standing.release,
        url,
        attestation_url,
        created_ms: app.created_ms,
    }
}

async fn only_organisation(db: &mut AnyConnection, caller: &Caller) -> Result<OrganisationId, Refused> {
    let mut all = account::memberships(db, caller.account).await?.into_iter();
    if let (Some(only), None) = (all.next(), all.next()) {
        return Ok(only.organisation);
    }
    let text = "`organisation` must say whose the app is to be: you do not belong to exactly one.";
    Err(Problem::new(ErrorCode::InvalidRequest, text).into())
}

fn taken(error: StoreError, name: &str) -> Refused {
    match error {
        StoreError::Taken => {
            let text = format!("There is an app with the name `{name}` in this organisation.");
            Problem::new(ErrorCode::NameTaken, text).fix("choose another name").into()
        }
        other => other.into(),
    }
}

/// A name can be a label of a host name (RFC 1123).
fn name(text: &str) -> Result<&str, Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| plain(*b) || *b == b'-')
        && bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain);
    good.then_some(text).ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        let text = format!(
            "An app's name has 1 to 63 of `a-z`, `0-9` and `-`, and begins and ends with a letter or digit; `{shown}` does not."
        );
        Problem::new(ErrorCode::InvalidRequest, text)
    })
}

/// What git allows (git-check-ref-format), and a little less.
fn branch(text: &str) -> Result<&str, Problem> {
    let good = (1..=200).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !text.starts_with('-')
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none())
        && !text.contains("..")
        && !text.ends_with('.');
    good.then_some(text).ok_or_else(|| {
        Problem::new(
            ErrorCode::InvalidRequest,
            "`deploy_branch` is not a name of a branch that is taken here.",
        )
    })
}

/// Apps of an organisation.
const MOST: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_of_a_host_name() {
        for good in ["a", "hello", "a-1", &"a".repeat(63)] {
            assert_eq!(name(good), Ok(good));
        }
        for wrong in ["", "-a", "a-", "A", "a.b", "../a", "a b", "ä", "a\n", &"a".repeat(64)] {
            assert_eq!(name(wrong).unwrap_err().code, ErrorCode::InvalidRequest, "{wrong}");
        }
    }

    #[test]
    fn a_branch_is_one_for_git_too() {
        assert!(branch("main").is_ok() && branch("team/next-1.0").is_ok());
        for wrong in
            ["", "-x", "a..b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.", "a b", "a\0", "@{-1}"]
        {
            assert!(branch(wrong).is_err(), "{wrong}");
        }
    }
}
