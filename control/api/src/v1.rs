//! The trait: one method for each operation.

use crate::{
    App, AppConfig, AppCreate, AppDestroy, AppRename, AppSelect, AuditLine, ConsoleQuery, Device,
    DeviceAnswer, DeviceAsk, DeviceBegin, DeviceBegun, DeviceSelect, Event, EventStreamQuery, Health,
    Idempotency, Invitation, InvitationAccept, InvitationCreate, InvitationMade, InvitationSelect, Job,
    JobCreate, JobSelect, KeySelect, LogQuery, Me, Member, MemberChange, MemberSelect, Membership,
    OrganisationSelect, Page, PageQuery, PasskeyAsk, PasskeyProof, Problem, Ready, Registration,
    RegistrationAsk, RegistrationBegin, Release, ReleaseSelect, Session, SessionCookie, SessionOwn,
    SessionSelect, SshKey, SshKeyAdd, Tagged, Token, TokenCreate, TokenMade, TokenSelect,
};
use dropshot::{
    ApiDescription, ApiDescriptionBuildErrors, Body, Header, HttpResponseAccepted, HttpResponseCreated,
    HttpResponseDeleted, HttpResponseHeaders, HttpResponseOk, Path, Query, RequestContext, TypedBody,
};

/// A handler's answer.
type Answer<T> = Result<T, Problem>;
/// The answer to somebody who is signed in by it.
type SignedIn = Answer<HttpResponseHeaders<HttpResponseCreated<SessionOwn>, SessionCookie>>;
/// An answer that is no JSON.
type Raw = Result<http::Response<Body>, Problem>;

/// Version 1 of the platform's API. Every request but `/health`, `/ready`, `/metrics` and those that sign somebody in says who
/// asks, by `Authorization: Bearer …`, or in a browser by the cookie `__Host-caution` and the header `X-CSRF-Token`. A POST that has a body and the header `Idempotency-Key` is done once: the same key and body within 24 h gets the
/// first answer again.
#[dropshot::api_description]
pub trait V1 {
    /// What the server's handlers share.
    type Context;

    /// Says what a passkey is to be made for: somebody has a link, and wants to be known.
    #[endpoint { method = POST, path = "/v1/registration/challenge", tags = ["sessions"] }]
    async fn registration_begin(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<RegistrationBegin>,
    ) -> Answer<HttpResponseOk<RegistrationAsk>>;

    /// Makes an account of a passkey, a member of what the link leads to, and a session. The link is good once.
    #[endpoint { method = POST, path = "/v1/registration", tags = ["sessions"] }]
    async fn registration_finish(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<Registration>,
    ) -> SignedIn;

    /// Says what a passkey is to sign.
    #[endpoint { method = POST, path = "/v1/session/challenge", tags = ["sessions"] }]
    async fn session_begin(rqctx: RequestContext<Self::Context>) -> Answer<HttpResponseOk<PasskeyAsk>>;

    /// Signs somebody in by their passkey.
    #[endpoint { method = POST, path = "/v1/sessions", tags = ["sessions"] }]
    async fn session_create(rqctx: RequestContext<Self::Context>, body: TypedBody<PasskeyProof>) -> SignedIn;

    /// Lists the browsers in which this account is signed in, the last first.
    #[endpoint { method = GET, path = "/v1/sessions", tags = ["sessions"] }]
    async fn session_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Session>>>;

    /// Ends a session, this one or another one of the account.
    #[endpoint { method = DELETE, path = "/v1/sessions/{session}", tags = ["sessions"] }]
    async fn session_revoke(
        rqctx: RequestContext<Self::Context>,
        path: Path<SessionSelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// The session of whoever asks, with what its requests are sent along with.
    #[endpoint { method = GET, path = "/v1/session", tags = ["sessions"] }]
    async fn session_get(rqctx: RequestContext<Self::Context>) -> Answer<HttpResponseOk<SessionOwn>>;

    /// Shows the passkey again: what destroys, or changes who is known by what, is done within 5 minutes after it.
    #[endpoint { method = POST, path = "/v1/session/proof", tags = ["sessions"] }]
    async fn session_prove(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<PasskeyProof>,
    ) -> Answer<HttpResponseOk<SessionOwn>>;

    /// A program wants a token: `caution login`.
    #[endpoint { method = POST, path = "/v1/device", tags = ["sessions"] }]
    async fn device_begin(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<DeviceBegin>,
    ) -> Answer<HttpResponseCreated<DeviceBegun>>;

    /// Says whether the program was let in, and once its token.
    #[endpoint { method = POST, path = "/v1/device/token", tags = ["sessions"] }]
    async fn device_token(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<DeviceAsk>,
    ) -> Answer<HttpResponseOk<DeviceAnswer>>;

    /// Says which program shows a code.
    #[endpoint { method = GET, path = "/v1/devices/{user_code}", tags = ["sessions"] }]
    async fn device_get(
        rqctx: RequestContext<Self::Context>,
        path: Path<DeviceSelect>,
    ) -> Answer<HttpResponseOk<Device>>;

    /// Lets a program in, as whoever asks.
    #[endpoint { method = POST, path = "/v1/devices/{user_code}/approve", tags = ["sessions"] }]
    async fn device_approve(
        rqctx: RequestContext<Self::Context>,
        path: Path<DeviceSelect>,
    ) -> Answer<HttpResponseOk<Device>>;

    /// Sends a program away.
    #[endpoint { method = DELETE, path = "/v1/devices/{user_code}", tags = ["sessions"] }]
    async fn device_refuse(
        rqctx: RequestContext<Self::Context>,
        path: Path<DeviceSelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// Says who asks.
    #[endpoint { method = GET, path = "/v1/me", tags = ["account"] }]
    async fn me_get(rqctx: RequestContext<Self::Context>) -> Answer<HttpResponseOk<Me>>;

    /// Lists the keys that this account's git is known by.
    #[endpoint { method = GET, path = "/v1/me/ssh-keys", tags = ["account"] }]
    async fn ssh_key_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<SshKey>>>;

    /// Adds a key for git. One that this account has already stays as it is.
    #[endpoint { method = POST, path = "/v1/me/ssh-keys", tags = ["account"] }]
    async fn ssh_key_add(
        rqctx: RequestContext<Self::Context>,
        idempotency: Header<Idempotency>,
        body: TypedBody<SshKeyAdd>,
    ) -> Answer<HttpResponseCreated<SshKey>>;

    /// Removes a key.
    #[endpoint { method = DELETE, path = "/v1/me/ssh-keys/{fingerprint}", tags = ["account"] }]
    async fn ssh_key_remove(
        rqctx: RequestContext<Self::Context>,
        path: Path<KeySelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// Lists this account's tokens.
    #[endpoint { method = GET, path = "/v1/me/tokens", tags = ["account"] }]
    async fn token_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Token>>>;

    /// Makes a token. Its secret is shown once: the answer is not kept for an `Idempotency-Key`.
    #[endpoint { method = POST, path = "/v1/me/tokens", tags = ["account"] }]
    async fn token_create(
        rqctx: RequestContext<Self::Context>,
        idempotency: Header<Idempotency>,
        body: TypedBody<TokenCreate>,
    ) -> Answer<HttpResponseCreated<TokenMade>>;

    /// Revokes a token.
    #[endpoint { method = DELETE, path = "/v1/me/tokens/{token}", tags = ["account"] }]
    async fn token_revoke(
        rqctx: RequestContext<Self::Context>,
        path: Path<TokenSelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// Lists the apps that this account may read, by name.
    #[endpoint { method = GET, path = "/v1/apps", tags = ["apps"] }]
    async fn app_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<App>>>;

    /// Creates an app, which has no release yet.
    #[endpoint { method = POST, path = "/v1/apps", tags = ["apps"] }]
    async fn app_create(
        rqctx: RequestContext<Self::Context>,
        idempotency: Header<Idempotency>,
        body: TypedBody<AppCreate>,
    ) -> Answer<HttpResponseCreated<App>>;

    /// Says what an app is and does.
    #[endpoint { method = GET, path = "/v1/apps/{app}", tags = ["apps"] }]
    async fn app_get(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
    ) -> Answer<HttpResponseOk<App>>;

    /// Gives an app another name.
    #[endpoint { method = PATCH, path = "/v1/apps/{app}", tags = ["apps"] }]
    async fn app_rename(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        body: TypedBody<AppRename>,
    ) -> Answer<HttpResponseOk<App>>;

    /// Destroys an app: its enclave, releases, repository. `confirm` is its name. The app is gone when the job has ended well.
    #[endpoint { method = DELETE, path = "/v1/apps/{app}", tags = ["apps"] }]
    async fn app_destroy(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<AppDestroy>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// Ends an app's enclave until it is started again.
    #[endpoint { method = POST, path = "/v1/apps/{app}/stop", tags = ["apps"] }]
    async fn app_stop(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// Deploys the release again that was live when the app was stopped.
    #[endpoint { method = POST, path = "/v1/apps/{app}/start", tags = ["apps"] }]
    async fn app_start(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// Puts a fresh enclave of the live release in the place of the one that runs.
    #[endpoint { method = POST, path = "/v1/apps/{app}/restart", tags = ["apps"] }]
    async fn app_restart(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// What an app runs by: it is read from the commit of its live release, and changed by pushing another.
    #[endpoint { method = GET, path = "/v1/apps/{app}/config", tags = ["apps"] }]
    async fn app_config(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
    ) -> Answer<HttpResponseOk<AppConfig>>;

    /// What an app writes, and what its host says of it: `application/jsonl`, a `ConsoleLine` each line. Apps that say `logs` are heard.
    #[endpoint { method = GET, path = "/v1/apps/{app}/logs", tags = ["apps"] }]
    async fn app_logs(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<ConsoleQuery>,
    ) -> Raw;

    /// Lists an app's builds and deployments, the last first.
    #[endpoint { method = GET, path = "/v1/apps/{app}/jobs", tags = ["jobs"] }]
    async fn job_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Job>>>;

    /// Asks for a build and its deployment, or for the deployment of a release.
    #[endpoint { method = POST, path = "/v1/apps/{app}/jobs", tags = ["jobs"] }]
    async fn job_create(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        idempotency: Header<Idempotency>,
        body: TypedBody<JobCreate>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// Says how far a job is. A request whose `If-None-Match` names the answer's `ETag` is told 304 instead.
    #[endpoint { method = GET, path = "/v1/apps/{app}/jobs/{number}", tags = ["jobs"] }]
    async fn job_get(rqctx: RequestContext<Self::Context>, path: Path<JobSelect>) -> Answer<Tagged<Job>>;

    /// Asks to end a job before its time.
    #[endpoint { method = POST, path = "/v1/apps/{app}/jobs/{number}/cancel", tags = ["jobs"] }]
    async fn job_cancel(
        rqctx: RequestContext<Self::Context>,
        path: Path<JobSelect>,
    ) -> Answer<HttpResponseAccepted<Job>>;

    /// A job's output, `text/plain`, from a byte on.
    #[endpoint { method = GET, path = "/v1/apps/{app}/jobs/{number}/log", tags = ["jobs"] }]
    async fn job_log(
        rqctx: RequestContext<Self::Context>,
        path: Path<JobSelect>,
        query: Query<LogQuery>,
    ) -> Raw;

    /// Lists an app's releases, the last first.
    #[endpoint { method = GET, path = "/v1/apps/{app}/releases", tags = ["releases"] }]
    async fn release_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Release>>>;

    /// Says what a release is. A request whose `If-None-Match` names the answer's `ETag` is told 304 instead.
    #[endpoint { method = GET, path = "/v1/apps/{app}/releases/{number}", tags = ["releases"] }]
    async fn release_get(
        rqctx: RequestContext<Self::Context>,
        path: Path<ReleaseSelect>,
    ) -> Answer<Tagged<Release>>;

    /// The image of a release. Ranges are answered, so that a download can go on; `Digest` is the whole file's.
    #[endpoint { method = GET, path = "/v1/apps/{app}/releases/{number}/image", tags = ["releases"] }]
    async fn release_image(rqctx: RequestContext<Self::Context>, path: Path<ReleaseSelect>) -> Raw;

    /// Lists what happened to an app, the last first.
    #[endpoint { method = GET, path = "/v1/apps/{app}/events", tags = ["events"] }]
    async fn event_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Event>>>;

    /// What happens to an app, as it happens: `text/event-stream`, each event's data as in the list.
    #[endpoint { method = GET, path = "/v1/apps/{app}/events/stream", tags = ["events"] }]
    async fn event_stream(
        rqctx: RequestContext<Self::Context>,
        path: Path<AppSelect>,
        query: Query<EventStreamQuery>,
    ) -> Raw;

    /// Lists the changes in an organisation, the last first.
    #[endpoint { method = GET, path = "/v1/organisations/{organisation}/audit", tags = ["organisations"] }]
    async fn audit_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<AuditLine>>>;

    /// Lists the members of an organisation.
    #[endpoint { method = GET, path = "/v1/organisations/{organisation}/members", tags = ["organisations"] }]
    async fn member_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Member>>>;

    /// Gives a member another role, up to the own one.
    #[endpoint { method = PATCH, path = "/v1/organisations/{organisation}/members/{account}", tags = ["organisations"] }]
    async fn member_change(
        rqctx: RequestContext<Self::Context>,
        path: Path<MemberSelect>,
        body: TypedBody<MemberChange>,
    ) -> Answer<HttpResponseOk<Member>>;

    /// Ends a membership: keys, tokens and sessions of the account reach nothing of the organisation any more.
    #[endpoint { method = DELETE, path = "/v1/organisations/{organisation}/members/{account}", tags = ["organisations"] }]
    async fn member_remove(
        rqctx: RequestContext<Self::Context>,
        path: Path<MemberSelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// Lists the invitations that wait, the last first.
    #[endpoint { method = GET, path = "/v1/organisations/{organisation}/invitations", tags = ["organisations"] }]
    async fn invitation_list(
        rqctx: RequestContext<Self::Context>,
        path: Path<OrganisationSelect>,
        query: Query<PageQuery>,
    ) -> Answer<HttpResponseOk<Page<Invitation>>>;

    /// Makes a link by which somebody becomes a member, once. It is shown this once.
    #[endpoint { method = POST, path = "/v1/organisations/{organisation}/invitations", tags = ["organisations"] }]
    async fn invitation_create(
        rqctx: RequestContext<Self::Context>,
        path: Path<OrganisationSelect>,
        body: TypedBody<InvitationCreate>,
    ) -> Answer<HttpResponseCreated<InvitationMade>>;

    /// Ends an invitation.
    #[endpoint {
        method = DELETE,
        path = "/v1/organisations/{organisation}/invitations/{invitation}",
        tags = ["organisations"],
    }]
    async fn invitation_revoke(
        rqctx: RequestContext<Self::Context>,
        path: Path<InvitationSelect>,
    ) -> Answer<HttpResponseDeleted>;

    /// Makes whoever asks a member of what a link leads to.
    #[endpoint { method = POST, path = "/v1/me/memberships", tags = ["organisations"] }]
    async fn invitation_accept(
        rqctx: RequestContext<Self::Context>,
        body: TypedBody<InvitationAccept>,
    ) -> Answer<HttpResponseCreated<Membership>>;

    /// Answers as long as the process lives.
    #[endpoint { method = GET, path = "/health", tags = ["server"] }]
    async fn health_get(rqctx: RequestContext<Self::Context>) -> Answer<HttpResponseOk<Health>>;

    /// Answers while the server takes work.
    #[endpoint { method = GET, path = "/ready", tags = ["server"] }]
    async fn ready_get(rqctx: RequestContext<Self::Context>) -> Answer<HttpResponseOk<Ready>>;

    /// Numbers in Prometheus' text format.
    #[endpoint { method = GET, path = "/metrics", tags = ["server"] }]
    async fn metrics_get(rqctx: RequestContext<Self::Context>) -> Raw;
}

/// Every operation, answered by `T`.
pub fn api_description<T: V1>() -> Result<ApiDescription<T::Context>, ApiDescriptionBuildErrors> {
    v1_mod::api_description::<T>()
}

/// The OpenAPI document, as it is checked in.
pub fn openapi() -> Result<String, Box<dyn std::error::Error>> {
    let definition = v1_mod::stub_api_description()?;
    let document = definition
        .openapi("Caution", semver::Version::new(1, 0, 0))
        .description("The platform: apps, releases, deployments. specs/platform.md")
        .license_name("Apache-2.0")
        .json()?;
    Ok(format!("{document:#}\n"))
}
