//! One handler for each operation: takes the request apart, and has its noun's file answer.

use super::call::{Call, away, of_anybody};
use super::people::{self, Signed};
use super::{Server, account, apps};
use crate::app::event;
use crate::store;
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
        account::me_get(&rqctx).await.map(HttpResponseOk)
    }

    async fn ssh_key_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<SshKey>>> {
        account::ssh_key_list(&rqctx, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn ssh_key_add(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<SshKeyAdd>,
    ) -> Answer<HttpResponseCreated<SshKey>> {
        account::ssh_key_add(&rqctx, &body.into_inner()).await.map(HttpResponseCreated)
    }

    async fn ssh_key_remove(rqctx: Context, path: Path<KeySelect>) -> Answer<HttpResponseDeleted> {
        let fingerprint = path.into_inner().fingerprint;
        account::ssh_key_remove(&rqctx, &fingerprint).await.map(|()| HttpResponseDeleted())
    }

    async fn token_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<Token>>> {
        account::token_list(&rqctx, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn token_create(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<TokenCreate>,
    ) -> Answer<HttpResponseCreated<TokenMade>> {
        account::token_create(&rqctx, &body.into_inner()).await.map(HttpResponseCreated)
    }

    async fn token_revoke(rqctx: Context, path: Path<TokenSelect>) -> Answer<HttpResponseDeleted> {
        account::token_revoke(&rqctx, path.into_inner().token).await.map(|()| HttpResponseDeleted())
    }

    async fn app_list(rqctx: Context, query: Query<PageQuery>) -> Answer<HttpResponseOk<Page<App>>> {
        apps::app_list(&rqctx, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn app_create(
        rqctx: Context,
        _: Header<Idempotency>,
        body: TypedBody<AppCreate>,
    ) -> Answer<HttpResponseCreated<App>> {
        apps::app_create(&rqctx, &body.into_inner()).await.map(HttpResponseCreated)
    }

    async fn app_get(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseOk<App>> {
        apps::app_get(&rqctx, path.into_inner().app).await.map(HttpResponseOk)
    }

    async fn app_rename(
        rqctx: Context,
        path: Path<AppSelect>,
        body: TypedBody<AppRename>,
    ) -> Answer<HttpResponseOk<App>> {
        let name = body.into_inner().name;
        apps::app_rename(&rqctx, path.into_inner().app, &name).await.map(HttpResponseOk)
    }

    async fn app_destroy(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<AppDestroy>,
    ) -> Answer<HttpResponseAccepted<Job>> {
        let confirm = query.into_inner().confirm;
        apps::app_destroy(&rqctx, path.into_inner().app, &confirm).await.map(HttpResponseAccepted)
    }

    async fn app_stop(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        apps::app_stop(&rqctx, path.into_inner().app).await.map(HttpResponseAccepted)
    }

    async fn app_start(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let id = path.into_inner().app;
        apps::app_deploy_again(&rqctx, id, "app_start").await.map(HttpResponseAccepted)
    }

    async fn app_restart(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseAccepted<Job>> {
        let id = path.into_inner().app;
        apps::app_deploy_again(&rqctx, id, "app_restart").await.map(HttpResponseAccepted)
    }

    async fn app_config(rqctx: Context, path: Path<AppSelect>) -> Answer<HttpResponseOk<AppConfig>> {
        apps::app_config(&rqctx, path.into_inner().app).await.map(HttpResponseOk)
    }

    async fn app_logs(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<ConsoleQuery>,
    ) -> Answer<Response<Body>> {
        apps::app_logs(&rqctx, path.into_inner().app, &query.into_inner()).await
    }

    async fn job_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Job>>> {
        apps::job_list(&rqctx, path.into_inner().app, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn job_create(
        rqctx: Context,
        path: Path<AppSelect>,
        _: Header<Idempotency>,
        body: TypedBody<JobCreate>,
    ) -> Answer<HttpResponseAccepted<Job>> {
        let id = path.into_inner().app;
        apps::job_create(&rqctx, id, &body.into_inner()).await.map(HttpResponseAccepted)
    }

    async fn job_get(rqctx: Context, path: Path<JobSelect>) -> Answer<Tagged<Job>> {
        apps::job_get(&rqctx, &path.into_inner()).await
    }

    async fn job_cancel(rqctx: Context, path: Path<JobSelect>) -> Answer<HttpResponseAccepted<Job>> {
        apps::job_cancel(&rqctx, &path.into_inner()).await.map(HttpResponseAccepted)
    }

    async fn job_log(
        rqctx: Context,
        path: Path<JobSelect>,
        query: Query<LogQuery>,
    ) -> Answer<Response<Body>> {
        apps::job_log(&rqctx, &path.into_inner(), &query.into_inner()).await
    }

    async fn release_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Release>>> {
        apps::release_list(&rqctx, path.into_inner().app, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn release_get(rqctx: Context, path: Path<ReleaseSelect>) -> Answer<Tagged<Release>> {
        apps::release_get(&rqctx, &path.into_inner()).await
    }

    async fn release_image(rqctx: Context, path: Path<ReleaseSelect>) -> Answer<Response<Body>> {
        apps::release_image(&rqctx, &path.into_inner()).await
    }

    async fn event_list(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Event>>> {
        apps::event_list(&rqctx, path.into_inner().app, &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn event_stream(
        rqctx: Context,
        path: Path<AppSelect>,
        query: Query<EventStreamQuery>,
    ) -> Answer<Response<Body>> {
        apps::event_stream(&rqctx, path.into_inner().app, query.into_inner().after).await
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
