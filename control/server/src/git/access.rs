//! Who may do what with an app, by the key that they came with.

use super::command::Service;
use crate::store::app::{self, App};
use crate::store::{AccountId, AppId, Store, StoreError, member};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

/// Why a client is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// What one may not read does not exist.
    #[error("There is no such app, or this key may not see it.")]
    NoSuchApp,
    #[error("This key may fetch from {0}, not push to it.")]
    ReadOnly(String),
    #[error("{0} is being destroyed.")]
    Destroying(String),
    #[error("The platform's database does not answer.")]
    Store(#[from] StoreError),
}

/// The account of a key; `None` where nobody has it, or it is too weak.
pub(super) async fn account(store: &Store, key: &PublicKey) -> Result<Option<AccountId>, StoreError> {
    if !is_strong(key) {
        return Ok(None);
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    member::of_key(&mut *store.read().await?, &fingerprint).await
}

/// The app, if the account may do this with it now.
pub(super) async fn app(
    store: &Store,
    account: AccountId,
    id: AppId,
    service: Service,
) -> Result<App, Refused> {
    let mut db = store.read().await?;
    let app = app::find(&mut db, id).await?.ok_or(Refused::NoSuchApp)?;
    let role = member::role(&mut db, app.organisation, account).await?.ok_or(Refused::NoSuchApp)?;
    match (service, role.as_str()) {
        _ if app.destroying_ms.is_some() => Err(Refused::Destroying(app.name)),
        (Service::Push, "viewer") => Err(Refused::ReadOnly(app.name)),
        _ => Ok(app),
    }
}

/// Ed25519, ECDSA, and RSA of 3072 bits and more.
fn is_strong(key: &PublicKey) -> bool {
    match key.algorithm() {
        Algorithm::Ed25519 => true,
        Algorithm::Ecdsa { curve } => {
            matches!(curve, EcdsaCurve::NistP256 | EcdsaCurve::NistP384 | EcdsaCurve::NistP521)
        }
        Algorithm::Rsa { .. } => key
            .key_data()
            .rsa()
            .and_then(|rsa| rsa.n().as_positive_bytes())
            .is_some_and(|modulus| modulus.len() * 8 >= MIN_RSA_BITS),
        _ => false,
    }
}

const MIN_RSA_BITS: usize = 3072;
