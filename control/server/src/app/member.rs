//! Members of an organisation.

use super::access::{Caller, Role};
use super::invitation::{line, not_above};
use super::{Refused, audited, not_found, page, paged};
use crate::store::{AccountId, OrganisationId, account, invitation, member};
use caution_api::{Account, ErrorCode, Member, Page, PageQuery, Problem};
use sqlx::AnyConnection;

/// Members, by account.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    query: &PageQuery,
) -> Result<Page<Member>, Refused> {
    let (limit, after) = page::<AccountId>(query)?;
    let found = member::list(db, organisation, after, limit + 1).await?;
    Ok(paged(found, limit, |member| member.account.to_string(), wire))
}

/// Gives a member another role.
pub async fn change(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    who: AccountId,
    role: Role,
) -> Result<Member, Refused> {
    let before = of(&mut *db, caller, organisation, who).await?;
    not_above(&mut *db, caller, organisation, role).await?;
    if before == Role::Owner && role != Role::Owner {
        not_the_last_owner(&mut *db, organisation).await?;
    }
    member::change(&mut *db, organisation, who, role).await?;
    if role < before {
        // What they handed out was worth what they were.
        invitation::revoke_of(&mut *db, organisation, who).await?;
    }
    let detail = format!("{} is now {}", before.word(), role.word());
    audited(&mut *db, caller, line(organisation, "member_change", &who.to_string(), &detail)).await?;
    let found = member::find(db, organisation, who).await?.ok_or_else(|| not_found("member"))?;
    Ok(wire(found))
}

/// Ends a membership: from now on keys, tokens and sessions of this account reach nothing of the organisation, and
/// invitations that it made are void.
pub async fn remove(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    who: AccountId,
) -> Result<(), Refused> {
    let role = of(&mut *db, caller, organisation, who).await?;
    if role == Role::Owner {
        not_the_last_owner(&mut *db, organisation).await?;
    }
    member::remove(&mut *db, organisation, who).await?;
    invitation::revoke_of(&mut *db, organisation, who).await?;
    Ok(audited(db, caller, line(organisation, "member_remove", &who.to_string(), role.word())).await?)
}

/// The role of a member that the caller may change.
async fn of(
    db: &mut AnyConnection,
    caller: &Caller,
    organisation: OrganisationId,
    who: AccountId,
) -> Result<Role, Refused> {
    let role = account::role(&mut *db, organisation, who).await?.ok_or_else(|| not_found("member"))?;
    not_above(db, caller, organisation, role).await?;
    Ok(role)
}

async fn not_the_last_owner(db: &mut AnyConnection, organisation: OrganisationId) -> Result<(), Refused> {
    if member::owners(db, organisation).await? > 1 {
        return Ok(());
    }
    let text = "This is the last owner of the organisation, which needs one.";
    Err(Problem::new(ErrorCode::Conflict, text).fix("make another member its owner first").into())
}

fn wire(member: member::Member) -> Member {
    Member {
        account: Account { id: member.account.uuid(), name: member.name },
        role: member.role.wire(),
        created_ms: member.created_ms,
    }
}
