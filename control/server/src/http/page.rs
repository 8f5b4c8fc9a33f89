//! The pages on which people set the platform up, sign in, let programs in: plain files, under a policy that runs nothing else.

use super::Server;
use super::call::{of_anybody, site_only};
use caution_api::{ErrorCode, Problem};
use dropshot::{ApiDescription, ApiDescriptionRegisterError, Body, RequestContext, endpoint};
use http::Response;
use std::sync::Arc;

type Context = RequestContext<Arc<Server>>;

/// Adds them to what is answered.
pub(super) fn register(api: &mut ApiDescription<Arc<Server>>) -> Result<(), ApiDescriptionRegisterError> {
    api.register(page_home)?;
    api.register(page_setup)?;
    api.register(page_join)?;
    api.register(page_device)?;
    api.register(page_script)?;
    api.register(page_style)
}

#[endpoint { method = GET, path = "/", unpublished = true }]
async fn page_home(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/html; charset=utf-8", HTML)
}

#[endpoint { method = GET, path = "/setup", unpublished = true }]
async fn page_setup(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/html; charset=utf-8", HTML)
}

#[endpoint { method = GET, path = "/join", unpublished = true }]
async fn page_join(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/html; charset=utf-8", HTML)
}

#[endpoint { method = GET, path = "/device", unpublished = true }]
async fn page_device(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/html; charset=utf-8", HTML)
}

#[endpoint { method = GET, path = "/page.js", unpublished = true }]
async fn page_script(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/javascript; charset=utf-8", SCRIPT)
}

#[endpoint { method = GET, path = "/page.css", unpublished = true }]
async fn page_style(rqctx: Context) -> Result<Response<Body>, Problem> {
    file(&rqctx, "text/css; charset=utf-8", STYLE)
}

fn file(rqctx: &Context, kind: &str, text: &'static str) -> Result<Response<Body>, Problem> {
    of_anybody(rqctx)?;
    site_only(rqctx)?;
    let answer = Response::builder()
        .header("content-type", kind)
        .header("content-security-policy", POLICY)
        .header("cache-control", "no-cache")
        .header("cross-origin-opener-policy", "same-origin")
        .header("cross-origin-resource-policy", "same-origin")
        .header("referrer-policy", "no-referrer")
        .header("x-content-type-options", "nosniff")
        .body(Body::from(text));
    answer.map_err(|_| Problem::new(ErrorCode::Internal, "The page cannot be sent."))
}

/// Script, style and requests of this server alone; in no frame; nothing typed goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const HTML: &str = include_str!("../../pages/page.html");
const SCRIPT: &str = include_str!("../../pages/page.js");
const STYLE: &str = include_str!("../../pages/page.css");
