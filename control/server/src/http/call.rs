//! What every request goes through before its handler and after it.

use super::Server;
use crate::app::Refused;
use crate::app::access::{self, Caller, Need, Permission};
use crate::app::token;
use crate::store::app::App;
use crate::store::idempotency::{self, Kept};
use crate::store::{AppId, OrganisationId, StoreError};
use caution_api::{ErrorCode, Problem};
use caution_measure::Sha256Digest;
use dropshot::RequestContext;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AnyConnection;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

/// A request of somebody known.
pub(super) struct Call<'a> {
    pub(super) caller: Caller,
    need: Need,
    rqctx: &'a RequestContext<Arc<Server>>,
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

    /// Answers from the database.
    pub(super) async fn reads<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        let done = async {
            let mut db = self.server().store.read().await?;
            work(&mut db).await
        };
        self.answer(done.await)
    }

    /// Changes the database, whole or not at all, and wakes whoever waits for that.
    pub(super) async fn changes<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        let done = async {
            let mut db = self.server().store.change().await?;
            let answer = work(&mut db).await?;
            db.commit().await.map_err(StoreError::from)?;
            self.server().bell.ring();
            Ok(answer)
        };
        self.answer(done.await)
    }

    /// The last word: counts the answer, and makes a failure something to tell.
    fn answer<T>(&self, done: Result<T, Refused>) -> Result<T, Problem> {
        match done {
            Ok(answer) => {
                let operation = &self.rqctx.endpoint.operation_id;
                self.server().metrics.answered(operation, 200, self.began.elapsed());
                Ok(answer)
            }
            Err(refused) => Err(told(self.rqctx, self.began, refused)),
        }
    }

    /// What was answered to this same request before, where it has an `Idempotency-Key`.
    pub(super) async fn answered_before<T: DeserializeOwned>(
        &self,
        db: &mut AnyConnection,
        question: &impl Serialize,
    ) -> Result<Option<T>, Refused> {
        let Some(key) = self.key()? else { return Ok(None) };
        let Some(kept) = idempotency::find(db, self.caller.account, key).await? else { return Ok(None) };
        let reused = |text: &str| Refused::Told(Problem::new(ErrorCode::KeyReused, text));
        if kept.question != self.digest(question) {
            return Err(reused("This `Idempotency-Key` was used for another request."));
        }
        let answer = serde_json::from_str(&kept.answer);
        answer.map(Some).map_err(|_| reused("This was done before, and its answer is not told twice."))
    }

    /// Keeps an answer for [`Self::answered_before`].
    pub(super) async fn keep(
        &self,
        db: &mut AnyConnection,
        question: &impl Serialize,
        answer: &impl Serialize,
    ) -> Result<(), Refused> {
        let Some(key) = self.key()? else { return Ok(()) };
        let answer = serde_json::to_string(answer).unwrap_or_default();
        let kept = Kept { question: self.digest(question), answer };
        Ok(idempotency::keep(db, self.caller.account, key, &kept).await?)
    }

    fn permission(&self) -> Result<Permission, Problem> {
        match self.need {
            Need::Permission(permission) => Ok(permission),
            _ => Err(Problem::new(ErrorCode::Internal, "This operation names no permission.")),
        }
    }

    fn key(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.rqctx.request.headers().get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=200).contains(&key.len()));
        let wrong =
            || Problem::new(ErrorCode::InvalidRequest, "`Idempotency-Key` has 1 to 200 ASCII characters.");
        key.map(Some).ok_or_else(wrong)
    }

    /// Operation, path and body: what makes a request another one.
    fn digest(&self, question: &impl Serialize) -> Sha256Digest {
        let whole = (
            &self.rqctx.endpoint.operation_id,
            self.rqctx.request.uri().path(),
            serde_json::to_value(question).unwrap_or_default(),
        );
        Sha256Digest::of(&serde_json::to_vec(&whole).unwrap_or_default())
    }
}

/// For operations that tell nobody's things: who asks is not looked at, only how often, and by which name.
pub(super) fn of_anybody(rqctx: &RequestContext<Arc<Server>>) -> Result<(), Problem> {
    let began = Instant::now();
    decent(rqctx, began).map_err(|problem| told(rqctx, began, problem.into()))
}

async fn known(rqctx: &RequestContext<Arc<Server>>, began: Instant) -> Result<(Caller, Need), Refused> {
    decent(rqctx, began)?;
    let server = rqctx.context();
    let operation = &rqctx.endpoint.operation_id;
    let need = access::need(operation)
        .ok_or_else(|| Problem::new(ErrorCode::Internal, format!("{operation} says not what it needs.")))?;
    let mut values = rqctx.request.headers().get_all("authorization").iter();
    let secret = match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")),
        _ => None,
    };
    let secret = secret.ok_or_else(unknown)?;
    let mut db = server.store.read().await?;
    let caller = token::caller(&mut db, secret).await?.ok_or_else(unknown)?;
    server.by_account.take(caller.account, began).map_err(too_many)?;
    if need == Need::WholeAccount {
        access::whole_account(&caller)?;
    }
    Ok((caller, need))
}

/// Whether the request comes by this listener's own address, and not too often.
fn decent(rqctx: &RequestContext<Arc<Server>>, now: Instant) -> Result<(), Problem> {
    let server = rqctx.context();
    server.by_address.take(rqctx.request.remote_addr().ip(), now).map_err(too_many)?;
    let address = rqctx.server.local_addr;
    let mut hosts = rqctx.request.headers().get_all("host").iter();
    let own = [address.to_string(), format!("localhost:{}", address.port())];
    match (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) {
        (Some(host), None) if own.iter().any(|own| own == host) => Ok(()),
        _ => {
            let text = format!("This server is {address}; the request names another one as its `Host`.");
            Err(Problem::new(ErrorCode::Forbidden, text))
        }
    }
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
