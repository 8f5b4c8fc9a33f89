//! Handlers of what an account has of its own: keys for git, tokens.

use super::Server;
use super::call::Call;
use crate::app::{account, ssh_key, token};
use crate::store::TokenId;
use caution_api::{Me, Page, PageQuery, Problem, SshKey, SshKeyAdd, Token, TokenCreate, TokenMade};
use dropshot::RequestContext;
use std::sync::Arc;
use uuid::Uuid;

type Context = RequestContext<Arc<Server>>;
type Answer<T> = Result<T, Problem>;

pub(super) async fn me_get(rqctx: &Context) -> Answer<Me> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| account::me(db, &call.caller).await).await
}

pub(super) async fn ssh_key_list(rqctx: &Context, query: &PageQuery) -> Answer<Page<SshKey>> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| ssh_key::list(db, &call.caller, query).await).await
}

pub(super) async fn ssh_key_add(rqctx: &Context, asked: &SshKeyAdd) -> Answer<SshKey> {
    let call = Call::enter(rqctx).await?;
    let add = async |db: &mut _| ssh_key::add(db, &call.caller, asked).await;
    call.changes(async |db| call.once(db, asked, add).await).await
}

pub(super) async fn ssh_key_remove(rqctx: &Context, fingerprint: &str) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| ssh_key::remove(db, &call.caller, fingerprint).await).await
}

pub(super) async fn token_list(rqctx: &Context, query: &PageQuery) -> Answer<Page<Token>> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| token::list(db, &call.caller, query).await).await
}

pub(super) async fn token_create(rqctx: &Context, asked: &TokenCreate) -> Answer<TokenMade> {
    let call = Call::enter(rqctx).await?;
    let create = async |db: &mut _| token::create(db, &call.caller, asked).await;
    call.changes(async |db| call.once_secret(db, asked, create).await).await
}

pub(super) async fn token_revoke(rqctx: &Context, id: Uuid) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| token::revoke(db, &call.caller, TokenId::from(id)).await).await
}
