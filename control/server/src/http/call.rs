//! What every request goes through before its handler and after it.

use super::Server;
use super::rate::network;
use super::stream::Reads;
use crate::app::Refused;
use crate::app::access::{self, Caller, Need, Permission};
use crate::app::{session, token};
use crate::clock::now_ms;
use crate::store::app::App;
use crate::store::{AppId, OrganisationId, StoreError};
use crate::webauthn::RelyingParty;
use caution_api::{ErrorCode, Problem, Tagged};
use caution_measure::Sha256Digest;
use dropshot::RequestContext;
use http::HeaderValue;
use serde::Serialize;
use sqlx::AnyConnection;
use std::error::Error;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// A request of somebody known.
pub(super) struct Call<'a> {
    pub(super) caller: Caller,
    need: Need,
    pub(super) rqctx: &'a RequestContext<Arc<Server>>,
    began: Instant,
}

impl<'a> Call<'a> {
    /// Who asks, if they may ask at all.
    pub(super) async fn enter(rqctx: &'a RequestContext<Arc<Server>>) -> Result<Self, Problem> {
        let began = Instant::now();
        match known(rqctx, began).await {
            Ok((caller, need)) => Ok(Self { caller, need, rqctx, began }),
            Err(refused) => Err(told(rqctx, began, refused)),
        }
    }

    /// What the handlers share.
    pub(super) fn server(&self) -> &'a Server {
        self.rqctx.context()
    }

    /// The app of a path, if the caller may do with it what this operation does.
    pub(super) async fn app(&self, db: &mut AnyConnection, id: uuid::Uuid) -> Result<App, Refused> {
        access::app(db, &self.caller, self.permission()?, AppId::from(id)).await
    }

    /// The same for an organisation.
    pub(super) async fn organisation(
        &self,
        db: &mut AnyConnection,
        id: uuid::Uuid,
    ) -> Result<OrganisationId, Refused> {
        let id = OrganisationId::from(id);
        access::organisation(db, &self.caller, self.permission()?, id).await?;
        Ok(id)
    }

    /// The caller as a reader of an app, of which more is told than one answer.
    pub(super) fn reads_app(&self, app: AppId) -> Reads {
        Reads { server: Arc::clone(self.rqctx.context()), caller: self.caller.clone(), app }
    }

    /// What the cookie holds, where it is a person in a browser.
    pub(super) fn cookie(&self) -> &str {
        cookie(self.rqctx).unwrap_or_default()
    }

    /// The site that people sign in to.
    pub(super) fn site(&self) -> Result<&RelyingParty, Problem> {
        site(self.server())
    }

    /// Answers from the database.
    pub(super) async fn reads<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        let done = async {
            let mut db = self.server().store.read().await?;
            work(&mut db).await
        };
        answered(self.rqctx, self.began, done.await)
    }

    /// Changes the database, whole or not at all, and wakes whoever waits for that.
    pub(super) async fn changes<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        answered(self.rqctx, self.began, changed(self.server(), work).await)
    }

    /// An answer with an `ETag`, which is not sent to who has it already.
    pub(super) fn tagged<T: Serialize>(&self, answer: &T) -> Result<Tagged<T>, Problem> {
        let known = self.rqctx.request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
        let digest = |bytes: &[u8]| Sha256Digest::of(bytes).to_string();
        Ok(Tagged::new(answer, digest, known)?)
    }

    fn permission(&self) -> Result<Permission, Problem> {
        match self.need {
            Need::Permission(permission) => Ok(permission),
            _ => Err(Problem::new(ErrorCode::Internal, "This operation names no permission.")),
        }
    }
}

/// A request of somebody who wants to be known.
pub(super) struct Guest<'a> {
    rqctx: &'a RequestContext<Arc<Server>>,
    began: Instant,
    pub(super) site: &'a RelyingParty,
}

impl<'a> Guest<'a> {
    /// Whoever it is, where people sign in at all, and not too often.
    pub(super) fn enter(rqctx: &'a RequestContext<Arc<Server>>) -> Result<Self, Problem> {
        Self::come(rqctx, true)
    }

    /// The same, for who asks again and again with 32 random bytes, which nobody guesses.
    pub(super) fn again(rqctx: &'a RequestContext<Arc<Server>>) -> Result<Self, Problem> {
        Self::come(rqctx, false)
    }

    fn come(rqctx: &'a RequestContext<Arc<Server>>, signs_in: bool) -> Result<Self, Problem> {
        let began = Instant::now();
        let site = (|| {
            let address = decent(rqctx, began)?;
            let server = rqctx.context();
            if signs_in {
                server.by_sign_in.take(address, began).map_err(too_many)?;
            }
            let site = site(server)?;
            // A page of another site that signs its visitors in here as somebody else would see what they do then.
            match rqctx.request.headers().get("origin") {
                Some(origin) if origin.as_bytes() != site.origin.as_bytes() => Err(other_site()),
                _ => Ok(site),
            }
        })();
        site.map(|site| Self { rqctx, began, site }).map_err(|problem| told(rqctx, began, problem.into()))
    }

    /// What they call their browser or program.
    pub(super) fn browser(&self) -> &str {
        let header = self.rqctx.request.headers().get("user-agent");
        header.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Changes the database, whole or not at all.
    pub(super) async fn changes<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        answered(self.rqctx, self.began, changed(self.rqctx.context(), work).await)
    }
}

/// For operations that tell nobody's things: who asks is not looked at, only how often, and by which name.
pub(super) fn of_anybody(rqctx: &RequestContext<Arc<Server>>) -> Result<(), Problem> {
    let began = Instant::now();
    decent(rqctx, began).map(|_| ()).map_err(|problem| told(rqctx, began, problem.into()))
}

/// For pages, which are there where people sign in.
pub(super) fn site_only(rqctx: &RequestContext<Arc<Server>>) -> Result<(), Problem> {
    let problem = |problem: Problem| told(rqctx, Instant::now(), problem.into());
    site(rqctx.context()).map(|_| ()).map_err(problem)
}

async fn changed<T>(
    server: &Server,
    work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let mut db = server.store.change().await?;
    let answer = work(&mut db).await?;
    db.commit().await.map_err(StoreError::from)?;
    server.bell.ring();
    Ok(answer)
}

fn answered<T>(
    rqctx: &RequestContext<Arc<Server>>,
    began: Instant,
    done: Result<T, Refused>,
) -> Result<T, Problem> {
    match done {
        Ok(answer) => {
            let operation = &rqctx.endpoint.operation_id;
            rqctx.context().metrics.answered(operation, 200, began.elapsed());
            Ok(answer)
        }
        Err(refused) => Err(told(rqctx, began, refused)),
    }
}

async fn known(rqctx: &RequestContext<Arc<Server>>, began: Instant) -> Result<(Caller, Need), Refused> {
    decent(rqctx, began)?;
    let server = rqctx.context();
    let operation = &rqctx.endpoint.operation_id;
    let need = access::need(operation)
        .ok_or_else(|| Problem::new(ErrorCode::Internal, format!("{operation} says not what it needs.")))?;
    let caller = caller(rqctx).await?.ok_or_else(unknown)?;
    server.by_account.take(caller.account, began).map_err(too_many)?;
    match need {
        Need::WholeAccount => access::whole_account(&caller)?,
        Need::Session => drop(access::session(&caller)?),
        _ => {}
    }
    access::proved(&caller, operation, now_ms())?;
    Ok((caller, need))
}

/// By a token, or in a browser by a cookie.
async fn caller(rqctx: &RequestContext<Arc<Server>>) -> Result<Option<Caller>, Refused> {
    let server = rqctx.context();
    let headers = rqctx.request.headers();
    let mut values = headers.get_all("authorization").iter();
    if let Some(value) = values.next() {
        let secret = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let (Some(secret), None) = (secret, values.next()) else { return Ok(None) };
        return Ok(token::caller(&mut *server.store.read().await?, secret).await?);
    }
    let (Some(site), Some(secret)) = (&server.site, cookie(rqctx)) else { return Ok(None) };
    let caller = session::caller(&mut *server.store.read().await?, secret).await?;
    if caller.is_none() || rqctx.request.method().is_safe() {
        return Ok(caller);
    }
    // Browsers send the cookie along with whatever a page asks for; only ours says so, and knows the token.
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    if said("origin") != Some(site.origin.as_bytes()) {
        return Err(other_site().into());
    }
    let token = said("x-csrf-token").map(Sha256Digest::of);
    if token != Some(Sha256Digest::of(session::csrf_token(secret).as_bytes())) {
        let text = "`X-CSRF-Token` is not this session's.";
        return Err(Problem::new(ErrorCode::Forbidden, text).fix("GET /v1/session says it").into());
    }
    Ok(caller)
}

/// What our cookie holds; nothing where there are several.
fn cookie(rqctx: &RequestContext<Arc<Server>>) -> Option<&str> {
    let headers = rqctx.request.headers().get_all("cookie").iter();
    let pairs = headers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut ours = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    match (ours.next(), ours.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

fn site(server: &Server) -> Result<&RelyingParty, Problem> {
    server.site.as_ref().ok_or_else(|| {
        let text = "Nobody signs in to this platform: it is for the user of its machine.";
        Problem::new(ErrorCode::NotFound, text).fix("set `http.public_url` to let people sign in")
    })
}

fn other_site() -> Problem {
    Problem::new(ErrorCode::Forbidden, "The request comes from a page of another site.")
}

/// The address that the request comes from, if it names this server, and does not come too often.
fn decent(rqctx: &RequestContext<Arc<Server>>, now: Instant) -> Result<IpAddr, Problem> {
    let server = rqctx.context();
    let from = network(address(rqctx));
    server.by_address.take(from, now).map_err(too_many)?;
    let address = rqctx.server.local_addr;
    let mut hosts = rqctx.request.headers().get_all("host").iter();
    let own = match &server.site {
        Some(site) => [address.to_string(), site.authority().to_owned()],
        None => [address.to_string(), format!("localhost:{}", address.port())],
    };
    match (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) {
        (Some(host), None) if own.iter().any(|own| own == host) => Ok(from),
        _ => {
            let text = format!("This server is {}; the request names another one as its `Host`.", own[1]);
            Err(Problem::new(ErrorCode::Forbidden, text))
        }
    }
}

/// Who asks, or for whom a proxy on this machine does: it adds the last address of `X-Forwarded-For` itself.
fn address(rqctx: &RequestContext<Arc<Server>>) -> IpAddr {
    let peer = rqctx.request.remote_addr().ip().to_canonical();
    if rqctx.context().site.is_none() || !peer.is_loopback() {
        return peer;
    }
    let last = rqctx.request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or(peer)
}

fn unknown() -> Problem {
    let problem =
        Problem::new(ErrorCode::Unauthenticated, "Nobody known asks: the token is absent, ended or revoked.");
    problem.fix("send `Authorization: Bearer caution_…`; `caution up` makes a token on this machine")
}

fn too_many(wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(ErrorCode::RateLimited, format!("Too many requests. Ask again in {seconds} s."))
}

/// What passes by itself, or when somebody makes room.
pub(super) fn away(error: &StoreError) -> Problem {
    let (text, fix) = match error {
        StoreError::Full(_) => ("The platform's disk is full.", "ask whoever runs the platform to make room"),
        _ => ("The platform's database does not answer.", "ask again in a minute"),
    };
    Problem::new(ErrorCode::Unavailable, text).fix(fix)
}

/// What to tell, with the request's id; the server's own failures go to its log.
fn told(rqctx: &RequestContext<Arc<Server>>, began: Instant, refused: Refused) -> Problem {
    let problem = match refused {
        Refused::Told(problem) => problem,
        Refused::Failed(error) if error.passes() => away(&error),
        Refused::Failed(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                let _ = write!(text, ": {cause}");
                source = cause.source();
            }
            slog::error!(rqctx.log, "a request failed"; "operation" => &rqctx.endpoint.operation_id, "why" => text);
            Problem::new(ErrorCode::Internal, "The server failed to do this; its log says why.")
        }
    };
    let operation = &rqctx.endpoint.operation_id;
    rqctx.context().metrics.answered(operation, problem.code.status(), began.elapsed());
    Problem { request_id: Some(rqctx.request_id.clone()), ..problem }
}

/// `__Host-`: browsers take it over HTTPS alone, for this host alone.
pub(super) const COOKIE: &str = "__Host-caution";
