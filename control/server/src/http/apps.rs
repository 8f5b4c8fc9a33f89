//! Handlers of apps and what becomes of them: jobs, releases, events.

use super::Server;
use super::call::Call;
use super::console::console;
use super::stream::{self, Image};
use crate::app::{Refused, app, event, job, release};
use crate::store::{self, AppId, EventId};
use caution_api::{
    App, AppConfig, AppCreate, ConsoleQuery, Event, Job, JobCreate, JobSelect, LogQuery, Page, PageQuery,
    Problem, Release, ReleaseSelect, Tagged,
};
use dropshot::{Body, RequestContext};
use http::Response;
use std::sync::Arc;
use uuid::Uuid;

type Context = RequestContext<Arc<Server>>;
type Answer<T> = Result<T, Problem>;

pub(super) async fn app_list(rqctx: &Context, query: &PageQuery) -> Answer<Page<App>> {
    let call = Call::enter(rqctx).await?;
    call.reads(async |db| app::list(db, &call.caller, query, &call.server().reach).await).await
}

pub(super) async fn app_create(rqctx: &Context, asked: &AppCreate) -> Answer<App> {
    let call = Call::enter(rqctx).await?;
    let create = async |db: &mut _| app::create(db, &call.caller, asked, &call.server().reach).await;
    call.changes(async |db| call.once(db, asked, create).await).await
}

pub(super) async fn app_get(rqctx: &Context, id: Uuid) -> Answer<App> {
    let call = Call::enter(rqctx).await?;
    let get = async |db: &mut _| {
        let found = call.app(db, id).await?;
        app::get(db, found, &call.server().reach).await
    };
    call.reads(get).await
}

pub(super) async fn app_rename(rqctx: &Context, id: Uuid, name: &str) -> Answer<App> {
    let call = Call::enter(rqctx).await?;
    let rename = async |db: &mut _| {
        let found = call.app(db, id).await?;
        app::rename(db, &call.caller, &found, name, &call.server().reach).await
    };
    call.changes(rename).await
}

pub(super) async fn app_destroy(rqctx: &Context, id: Uuid, confirm: &str) -> Answer<Job> {
    let call = Call::enter(rqctx).await?;
    let destroy = async |db: &mut _| {
        let found = call.app(db, id).await?;
        app::destroy(db, &call.caller, &found, confirm).await
    };
    call.changes(destroy).await
}

pub(super) async fn app_stop(rqctx: &Context, id: Uuid) -> Answer<Job> {
    let call = Call::enter(rqctx).await?;
    let stop = async |db: &mut _| {
        let found = call.app(db, id).await?;
        app::stop(db, &call.caller, &found).await
    };
    call.changes(stop).await
}

/// `app_start` and `app_restart`, which the audit log tells apart.
pub(super) async fn app_deploy_again(rqctx: &Context, id: Uuid, operation: &'static str) -> Answer<Job> {
    let call = Call::enter(rqctx).await?;
    let deploy = async |db: &mut _| {
        let found = call.app(db, id).await?;
        app::deploy_again(db, &call.caller, &found, operation).await
    };
    call.changes(deploy).await
}

pub(super) async fn app_config(rqctx: &Context, id: Uuid) -> Answer<AppConfig> {
    let call = Call::enter(rqctx).await?;
    let config = async |db: &mut _| {
        let found = call.app(db, id).await?;
        release::config(db, &found).await
    };
    call.reads(config).await
}

pub(super) async fn app_logs(rqctx: &Context, id: Uuid, query: &ConsoleQuery) -> Answer<Response<Body>> {
    let call = Call::enter(rqctx).await?;
    let found = call.reads(async |db| call.app(db, id).await).await?;
    let logs = call.server().reach.logs(&found.label, query.follow).await;
    console(call.reads_app(found.id), logs, query)
}

pub(super) async fn job_list(rqctx: &Context, id: Uuid, query: &PageQuery) -> Answer<Page<Job>> {
    let call = Call::enter(rqctx).await?;
    let list = async |db: &mut _| {
        let found = call.app(db, id).await?;
        job::list(db, found.id, query).await
    };
    call.reads(list).await
}

pub(super) async fn job_create(rqctx: &Context, id: Uuid, asked: &JobCreate) -> Answer<Job> {
    let call = Call::enter(rqctx).await?;
    let create = async |db: &mut _| {
        let found = call.app(db, id).await?;
        call.once(db, asked, async |db| job::create(db, &call.caller, &found, asked).await).await
    };
    call.changes(create).await
}

pub(super) async fn job_get(rqctx: &Context, path: &JobSelect) -> Answer<Tagged<Job>> {
    let call = Call::enter(rqctx).await?;
    let get = async |db: &mut _| {
        let found = call.app(db, path.app).await?;
        job::get(db, found.id, path.number).await
    };
    call.tagged(&call.reads(get).await?)
}

pub(super) async fn job_cancel(rqctx: &Context, path: &JobSelect) -> Answer<Job> {
    let call = Call::enter(rqctx).await?;
    let cancel = async |db: &mut _| {
        let found = call.app(db, path.app).await?;
        job::cancel(db, &call.caller, &found, path.number).await
    };
    call.changes(cancel).await
}

pub(super) async fn job_log(rqctx: &Context, path: &JobSelect, query: &LogQuery) -> Answer<Response<Body>> {
    let call = Call::enter(rqctx).await?;
    let log = async |db: &mut _| {
        let found = call.app(db, path.app).await?;
        let job = job::numbered(db, found.id, path.number).await?;
        Ok(stream::log(call.reads_app(found.id), job.id, query.from, query.follow)?)
    };
    call.reads(log).await
}

pub(super) async fn release_list(rqctx: &Context, id: Uuid, query: &PageQuery) -> Answer<Page<Release>> {
    let call = Call::enter(rqctx).await?;
    let list = async |db: &mut _| {
        let found = call.app(db, id).await?;
        release::list(db, found.id, query).await
    };
    call.reads(list).await
}

pub(super) async fn release_get(rqctx: &Context, path: &ReleaseSelect) -> Answer<Tagged<Release>> {
    let call = Call::enter(rqctx).await?;
    let get = async |db: &mut _| {
        let found = call.app(db, path.app).await?;
        release::get(db, found.id, path.number).await
    };
    call.tagged(&call.reads(get).await?)
}

pub(super) async fn release_image(rqctx: &Context, path: &ReleaseSelect) -> Answer<Response<Body>> {
    let call = Call::enter(rqctx).await?;
    let image = async |db: &mut _| {
        let found = call.app(db, path.app).await?;
        let made = release::numbered(db, found.id, path.number).await?.made;
        let image = Image {
            name: format!("{}-{}.eif", found.name, path.number),
            sha256: made.image.to_string(),
            bytes: made.image_bytes,
        };
        let file = call.server().data.image(&image.sha256);
        Ok(stream::image(&file, &image, rqctx.request.headers()).await?)
    };
    call.reads(image).await
}

pub(super) async fn event_list(rqctx: &Context, id: Uuid, query: &PageQuery) -> Answer<Page<Event>> {
    let call = Call::enter(rqctx).await?;
    let list = async |db: &mut _| {
        let found = call.app(db, id).await?;
        event::list(db, found.id, query).await
    };
    call.reads(list).await
}

pub(super) async fn event_stream(rqctx: &Context, id: Uuid, after: Option<Uuid>) -> Answer<Response<Body>> {
    let call = Call::enter(rqctx).await?;
    let events = async |db: &mut _| {
        let found = call.app(db, id).await?;
        let after = match stream::last_event(rqctx.request.headers(), after)? {
            Some(id) => id,
            None => newest(db, found.id).await?,
        };
        Ok(stream::events(call.reads_app(found.id), after)?)
    };
    call.reads(events).await
}

/// The last event of an app; before all of them where it has none.
async fn newest(db: &mut sqlx::AnyConnection, app: AppId) -> Result<EventId, Refused> {
    let last = store::event::list(db, app, None, 1).await?.into_iter().next();
    Ok(last.map_or_else(|| EventId::from(Uuid::nil()), |event| event.id))
}
