//! Loopback mode: this machine's user is known by a file that only they can read. `specs/platform.md` §3.

use crate::app::access::Role;
use crate::app::{THIS_MACHINE as NAME, token};
use crate::data::{Data, DataError, remove, write_private};
use crate::store::{AccountId, OrganisationId, Store, StoreError, account, audit};
use caution_api::Local;

/// Why this machine's user is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Account and token cannot be kept.
    #[error("this machine's user cannot be written down")]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Makes this machine's account and organisation where they are not there, and a token for this run of the server.
pub async fn sign_in(store: &Store) -> Result<String, LocalError> {
    let mut change = store.change().await?;
    let account = match account::named(&mut change, NAME).await? {
        Some(account) => account,
        None => first(&mut change).await?.0,
    };
    let secret = token::of_this_machine(&mut change, account).await?;
    change.commit().await.map_err(StoreError::from)?;
    Ok(secret)
}

/// This machine's user is known no longer: a platform that people sign in to was one of this machine before.
pub async fn sign_out(store: &Store, data: &Data) -> Result<(), LocalError> {
    let mut change = store.change().await?;
    if let Some(account) = account::named(&mut change, NAME).await? {
        token::end_of_this_machine(&mut change, account).await?;
    }
    change.commit().await.map_err(StoreError::from)?;
    Ok(remove(&data.local())?)
}

/// Tells this machine's user where the server is and what to say to it.
pub fn tell(data: &Data, local: &Local) -> Result<(), LocalError> {
    let text = serde_json::to_string_pretty(local).unwrap_or_default();
    Ok(write_private(&data.local(), format!("{text}\n").as_bytes())?)
}

async fn first(change: &mut sqlx::AnyConnection) -> Result<(AccountId, OrganisationId), StoreError> {
    let account = AccountId::new()?;
    account::create(&mut *change, account, NAME).await?;
    let organisation = account::create_organisation(&mut *change, NAME).await?;
    account::join(&mut *change, organisation, account, Role::Owner).await?;
    let line = audit::NewLine {
        organisation: Some(organisation),
        account: None,
        by_means_of: "this machine",
        action: "first_start",
        target: &organisation.to_string(),
        detail: "",
    };
    audit::add(change, &line).await?;
    Ok((account, organisation))
}
