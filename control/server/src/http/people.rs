//! Handlers of what makes people known: sessions, programs that are let in, members.

use super::Server;
use super::call::{COOKIE, Call, Guest};
use crate::app::access::Role;
use crate::app::session::SignedIn;
use crate::app::{device, invitation, member, passkey, session};
use crate::store::session::LASTS_MS;
use crate::store::{AccountId, InvitationId, SessionId};
use caution_api::{
    Device, DeviceAnswer, DeviceAsk, DeviceBegin, DeviceBegun, ErrorCode, Invitation, InvitationCreate,
    InvitationMade, InvitationSelect, Member, MemberChange, MemberSelect, Membership, Page, PageQuery,
    PasskeyAsk, PasskeyProof, Problem, Registration, RegistrationAsk, RegistrationBegin, Session,
    SessionCookie, SessionOwn,
};
use dropshot::{HttpResponseCreated, HttpResponseHeaders, RequestContext};
use std::sync::Arc;
use uuid::Uuid;

type Context = RequestContext<Arc<Server>>;
type Answer<T> = Result<T, Problem>;
pub(super) type Signed = HttpResponseHeaders<HttpResponseCreated<SessionOwn>, SessionCookie>;

pub(super) async fn registration_begin(
    rqctx: &Context,
    asked: &RegistrationBegin,
) -> Answer<RegistrationAsk> {
    let guest = Guest::enter(rqctx)?;
    guest.changes(async |db| passkey::registration_begin(db, guest.site, asked).await).await
}

pub(super) async fn registration_finish(rqctx: &Context, asked: &Registration) -> Answer<Signed> {
    let guest = Guest::enter(rqctx)?;
    let browser = guest.browser();
    let done = guest.changes(async |db| passkey::registration_finish(db, guest.site, asked, browser).await);
    Ok(signed(done.await?))
}

pub(super) async fn session_begin(rqctx: &Context) -> Answer<PasskeyAsk> {
    let guest = Guest::enter(rqctx)?;
    guest.changes(async |db| passkey::sign_in_begin(db, guest.site).await).await
}

pub(super) async fn session_create(rqctx: &Context, proof: &PasskeyProof) -> Answer<Signed> {
    let guest = Guest::enter(rqctx)?;
    let browser = guest.browser();
    let done = guest.changes(async |db| session::create(db, guest.site, proof, browser).await);
    Ok(signed(done.await?))
}

fn signed(done: SignedIn) -> Signed {
    let seconds = LASTS_MS / 1000;
    let secret = done.secret;
    let set_cookie =
        format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HttpResponseHeaders::new(HttpResponseCreated(done.own), SessionCookie { set_cookie })
}

pub(super) async fn session_list(rqctx: &Context, query: &PageQuery) -> Answer<Page<Session>> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| session::list(db, &call.caller, query).await).await
}

pub(super) async fn session_revoke(rqctx: &Context, id: Uuid) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| session::revoke(db, &call.caller, SessionId::from(id)).await).await
}

pub(super) async fn session_get(rqctx: &Context) -> Answer<SessionOwn> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| session::get(db, &call.caller, call.cookie()).await).await
}

pub(super) async fn session_prove(rqctx: &Context, proof: &PasskeyProof) -> Answer<SessionOwn> {
    let call = Call::enter(rqctx).await?;
    let prove = async |db: &mut _| session::prove(db, &call.caller, call.site()?, proof, call.cookie()).await;
    call.changes(prove).await
}

pub(super) async fn device_begin(rqctx: &Context, asked: &DeviceBegin) -> Answer<DeviceBegun> {
    let guest = Guest::enter(rqctx)?;
    guest.changes(async |db| device::begin(db, guest.site, asked).await).await
}

pub(super) async fn device_token(rqctx: &Context, asked: &DeviceAsk) -> Answer<DeviceAnswer> {
    let guest = Guest::again(rqctx)?;
    let reach = &rqctx.context().reach;
    guest.changes(async |db| device::token(db, &asked.device_code, reach).await).await
}

pub(super) async fn device_get(rqctx: &Context, user_code: &str) -> Answer<Device> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| device::get(db, user_code).await).await
}

pub(super) async fn device_approve(rqctx: &Context, user_code: &str) -> Answer<Device> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| device::approve(db, &call.caller, user_code).await).await
}

pub(super) async fn device_refuse(rqctx: &Context, user_code: &str) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| device::refuse(db, &call.caller, user_code).await).await
}

pub(super) async fn member_list(
    rqctx: &Context,
    organisation: Uuid,
    query: &PageQuery,
) -> Answer<Page<Member>> {
    let call = Call::enter(rqctx).await?;
    let list = async |db: &mut _| {
        let organisation = call.organisation(db, organisation).await?;
        member::list(db, organisation, query).await
    };
    call.reads(list).await
}

pub(super) async fn member_change(
    rqctx: &Context,
    path: &MemberSelect,
    asked: &MemberChange,
) -> Answer<Member> {
    let call = Call::enter(rqctx).await?;
    let change = async |db: &mut _| {
        let organisation = call.organisation(db, path.organisation).await?;
        let (who, role) = (AccountId::from(path.account), Role::from_wire(asked.role));
        member::change(db, &call.caller, organisation, who, role).await
    };
    call.changes(change).await
}

pub(super) async fn member_remove(rqctx: &Context, path: &MemberSelect) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    let remove = async |db: &mut _| {
        let organisation = call.organisation(db, path.organisation).await?;
        member::remove(db, &call.caller, organisation, AccountId::from(path.account)).await
    };
    call.changes(remove).await
}

pub(super) async fn invitation_list(
    rqctx: &Context,
    organisation: Uuid,
    query: &PageQuery,
) -> Answer<Page<Invitation>> {
    let call = Call::enter(rqctx).await?;
    let list = async |db: &mut _| {
        let organisation = call.organisation(db, organisation).await?;
        invitation::list(db, organisation, query).await
    };
    call.reads(list).await
}

pub(super) async fn invitation_create(
    rqctx: &Context,
    organisation: Uuid,
    asked: &InvitationCreate,
) -> Answer<InvitationMade> {
    let call = Call::enter(rqctx).await?;
    let create = async |db: &mut _| {
        let organisation = call.organisation(db, organisation).await?;
        let alone = |_| {
            let text = "Nobody can be invited: this platform is for the user of its machine.";
            Problem::new(ErrorCode::Conflict, text).fix("set `http.public_url` to let people sign in")
        };
        let site = call.site().map_err(alone)?;
        invitation::create(db, &call.caller, organisation, site, asked).await
    };
    call.changes(create).await
}

pub(super) async fn invitation_revoke(rqctx: &Context, path: &InvitationSelect) -> Answer<()> {
    let call = Call::enter(rqctx).await?;
    let revoke = async |db: &mut _| {
        let organisation = call.organisation(db, path.organisation).await?;
        invitation::revoke(db, &call.caller, organisation, InvitationId::from(path.invitation)).await
    };
    call.changes(revoke).await
}

pub(super) async fn invitation_accept(rqctx: &Context, link: &str) -> Answer<Membership> {
    let call = Call::enter(rqctx).await?;
    call.changes(async |db| invitation::accept(db, &call.caller, link).await).await
}
