//! Tokens of programs.

use super::access::{Caller, Permission, app, whole_account};
use super::{Refused, audited_own, label, not_found, page, paged};
use crate::clock::now_ms;
use crate::store::token::{self, NewToken, Scope};
use crate::store::{AccountId, AppId, StoreError, TokenId};
use caution_api::{ErrorCode, Page, PageQuery, Problem, Token, TokenCreate, TokenMade};
use caution_measure::Sha256Digest;
use data_encoding::BASE64URL_NOPAD;
use sqlx::AnyConnection;

/// A secret that was just made: what is shown once, and what is kept.
pub(crate) struct Secret {
    pub(crate) shown: String,
    pub(crate) hash: Sha256Digest,
}

impl Secret {
    pub(crate) fn new() -> Result<Self, StoreError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
        let shown = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes));
        Ok(Self { hash: Sha256Digest::of(shown.as_bytes()), shown })
    }

    /// One that is no token: of a link, a cookie, a program that waits.
    pub(crate) fn plain() -> Result<Self, StoreError> {
        let shown = Self::new()?.shown.split_off(PREFIX.len());
        Ok(Self { hash: Sha256Digest::of(shown.as_bytes()), shown })
    }

    /// The hash of what somebody says is one that was made by [`Self::plain`].
    pub(crate) fn said(text: &str) -> Option<Sha256Digest> {
        (text.len() == BASE64URL_NOPAD.encode_len(32)).then(|| Sha256Digest::of(text.as_bytes()))
    }
}

/// Who a token speaks for; nobody where it is none of ours, or has ended.
pub async fn caller(db: &mut AnyConnection, secret: &str) -> Result<Option<Caller>, StoreError> {
    if secret.len() != PREFIX.len() + BASE64URL_NOPAD.encode_len(32) || !secret.starts_with(PREFIX) {
        return Ok(None);
    }
    let found = token::by_secret(db, Sha256Digest::of(secret.as_bytes())).await?;
    Ok(found.map(|token| Caller {
        account: token.account,
        means: "token",
        scope: token.scope,
        token: Some(token.id),
        session: None,
    }))
}

/// The caller's tokens, the last first.
pub async fn list(
    db: &mut AnyConnection,
    caller: &Caller,
    query: &PageQuery,
) -> Result<Page<Token>, Refused> {
    let (limit, before) = page::<TokenId>(query)?;
    let found = token::list(db, caller.account, before, limit + 1).await?;
    Ok(paged(found, limit, |token| token.id.to_string(), wire))
}

/// Makes a token for the caller.
pub async fn create(
    db: &mut AnyConnection,
    caller: &Caller,
    asked: &TokenCreate,
) -> Result<TokenMade, Refused> {
    whole_account(caller)?;
    let name = label("token", &asked.name)?;
    let days = asked.days.unwrap_or(30);
    if !(1..=90).contains(&days) {
        let text = format!("A token lasts 1 to 90 days; `days` is {days}.");
        return Err(Problem::new(ErrorCode::InvalidRequest, text).into());
    }
    let only = asked.app.map(AppId::from);
    if let Some(only) = only {
        app(&mut *db, caller, Permission::Read, only).await?;
    }
    has_room(&mut *db, caller.account).await?;
    let secret = Secret::new()?;
    let new = NewToken {
        account: caller.account,
        name: &name,
        scope: Scope { read_only: asked.read_only, app: only },
        secret: secret.hash,
        expires_ms: now_ms() + i64::from(days) * DAY_MS,
    };
    let made = token::create(&mut *db, &new).await?;
    audited_own(db, caller, "token_create", &made.id.to_string(), &name).await?;
    Ok(TokenMade { token: wire(made), secret: secret.shown })
}

/// Makes the token of a program that somebody let in. Its secret never waits anywhere.
pub(crate) async fn of_device(
    db: &mut AnyConnection,
    account: AccountId,
    name: &str,
    read_only: bool,
) -> Result<TokenMade, Refused> {
    let secret = Secret::new()?;
    let scope = Scope { read_only, app: None };
    let expires_ms = now_ms() + DEVICE_DAYS * DAY_MS;
    let made = token::create(db, &NewToken { account, name, scope, secret: secret.hash, expires_ms }).await?;
    Ok(TokenMade { token: wire(made), secret: secret.shown })
}

/// Whether an account may have another token.
pub(crate) async fn has_room(db: &mut AnyConnection, account: AccountId) -> Result<(), Refused> {
    if token::count(db, account).await? < MOST {
        return Ok(());
    }
    let text = format!("An account has {MOST} tokens at most.");
    Err(Problem::new(ErrorCode::LimitReached, text).fix("revoke one that nobody uses").into())
}

/// Revokes one of the caller's tokens.
pub async fn revoke(db: &mut AnyConnection, caller: &Caller, id: TokenId) -> Result<(), Refused> {
    whole_account(caller)?;
    if !token::revoke(&mut *db, caller.account, id).await? {
        return Err(not_found("token").into());
    }
    Ok(audited_own(db, caller, "token_revoke", &id.to_string(), "").await?)
}

/// Ends the token of this machine's user.
pub(crate) async fn end_of_this_machine(
    db: &mut AnyConnection,
    account: AccountId,
) -> Result<(), StoreError> {
    token::revoke_named(db, account, THIS_MACHINE).await
}

/// Makes the token of this machine's user in the place of an earlier one; it lasts as long as its file is private.
pub(crate) async fn of_this_machine(
    db: &mut AnyConnection,
    account: AccountId,
) -> Result<String, StoreError> {
    let secret = Secret::new()?;
    end_of_this_machine(&mut *db, account).await?;
    let new = NewToken {
        account,
        name: THIS_MACHINE,
        scope: Scope::default(),
        secret: secret.hash,
        expires_ms: i64::MAX,
    };
    token::create(db, &new).await?;
    Ok(secret.shown)
}

fn wire(token: token::Token) -> Token {
    Token {
        id: token.id.uuid(),
        name: token.name,
        read_only: token.scope.read_only,
        app: token.scope.app.map(AppId::uuid),
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        used_ms: token.used_ms,
    }
}

const PREFIX: &str = "caution_";
/// Tokens of an account.
const MOST: i64 = 50;
/// How long a token of `caution login` lasts.
const DEVICE_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The token in `local.json`.
const THIS_MACHINE: &str = "this machine";
