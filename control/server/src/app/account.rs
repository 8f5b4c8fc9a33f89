//! Who asks.

use super::Refused;
use super::access::Caller;
use crate::store::account;
use caution_api::{Account, Me, Membership};
use sqlx::AnyConnection;

/// The caller, and where they belong.
pub async fn me(db: &mut AnyConnection, caller: &Caller) -> Result<Me, Refused> {
    let name = account::name(&mut *db, caller.account).await?;
    let memberships = account::memberships(db, caller.account).await?;
    let wire = |m: account::Membership| Membership {
        organisation: m.organisation.uuid(),
        name: m.name,
        role: m.role.wire(),
    };
    Ok(Me {
        account: Account { id: caller.account.uuid(), name },
        organisations: memberships.into_iter().map(wire).collect(),
    })
}
