//! Sessions: people in browsers.

use super::access::{self, Caller};
use super::token::Secret;
use super::{Refused, audited_own, not_found, page, paged, passkey};
use crate::store::token::Scope;
use crate::store::{AccountId, SessionId, account, session};
use crate::webauthn::RelyingParty;
use caution_api::{Account, ErrorCode, Page, PageQuery, PasskeyProof, Problem, Session, SessionOwn};
use caution_measure::Sha256Digest;
use data_encoding::BASE64URL_NOPAD;
use sqlx::AnyConnection;

/// Somebody who was just signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// What they are told.
    pub own: SessionOwn,
    /// What the cookie holds.
    pub secret: String,
}

/// Who a cookie speaks for; nobody where it is none of ours, or has ended.
pub async fn caller(db: &mut AnyConnection, secret: &str) -> Result<Option<Caller>, Refused> {
    let Some(hash) = Secret::said(secret) else { return Ok(None) };
    let found = session::by_secret(db, hash).await?;
    Ok(found.map(|session| Caller {
        account: session.account,
        means: "session",
        scope: Scope::default(),
        token: None,
        session: Some(session),
    }))
}

/// What a page of ours sends along with whatever changes something: another site's cannot know it. It follows from what the
/// cookie holds, so that it is kept nowhere.
pub fn csrf_token(secret: &str) -> String {
    let hash = Sha256Digest::of(format!("caution csrf\0{secret}").as_bytes());
    BASE64URL_NOPAD.encode(hash.as_bytes())
}

/// Signs somebody in by their passkey.
pub async fn create(
    db: &mut AnyConnection,
    site: &RelyingParty,
    proof: &PasskeyProof,
    browser: &str,
) -> Result<SignedIn, Refused> {
    let account = passkey::shown(&mut *db, site, proof).await?;
    begin(db, account, browser).await
}

/// Begins a session.
pub(super) async fn begin(
    db: &mut AnyConnection,
    account: AccountId,
    browser: &str,
) -> Result<SignedIn, Refused> {
    let secret = Secret::plain()?;
    let browser: String = browser.chars().filter(|c| !c.is_control()).take(MAX_BROWSER).collect();
    let made = session::create(&mut *db, account, secret.hash, &browser).await?;
    let caller = Caller {
        account,
        means: "session",
        scope: Scope::default(),
        token: None,
        session: Some(made.clone()),
    };
    audited_own(&mut *db, &caller, "session_create", &made.id.to_string(), "").await?;
    let own = own(db, made, &secret.shown).await?;
    Ok(SignedIn { own, secret: secret.shown })
}

/// The session of whoever asks.
pub async fn get(db: &mut AnyConnection, caller: &Caller, secret: &str) -> Result<SessionOwn, Refused> {
    own(db, access::session(caller)?.clone(), secret).await
}

/// Whoever asks shows their passkey again.
pub async fn prove(
    db: &mut AnyConnection,
    caller: &Caller,
    site: &RelyingParty,
    proof: &PasskeyProof,
    secret: &str,
) -> Result<SessionOwn, Refused> {
    let id = access::session(caller)?.id;
    if passkey::shown(&mut *db, site, proof).await? != caller.account {
        let text = "This passkey is another account's.";
        return Err(Problem::new(ErrorCode::Forbidden, text)
            .fix("show the one that you signed in with")
            .into());
    }
    session::proved(&mut *db, id).await?;
    let now = session::find(&mut *db, caller.account, id).await?.ok_or_else(|| not_found("session"))?;
    own(db, now, secret).await
}

/// The caller's sessions, the last first.
pub async fn list(
    db: &mut AnyConnection,
    caller: &Caller,
    query: &PageQuery,
) -> Result<Page<Session>, Refused> {
    let (limit, before) = page::<SessionId>(query)?;
    let found = session::list(db, caller.account, before, limit + 1).await?;
    let current = caller.session.as_ref().map(|session| session.id);
    Ok(paged(found, limit, |session| session.id.to_string(), |session| wire(session, current)))
}

/// Ends one of the caller's sessions.
pub async fn revoke(db: &mut AnyConnection, caller: &Caller, id: SessionId) -> Result<(), Refused> {
    access::whole_account(caller)?;
    if !session::revoke(&mut *db, caller.account, id).await? {
        return Err(not_found("session").into());
    }
    Ok(audited_own(db, caller, "session_revoke", &id.to_string(), "").await?)
}

async fn own(db: &mut AnyConnection, of: session::Session, secret: &str) -> Result<SessionOwn, Refused> {
    let name = account::name(db, of.account).await?;
    let account = Account { id: of.account.uuid(), name };
    let current = Some(of.id);
    Ok(SessionOwn { session: wire(of, current), account, csrf_token: csrf_token(secret) })
}

fn wire(session: session::Session, current: Option<SessionId>) -> Session {
    Session {
        id: session.id.uuid(),
        current: current == Some(session.id),
        browser: session.browser,
        created_ms: session.created_ms,
        expires_ms: session.expires_ms,
        used_ms: session.used_ms,
        proved_ms: session.proved_ms,
    }
}

/// How much is kept of what a browser calls itself, in characters.
const MAX_BROWSER: usize = 200;
