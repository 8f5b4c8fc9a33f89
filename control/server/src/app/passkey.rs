//! Passkeys: how people become known, and are known again.

use super::token::Secret;
use super::{Refused, new_name, session};
use crate::store::audit::{self, NewLine};
use crate::store::passkey::{self, Passkey, Purpose};
use crate::store::{AccountId, OrganisationId, StoreError, account, invitation};
use crate::webauthn::{self, ALGORITHMS, Assertion, PublicKey, RelyingParty, WebauthnError};
use caution_api::{
    ErrorCode, PasskeyAsk, PasskeyProof, Problem, Registration, RegistrationAsk, RegistrationBegin,
};
use caution_measure::Sha256Digest;
use data_encoding::BASE64URL_NOPAD;
use session::SignedIn;
use sqlx::AnyConnection;

/// Begins to make somebody known who has a link.
pub async fn registration_begin(
    db: &mut AnyConnection,
    site: &RelyingParty,
    asked: &RegistrationBegin,
) -> Result<RegistrationAsk, Refused> {
    new_name("person", &asked.name)?;
    let link = Secret::said(&asked.link).ok_or_else(no_link)?;
    let link = invitation::by_secret(&mut *db, link).await?.ok_or_else(no_link)?;
    let organisation = match link.organisation {
        Some(id) => Some(account::organisation_name(&mut *db, id).await?),
        None => None,
    };
    let user = AccountId::new()?;
    let challenge = ask(db, Purpose::Register(user)).await?;
    Ok(RegistrationAsk {
        challenge,
        relying_party: site.id.clone(),
        user: BASE64URL_NOPAD.encode(user.uuid().as_bytes()),
        algorithms: ALGORITHMS.to_vec(),
        organisation,
        role: link.role.wire(),
    })
}

/// Makes them known, a member, and signed in. The link is used up.
pub async fn registration_finish(
    db: &mut AnyConnection,
    site: &RelyingParty,
    asked: &Registration,
    browser: &str,
) -> Result<SignedIn, Refused> {
    let name = new_name("person", &asked.name)?;
    let link = Secret::said(&asked.link).ok_or_else(no_link)?;
    let link = invitation::take(&mut *db, link).await?.ok_or_else(no_link)?;
    let client_data = decoded(&asked.passkey.client_data)?;
    let Some(Purpose::Register(user)) = answered(&mut *db, &client_data).await? else {
        return Err(stale().into());
    };
    let authenticator_data = decoded(&asked.passkey.authenticator_data)?;
    let said = webauthn::Registration { client_data: &client_data, authenticator_data: &authenticator_data };
    let made = site.registered(&said).map_err(|why| disbelieved(&why))?;
    account::create(&mut *db, user, &name).await.map_err(|e| taken(e, "person", &name))?;
    let new = Passkey {
        credential: BASE64URL_NOPAD.encode(&made.id),
        account: user,
        public_key: BASE64URL_NOPAD.encode(made.key.as_bytes()),
        count: made.count,
    };
    passkey::add(&mut *db, &new).await.map_err(|error| match error {
        StoreError::Taken => {
            Problem::new(ErrorCode::Conflict, "This passkey is known already.").fix("sign in with it").into()
        }
        other => Refused::from(other),
    })?;
    let organisation = match link.organisation {
        Some(id) => id,
        None => first_organisation(&mut *db, asked.organisation.as_deref()).await?,
    };
    account::join(&mut *db, organisation, user, link.role).await?;
    let registered = NewLine {
        organisation: Some(organisation),
        account: Some(user),
        by_means_of: if link.organisation.is_some() { "invitation" } else { "set-up link" },
        action: "registration_finish",
        target: &user.to_string(),
        detail: &format!("{name}, {}", link.role.word()),
    };
    audit::add(&mut *db, &registered).await?;
    session::begin(db, user, browser).await
}

/// Asks for a passkey, whosever.
pub async fn sign_in_begin(db: &mut AnyConnection, site: &RelyingParty) -> Result<PasskeyAsk, Refused> {
    let challenge = ask(db, Purpose::SignIn).await?;
    Ok(PasskeyAsk { challenge, relying_party: site.id.clone() })
}

/// Whose passkey it is that was shown just now. The same showing is not believed twice.
pub(super) async fn shown(
    db: &mut AnyConnection,
    site: &RelyingParty,
    proof: &PasskeyProof,
) -> Result<AccountId, Refused> {
    let client_data = decoded(&proof.client_data)?;
    if answered(&mut *db, &client_data).await? != Some(Purpose::SignIn) {
        return Err(stale().into());
    }
    let unknown = || Problem::new(ErrorCode::Unauthenticated, "This passkey is not known here.");
    let known = passkey::find(&mut *db, &proof.credential).await?.ok_or_else(unknown)?;
    let key = BASE64URL_NOPAD.decode(known.public_key.as_bytes()).ok();
    let key = key.and_then(|key| PublicKey::parse(&key).ok()).ok_or(StoreError::Column("public_key"))?;
    let (authenticator_data, signature) = (decoded(&proof.authenticator_data)?, decoded(&proof.signature)?);
    let said = Assertion {
        client_data: &client_data,
        authenticator_data: &authenticator_data,
        signature: &signature,
    };
    let count = site.asserted(&key, known.count, &said).map_err(|why| disbelieved(&why))?;
    passkey::used(db, &known.credential, count).await?;
    Ok(known.account)
}

/// The organisation of whoever sets the platform up.
async fn first_organisation(db: &mut AnyConnection, name: Option<&str>) -> Result<OrganisationId, Refused> {
    let text = "`organisation` must say what the first organisation is called.";
    let name = name.ok_or_else(|| Problem::new(ErrorCode::InvalidRequest, text))?;
    let name = new_name("organisation", name)?;
    account::create_organisation(db, &name).await.map_err(|e| taken(e, "organisation", &name))
}

async fn ask(db: &mut AnyConnection, purpose: Purpose) -> Result<String, Refused> {
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge).map_err(StoreError::Random)?;
    if !passkey::ask(db, Sha256Digest::of(&challenge), purpose).await? {
        let text = "Too many people sign in at the moment. Ask again in some minutes.";
        return Err(Problem::new(ErrorCode::Unavailable, text).into());
    }
    Ok(BASE64URL_NOPAD.encode(&challenge))
}

async fn answered(db: &mut AnyConnection, client_data: &[u8]) -> Result<Option<Purpose>, Refused> {
    let challenge = webauthn::challenge(client_data).map_err(|why| disbelieved(&why))?;
    Ok(passkey::answered(db, Sha256Digest::of(&challenge)).await?)
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let wrong = |_| Problem::new(ErrorCode::InvalidRequest, "What the passkey says is not base64url.");
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(wrong)
}

fn stale() -> Problem {
    let text =
        "The passkey answers what was not asked, or was answered before, or took longer than 5 minutes.";
    Problem::new(ErrorCode::Unauthenticated, text).fix("try again")
}

fn disbelieved(why: &WebauthnError) -> Problem {
    Problem::new(ErrorCode::Unauthenticated, format!("The passkey is not believed: {why}."))
}

pub(super) fn no_link() -> Problem {
    let text = "This link is not known: it was used, or has ended, or was revoked.";
    Problem::new(ErrorCode::NotFound, text).fix("ask for a new one")
}

fn taken(error: StoreError, what: &str, name: &str) -> Refused {
    match error {
        StoreError::Taken => {
            let text = format!("There is a {what} with the name `{name}` already.");
            Problem::new(ErrorCode::NameTaken, text).fix("choose another name").into()
        }
        other => other.into(),
    }
}
