//! Who may do what with an app, by the key that they came with: `app/access.rs` in git's words.

use super::command::Service;
use crate::app::access::{self, Caller, Permission};
use crate::app::{self, ssh_key};
use crate::store::app::App;
use crate::store::token::Scope;
use crate::store::{self, AccountId, AppId, Store, StoreError};
use russh::keys::{HashAlg, PublicKey};

/// Why a client is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// What one may not read does not exist.
    #[error("There is no such app, or this key may not see it.")]
    NoSuchApp,
    #[error("This key was removed.")]
    KeyRemoved,
    #[error("This key may fetch from {0}, not push to it.")]
    ReadOnly(String),
    #[error("{0} is being destroyed.")]
    Destroying(String),
    #[error("The platform's database does not answer.")]
    Store(#[from] StoreError),
}

/// Who a client said that it is.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) account: AccountId,
    /// Of the key that it showed, which may be removed while it is connected.
    fingerprint: String,
}

/// Who has a key; `None` where nobody has it, or it is too weak.
pub(super) async fn known(store: &Store, key: &PublicKey) -> Result<Option<Known>, StoreError> {
    if ssh_key::taken(key).is_err() {
        return Ok(None);
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let account = store::ssh_key::account(&mut *store.read().await?, &fingerprint).await?;
    Ok(account.map(|account| Known { account, fingerprint }))
}

/// The app, if who is known may do this with it now.
pub(super) async fn app(store: &Store, known: &Known, id: AppId, service: Service) -> Result<App, Refused> {
    let mut db = store.read().await?;
    let account = known.account;
    let key = store::ssh_key::find(&mut db, &known.fingerprint).await?;
    if key.is_none_or(|key| key.account != account) {
        return Err(Refused::KeyRemoved);
    }
    let caller = Caller { account, means: "ssh key", scope: Scope::default(), token: None, session: None };
    let found = access::app(&mut db, &caller, Permission::Read, id).await;
    let app = found.map_err(|refused| or_store(refused, || Refused::NoSuchApp))?;
    if app.destroying_ms.is_some() {
        return Err(Refused::Destroying(app.name));
    }
    if matches!(service, Service::Push) {
        let may = access::organisation(&mut db, &caller, Permission::Deploy, app.organisation).await;
        may.map_err(|refused| or_store(refused, || Refused::ReadOnly(app.name.clone())))?;
    }
    Ok(app)
}

fn or_store(refused: app::Refused, told: impl FnOnce() -> Refused) -> Refused {
    match refused {
        app::Refused::Told(_) => told(),
        app::Refused::Failed(error) => error.into(),
    }
}
