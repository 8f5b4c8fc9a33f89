//! Invitations: links that make somebody a member.

use super::access::{Caller, Role};
use super::token::Secret;
use super::{Refused, audited, not_found, page, paged, passkey};
use crate::clock::now_ms;
use crate::store::audit::NewLine;
use crate::store::invitation::{self, NewInvitation};
use crate::store::{AccountId, InvitationId, OrganisationId, StoreError, account};
use crate::webauthn::RelyingParty;
use caution_api::{
    ErrorCode, Invitation, InvitationCreate, InvitationMade, Membership, Page, PageQuery, Problem,
};
use sqlx::AnyConnection;

/// The link that makes the first owner, where nobody is known yet; earlier ones are void.
pub async fn set_up(db: &mut AnyConnection, site: &RelyingParty) -> Result<Option<String>, StoreError> {
    if crate::store::passkey::any(&mut *db).await? {
        return Ok(None);
    }
    invitation::revoke_set_up(&mut *db).await?;
    let secret = Secret::plain()?;
    let new = NewInvitation {
        organisation: None,
        role: Role::Owner,
        made_by: None,
        secret: secret.hash,
        expires_ms: now_ms() + DAY_MS,
    };
    invitation::create(db, &new).await?;
    Ok(Some(format!("{}/setup#{}", site.origin, secret.shown)))
}

/// Invitations that wait, the last first.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    query: &PageQuery,
) -> Result<Page<Invitation>, Refused> {
    let (limit, before) = page::<InvitationId>(query)?;
    let found = invitation::list(db, organisation, before, limit + 1).await?;
    Ok(paged(found, limit, |invitation| invitation.id.to_string(), |invitation| wire(&invitation)))
}

/// Makes an invitation.
pub async fn create(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    site: &RelyingParty,
    asked: &InvitationCreate,
) -> Result<InvitationMade, Refused> {
    let role = Role::from_wire(asked.role);
    not_above(&mut *db, caller, organisation, role).await?;
    let days = asked.days.unwrap_or(MOST_DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        let text = format!("An invitation lasts 1 to {MOST_DAYS} days; `days` is {days}.");
        return Err(Problem::new(ErrorCode::InvalidRequest, text).into());
    }
    if invitation::count(&mut *db, organisation).await? >= MOST {
        let text = format!("{MOST} invitations at most wait at a time.");
        return Err(Problem::new(ErrorCode::LimitReached, text).fix("revoke one that nobody uses").into());
    }
    let secret = Secret::plain()?;
    let new = NewInvitation {
        organisation: Some(organisation),
        role,
        made_by: Some(caller.account),
        secret: secret.hash,
        expires_ms: now_ms() + i64::from(days) * DAY_MS,
    };
    let made = invitation::create(&mut *db, &new).await?;
    let target = made.id.to_string();
    audited(db, caller, line(organisation, "invitation_create", &target, role.word())).await?;
    Ok(InvitationMade { invitation: wire(&made), link: format!("{}/join#{}", site.origin, secret.shown) })
}

/// Ends an invitation.
pub async fn revoke(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    id: InvitationId,
) -> Result<(), Refused> {
    let ended = invitation::revoke(&mut *db, organisation, id).await?;
    let ended = ended.ok_or_else(|| not_found("invitation"))?;
    not_above(&mut *db, caller, organisation, ended.role).await?;
    let target = id.to_string();
    Ok(audited(db, caller, line(organisation, "invitation_revoke", &target, ended.role.word())).await?)
}

/// Makes whoever asks a member; the link is used up.
pub async fn accept(db: &mut AnyConnection, caller: &Caller, link: &str) -> Result<Membership, Refused> {
    let link = Secret::said(link).ok_or_else(passkey::no_link)?;
    let link = invitation::take(&mut *db, link).await?.ok_or_else(passkey::no_link)?;
    // The set-up link makes somebody known, and nothing else.
    let organisation = link.organisation.ok_or_else(passkey::no_link)?;
    account::join(&mut *db, organisation, caller.account, link.role).await.map_err(|error| match error {
        StoreError::Taken => {
            let text = "You belong to this organisation already.";
            Refused::from(Problem::new(ErrorCode::Conflict, text))
        }
        other => other.into(),
    })?;
    let target = caller.account.to_string();
    let accepted = line(organisation, "invitation_accept", &target, link.role.word());
    audited(&mut *db, caller, accepted).await?;
    let name = account::organisation_name(db, organisation).await?;
    Ok(Membership { organisation: organisation.uuid(), name, role: link.role.wire() })
}

/// Nobody makes others more than they are.
pub(super) async fn not_above(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    role: Role,
) -> Result<(), Refused> {
    let own = account::role(db, organisation, caller.account).await?;
    if own.is_some_and(|own| own >= role) {
        return Ok(());
    }
    let text = format!("Only an organisation's {0} may do this with the role `{0}`.", role.word());
    Err(Problem::new(ErrorCode::Forbidden, text).fix("ask an owner of the organisation").into())
}

/// A line of the audit log of an organisation.
pub(super) fn line<'a>(
    organisation: OrganisationId,
    action: &'a str,
    target: &'a str,
    detail: &'a str,
) -> NewLine<'a> {
    NewLine { organisation: Some(organisation), account: None, by_means_of: "", action, target, detail }
}

fn wire(invitation: &invitation::Invitation) -> Invitation {
    Invitation {
        id: invitation.id.uuid(),
        role: invitation.role.wire(),
        made_by: invitation.made_by.map(AccountId::uuid),
        created_ms: invitation.created_ms,
        expires_ms: invitation.expires_ms,
    }
}

/// Invitations to an organisation that wait.
const MOST: i64 = 50;
/// How long one lasts.
const MOST_DAYS: u32 = 7;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
