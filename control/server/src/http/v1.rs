//! One handler for each operation: enters, opens the database, asks `app/`, answers.

use super::Server;
use super::call::{Call, away, of_anybody};
use super::console::console;
use super::people::{self, Signed};
use super::stream::{self, Image};
use crate::app::{Refused, account, app, event, job, release, ssh_key, token};
use crate::store::{self, AppId, EventId, TokenId};
use caution_api::{
    App, AppConfig, AppCreate, AppDestroy, AppRename, AppSelect, AuditLine, ConsoleQuery, Device,
    DeviceAnswer, DeviceAsk, DeviceBegin, DeviceBegun, DeviceSelect, ErrorCode, Event, EventStreamQuery,
    Health, Idempotency, Invitation, InvitationAccept, InvitationCreate, InvitationMade, InvitationSelect,
    Job, JobCreate, JobSelect, KeySelect, LogQuery, Me, Member, MemberChange, MemberSelect, Membership,
    OrganisationSelect, Page, PageQuery, PasskeyAsk, PasskeyProof, Problem, Ready, Registration,
    RegistrationAsk, RegistrationBegin, Release, ReleaseSelect, Session, SessionOwn, SessionSelect, SshKey,
    SshKeyAdd, Tagged, Token, TokenCreate, TokenMade, TokenSelect, V1,
};
use dropshot::{
    Body, Header, HttpResponseAccepted, HttpResponseCreated, HttpResponseDeleted, HttpResponseOk, Path,
    Query, RequestContext, TypedBody,
};
use http::Response;
use std::sync::Arc;

/// The server's answers.
pub(super) enum Handlers {}

type Context = RequestContext<Arc<Server>>;
type Answer<T> = Result<T, Problem>;

impl V1 for Handlers {
    type Context = Arc<Server>;

    async fn registration_begin(
        rqctx: Context,
        body: TypedBody<RegistrationBegin>,
    ) -> Answer<HttpResponseOk<RegistrationAsk>> {
        people::registration_begin(&rqctx, &body.into_inner()).await.map(HttpResponseOk)
    }

    async fn registration_finish(rqctx: Context, body: TypedBody<Registration>) -> Answer<Signed> {
        people::registration_finish(&rqctx, &body.into_inner()).await
    }

    async fn session_begin(rqctx: Context) -> Answer<HttpResponseOk<PasskeyAsk>> {
        people::session_begin(&rqctx).await.map(HttpResponseOk)
    }

    async fn session_create(rqctx: Context, body: TypedBody<PasskeyProof>) -> Answer<Signed> {
        people::session_create(&rqctx, &body.into_inner()).await
    }

    async fn session_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<Session>>> {
        people::session_list(&rqctx, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn session_revoke(rqctx: Context, path: Path<SessionSelect>) -> Answer<HttpResponseDeleted> {
        people::session_revoke(&rqctx, path.into_inner().session).await.map(|()| HttpResponseDeleted())
    }

    async fn session_get(rqctx: Context) -> Answer<HttpResponseOk<SessionOwn>> {
        people::session_get(&rqctx).await.map(HttpResponseOk)
    }

    async fn session_prove(
        rqctx: Context,
        body: TypedBody<PasskeyProof>,
    ) -> Answer<HttpResponseOk<SessionOwn>> {
        people::session_prove(&rqctx, &body.into_inner()).await.map(HttpResponseOk)
    }

    async fn device_begin(
        rqctx: Context,
        body: TypedBody<DeviceBegin>,
    ) -> Answer<HttpResponseCreated<DeviceBegun>> {
        people::device_begin(&rqctx, &body.into_inner()).await.map(HttpResponseCreated)
    }

    async fn device_token(
        rqctx: Context,
        body: TypedBody<DeviceAsk>,
    ) -> Answer<HttpResponseOk<DeviceAnswer>> {
        people::device_token(&rqctx, &body.into_inner()).await.map(HttpResponseOk)
    }

    async fn device_get(rqctx: Context, path: Path<DeviceSelect>) -> Answer<HttpResponseOk<Device>> {
        people::device_get(&rqctx, &path.into_inner().user_code).await.map(HttpResponseOk)
    }

    async fn device_approve(rqctx: Context, path: Path<DeviceSelect>) -> Answer<HttpResponseOk<Device>> {
        people::device_approve(&rqctx, &path.into_inner().user_code).await.map(HttpResponseOk)
    }

    async fn device_refuse(rqctx: Context, path: Path<DeviceSelect>) -> Answer<HttpResponseDeleted> {
        let code = path.into_inner().user_code;
        people::device_refuse(&rqctx, &code).await.map(|()| HttpResponseDeleted())
    }

    async fn member_list(
        rqctx: Context,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Member>>> {
        let id = path.into_inner().organisation;
        people::member_list(&rqctx, id, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn member_change(
        rqctx: Context,
        path: Path<MemberSelect>,
        body: TypedBody<MemberChange>,
    ) -> Answer<HttpResponseOk<Member>> {
        people::member_change(&rqctx, &path.into_inner(), &body.into_inner()).await.map(HttpResponseOk)
    }

    async fn member_remove(rqctx: Context, path: Path<MemberSelect>) -> Answer<HttpResponseDeleted> {
        people::member_remove(&rqctx, &path.into_inner()).await.map(|()| HttpResponseDeleted())
    }

    async fn invitation_list(
        rqctx: Context,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Invitation>>> {
        let id = path.into_inner().organisation;
        people::invitation_list(&rqctx, id, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn invitation_create(
        rqctx: Context,
        path: Path<OrganisationSelect>,
        body: TypedBody<InvitationCreate>,
    ) -> Answer<HttpResponseCreated<InvitationMade>> {
        let id = path.into_inner().organisation;
        people::invitation_create(&rqctx, id, &body.into_inner()).await.map(HttpResponseCreated)
    }

    async fn invitation_revoke(rqctx: Context, path: Path<InvitationSelect>) -> Answer<HttpResponseDeleted> {
        people::invitation_revoke(&rqctx, &path.into_inner()).await.map(|()| HttpResponseDeleted())
    }

    async fn invitation_accept(
        rqctx: Context,
        body: TypedBody<InvitationAccept>,
    ) -> Answer<HttpResponseCreated<Membership>> {
        people::invitation_accept(&rqctx, &body.into_inner().link).await.map(HttpResponseCreated)
    }

    async fn me_get(rqctx: Context) -> Answer<HttpResponseOk<Me>> {
        let call = Call::enter(&rqctx).await?;
        call.reads(async |db| account::me(db, &call.caller).await).await.map(HttpResponseOk)
    }

    async fn ssh_key_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<SshKey>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| ssh_key::list(db, &call.caller, &query.into_inner()).await);
        done.await.map(HttpResponseOk)
    }

    async fn ssh_key_add(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<SshKeyAdd>,
    ) -> Answer<HttpResponseCreated<SshKey>> {
        let call = Call::enter(&rqctx).await?;
        let asked = body.into_inner();
        let done = call.changes(async |db| {
            if let Some(answer) = call.answered_before(db, &asked).await? {
                return Ok(answer);
            }
            let answer = ssh_key::add(db, &call.caller, &asked).await?;
            call.keep(db, &asked, &answer).await?;
            Ok(answer)
        });
        done.await.map(HttpResponseCreated)
    }

    async fn ssh_key_remove(rqctx: Context, path: Path<KeySelect>) -> Answer<HttpResponseDeleted> {
        let call = Call::enter(&rqctx).await?;
        let done =
            call.changes(async |db| ssh_key::remove(db, &call.caller, &path.into_inner().fingerprint).await);
        done.await.map(|()| HttpResponseDeleted())
    }

    async fn token_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<Token>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| token::list(db, &call.caller, &query.into_inner()).await);
        done.await.map(HttpResponseOk)
    }

    async fn token_create(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<TokenCreate>,
    ) -> Answer<HttpResponseCreated<TokenMade>> {
        let call = Call::enter(&rqctx).await?;
        let asked = body.into_inner();
        let done = call.changes(async |db| {
            if let Some(answer) = call.answered_before(db, &asked).await? {
                return Ok(answer);
            }
            let answer = token::create(db, &call.caller, &asked).await?;
            call.keep(db, &asked, &()).await?;
            Ok(answer)
        });
        done.await.map(HttpResponseCreated)
    }

    async fn token_revoke(rqctx: Context, path: Path<TokenSelect>) -> Answer<HttpResponseDeleted> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            token::revoke(db, &call.caller, TokenId::from(path.into_inner().token)).await
        });
        done.await.map(|()| HttpResponseDeleted())
    }

    async fn app_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<App>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call
            .reads(async |db| app::list(db, &call.caller, &query.into_inner(), &call.server().reach).await);
        done.await.map(HttpResponseOk)
    }

    async fn app_create(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<AppCreate>,
    ) -> Answer<HttpResponseCreated<App>> {
        let call = Call::enter(&rqctx).await?;
        let asked = body.into_inner();
        let done = call.changes(async |db| {
            if let Some(answer) = call.answered_before(db, &asked).await? {
                return Ok(answer);
            }
            let answer = app::create(db, &call.caller, &asked, &call.server().reach).await?;
            call.keep(db, &asked, &answer).await?;
            Ok(answer)
        });
        done.await.map(HttpResponseCreated)
    }

    async fn app_get(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseOk<App>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            app::get(db, found, &call.server().reach).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn app_rename(
        rqctx: Context,
        path: Path<AppSelect>,
        body: TypedBody<AppRename>,
    ) -> Answer<HttpResponseOk<App>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            let new = body.into_inner().name;
            app::rename(db, &call.caller, &found, &new, &call.server().reach).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn app_destroy(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<AppDestroy>,
    ) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            app::destroy(db, &call.caller, &found, &query.into_inner().confirm).await
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn app_stop(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            app::stop(db, &call.caller, &found).await
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn app_start(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            app::deploy_again(db, &call.caller, &found, "app_start").await
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn app_restart(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            app::deploy_again(db, &call.caller, &found, "app_restart").await
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn app_config(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseOk<AppConfig>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            release::config(db, &found).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn app_logs(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<ConsoleQuery>,
    ) -> Answer<Response<Body>> {
        let call = Call::enter(&rqctx).await?;
        let (path, query) = (path.into_inner(), query.into_inner());
        let found = call.reads(async |db| call.app(db, path.app).await).await?;
        let logs = call.server().reach.logs(&found.label, query.follow).await;
        console(call.reads_app(found.id), logs, &query)
    }

    async fn job_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Job>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            job::list(db, found.id, &query.into_inner()).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn job_create(
        rqctx: Context,
        path: Path<AppSelect>,
        _: Header<Idempotency>,
        body: TypedBody<JobCreate>,
    ) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let asked = body.into_inner();
        let done = call.changes(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            if let Some(answer) = call.answered_before(db, &asked).await? {
                return Ok(answer);
            }
            let answer = job::create(db, &call.caller, &found, &asked).await?;
            call.keep(db, &asked, &answer).await?;
            Ok(answer)
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn job_get(rqctx: Context, path: Path<JobSelect>) -> Answer<Tagged<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let path = path.into_inner();
            let found = call.app(db, path.app).await?;
            job::get(db, found.id, path.number).await
        });
        call.tagged(&done.await?)
    }

    async fn job_cancel(rqctx: Context, path: Path<JobSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.changes(async |db| {
            let path = path.into_inner();
            let found = call.app(db, path.app).await?;
            job::cancel(db, &call.caller, &found, path.number).await
        });
        done.await.map(HttpResponseAccepted)
    }

    async fn job_log(
        rqctx: Context,
        path: Path<JobSelect>,
        query: Query<LogQuery>,
    ) -> Answer<Response<Body>> {
        let call = Call::enter(&rqctx).await?;
        let (path, query) = (path.into_inner(), query.into_inner());
        let done = call.reads(async |db| {
            let found = call.app(db, path.app).await?;
            let job = job::numbered(db, found.id, path.number).await?;
            Ok(stream::log(call.reads_app(found.id), job.id, query.from, query.follow)?)
        });
        done.await
    }

    async fn release_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Release>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            release::list(db, found.id, &query.into_inner()).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn release_get(rqctx: Context, path: Path<ReleaseSelect>) -> Answer<Tagged<Release>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let path = path.into_inner();
            let found = call.app(db, path.app).await?;
            release::get(db, found.id, path.number).await
        });
        call.tagged(&done.await?)
    }

    async fn release_image(rqctx: Context, path: Path<ReleaseSelect>) -> Answer<Response<Body>> {
        let call = Call::enter(&rqctx).await?;
        let path = path.into_inner();
        let done = call.reads(async |db| {
            let found = call.app(db, path.app).await?;
            let made = release::numbered(db, found.id, path.number).await?.made;
            let image = Image {
                name: format!("{}-{}.eif", found.name, path.number),
                sha256: made.image.to_string(),
                bytes: made.image_bytes,
            };
            let file = call.server().data.image(&image.sha256);
            Ok(stream::image(&file, &image, rqctx.request.headers()).await?)
        });
        done.await
    }

    async fn event_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Event>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            event::list(db, found.id, &query.into_inner()).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn event_stream(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<EventStreamQuery>,
    ) -> Answer<Response<Body>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let found = call.app(db, path.into_inner().app).await?;
            let last = stream::last_event(rqctx.request.headers(), query.into_inner().after)?;
            let after = match last {
                Some(id) => id,
                None => newest(db, found.id).await?,
            };
            Ok(stream::events(call.reads_app(found.id), after)?)
        });
        done.await
    }

    async fn audit_list(
        rqctx: Context,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<AuditLine>>> {
        let call = Call::enter(&rqctx).await?;
        let done = call.reads(async |db| {
            let id = call.organisation(db, path.into_inner().organisation).await?;
            event::audit_list(db, id, &query.into_inner()).await
        });
        done.await.map(HttpResponseOk)
    }

    async fn health_get(rqctx: Context) -> Answer<HttpResponseOk<Health>> {
        of_anybody(&rqctx)?;
        Ok(HttpResponseOk(Health { version: env!("CARGO_PKG_VERSION").to_owned() }))
    }

    async fn ready_get(rqctx: Context) -> Answer<HttpResponseOk<Ready>> {
        of_anybody(&rqctx)?;
        let server = rqctx.context();
        if server.is_ending() {
            return Err(Problem::new(ErrorCode::Unavailable, "The server takes no work at the moment."));
        }
        server.store.read().await.map_err(|error| away(&error))?;
        Ok(HttpResponseOk(Ready { ready: true }))
    }

    async fn metrics_get(rqctx: Context) -> Answer<Response<Body>> {
        of_anybody(&rqctx)?;
        let mut db = rqctx.context().store.read().await.map_err(|error| away(&error))?;
        let jobs = store::job::count_by_phase(&mut db).await.map_err(|error| away(&error))?;
        let answer = Response::builder().header(http::header::CONTENT_TYPE, "text/plain; version=0.0.4");
        answer
            .body(Body::from(rqctx.context().metrics.text(&jobs)))
            .map_err(|_| Problem::new(ErrorCode::Internal, "The numbers cannot be told."))
    }
}

/// The last event of an app; before all of them where it has none.
async fn newest(db: &mut sqlx::AnyConnection, app: AppId) -> Result<EventId, Refused> {
    let last = store::event::list(db, app, None, 1).await?.into_iter().next();
    Ok(last.map_or_else(|| EventId::from(uuid::Uuid::nil()), |event| event.id))
}
