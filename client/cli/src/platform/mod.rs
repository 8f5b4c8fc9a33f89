//! The platform: where it is, on this machine or another one, and what it is asked. Words for people stand in `commands/`.

pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod organisation;
pub(crate) mod ssh;

use crate::Context;
use crate::error::{CliError, Exit};
use caution_api::{ErrorCode, Local, Me, Problem};
use caution_appspec::printable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::RequestBuilder;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// A platform that this user is known by.
pub(crate) struct Platform {
    api: String,
    token: Option<String>,
    /// What only a platform on this machine says.
    local: Option<Local>,
    agent: ureq::Agent,
}

/// The platform's data folder.
pub(crate) fn data(context: &Context) -> PathBuf {
    context.config.state.join("platform")
}

impl Platform {
    /// The one that this user logged in to, else the one that was started on this machine; it may have ended since.
    pub(crate) fn known(context: &Context) -> Result<Option<Self>, CliError> {
        match login::kept(context)? {
            Some((platform, _)) => Ok(Some(platform)),
            None => Ok(Self::here(context)?.map(|(platform, _)| platform)),
        }
    }

    /// The platform that was started on this machine.
    pub(crate) fn here(context: &Context) -> Result<Option<(Self, Local)>, CliError> {
        let path = data(context).join("local.json");
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = crate::files::read_limited(&path, 64 * 1024)?;
        let local: Local = serde_json::from_slice(&bytes).map_err(|cause| CliError {
            causes: vec![cause.to_string()],
            ..CliError::new(Exit::Other, format!("{} cannot be read.", path.display())).hint("caution up")
        })?;
        // It is on this machine.
        let agent = configured().proxy(None).build().into();
        let (api, token) = (local.api.clone(), Some(local.token.clone()));
        Ok(Some((Self { api, token, local: Some(local.clone()), agent }, local)))
    }

    /// The platform at an address, which knows this user by a token.
    pub(crate) fn known_by(api: &str, token: String) -> Self {
        Self { token: Some(token), ..Self::unknown_to(api) }
    }

    /// The platform at an address, which does not know who asks.
    pub(crate) fn unknown_to(api: &str) -> Self {
        let proxy = proxy(api, ureq::Proxy::try_from_env());
        let agent = configured().timeout_recv_response(Some(ANSWER)).proxy(proxy).build().into();
        Self { api: api.to_owned(), token: None, local: None, agent }
    }

    /// The same, where there must be one.
    pub(crate) fn required(context: &Context) -> Result<Self, CliError> {
        Self::known(context)?.ok_or_else(|| {
            CliError::new(Exit::Unreachable, "No platform was started on this machine.")
                .hint("caution up\ncaution login URL      (one on another machine)")
        })
    }

    /// Where its API is.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// What only a platform on this machine says.
    pub(crate) fn local(&self) -> Option<&Local> {
        self.local.as_ref()
    }

    /// Whether it answers, and knows this user.
    pub(crate) fn answers(&self) -> bool {
        self.whoami().is_ok()
    }

    /// As whom it knows this user.
    pub(crate) fn whoami(&self) -> Result<Me, CliError> {
        self.get("/v1/me")
    }

    /// Asks for something.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        parsed(&self.whole(self.as_known(self.agent.get(self.url(path))).call())?)
    }

    /// Asks to do something that needs no further words.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.as_known(self.agent.post(self.url(path)));
        parsed(&self.whole(request.send_empty())?)
    }

    /// Asks to make something.
    pub(crate) fn send<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        let request = self.as_known(self.agent.post(self.url(path)));
        parsed(&self.whole(request.header("Content-Type", JSON).send(text(body)))?)
    }

    /// Asks to change something.
    pub(crate) fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let request = self.as_known(self.agent.patch(self.url(path)));
        parsed(&self.whole(request.header("Content-Type", JSON).send(text(body)))?)
    }

    /// Asks to remove something.
    pub(crate) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.as_known(self.agent.delete(self.url(path)));
        parsed(&self.whole(request.call())?)
    }

    /// Asks to remove something of which nothing is left to say.
    pub(crate) fn remove(&self, path: &str) -> Result<(), CliError> {
        let request = self.as_known(self.agent.delete(self.url(path)));
        self.whole(request.call()).map(drop)
    }

    /// A file from a byte on, if it is still the one with this SHA-256.
    pub(crate) fn part(
        &self,
        path: &str,
        offset: u64,
        sha256: &str,
    ) -> Result<impl Read + Send + use<>, CliError> {
        let request = self.as_known(self.agent.get(self.url(path)));
        let request =
            request.header("Range", format!("bytes={offset}-")).header("If-Range", format!("\"{sha256}\""));
        let answer = request.call().map_err(|cause| self.unreachable(&cause))?;
        match answer.status().as_u16() {
            206 => Ok(answer.into_body().into_reader()),
            200 if offset == 0 => Ok(answer.into_body().into_reader()),
            200 => Err(CliError::new(Exit::Conflict, "The platform has another file there now.")),
            _ => {
                self.whole(Ok(answer))?;
                Err(not_understood())
            }
        }
    }

    /// What is sent as it is made, to read piece by piece.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + use<>, CliError> {
        let request = self.as_known(self.agent.get(self.url(path)));
        let answer = request.call().map_err(|cause| self.unreachable(&cause))?;
        if answer.status().is_success() {
            return Ok(answer.into_body().into_reader().take(MAX_LOG));
        }
        self.whole(Ok(answer))?;
        Err(not_understood())
    }

    /// Every item of a list, page by page.
    pub(crate) fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CliError> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let page: caution_api::Page<T> = self.get(&format!("{path}?limit=100{next}"))?;
            items.extend(page.items);
            match page.next_page {
                Some(token) => next = format!("&page_token={token}"),
                None => return Ok(items),
            }
        }
        Err(not_understood())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// A request, and who makes it.
    fn as_known<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn whole(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, CliError> {
        let mut answer = answered.map_err(|cause| self.unreachable(&cause))?;
        let status = answer.status();
        let bytes = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let bytes = bytes.map_err(|cause| self.unreachable(&cause))?;
        if status.is_success() {
            return Ok(bytes);
        }
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => {
                let error = CliError::new(exit(problem.code), problem.message);
                CliError { hint: problem.fix, ..error }
            }
            Err(_) => not_understood(),
        })
    }

    fn unreachable(&self, cause: &ureq::Error) -> CliError {
        let text = format!("The platform at {} does not answer.", self.api);
        let hint = if self.local.is_some() { "caution up" } else { "caution logout      (forgets it)" };
        CliError { causes: vec![cause.to_string()], ..CliError::new(Exit::Unreachable, text).hint(hint) }
    }
}

fn configured() -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder().timeout_connect(Some(CONNECT)).max_redirects(0).http_status_as_error(false)
}

/// This user's folder of settings, for nobody else.
fn own_folder(context: &Context) -> Result<&Path, CliError> {
    let folder = &context.config.settings;
    let io = |e: io::Error| CliError::io("The folder cannot be made private", folder, &e);
    fs::create_dir_all(folder).map_err(io)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(io)?;
    Ok(folder)
}

const fn exit(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::InvalidRequest | ErrorCode::NotConfirmed => Exit::Usage,
        ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::ProofNeeded => Exit::NotAllowed,
        ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::Conflict | ErrorCode::NameTaken | ErrorCode::KeyReused | ErrorCode::LimitReached => {
            Exit::Conflict
        }
        ErrorCode::Unavailable => Exit::Unreachable,
        ErrorCode::TooLarge
        | ErrorCode::RangeNotSatisfiable
        | ErrorCode::RateLimited
        | ErrorCode::Internal => Exit::Other,
    }
}

fn text(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// An answer in which no text steers a terminal, whichever command shows it.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CliError> {
    let value = serde_json::from_slice(bytes).map(shown);
    value
        .and_then(serde_json::from_value)
        .map_err(|cause| CliError { causes: vec![cause.to_string()], ..not_understood() })
}

fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let line = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
            Value::String(text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
        }
        Value::Array(items) => items.into_iter().map(shown).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, shown(value))).collect(),
        other => other,
    }
}

/// What stands between. `http://` is this machine (`login::address`), which no proxy reaches, and where no proxy is to
/// see the token.
fn proxy(api: &str, of_environment: Option<ureq::Proxy>) -> Option<ureq::Proxy> {
    of_environment.filter(|_| api.starts_with("https://"))
}

fn not_understood() -> CliError {
    CliError::new(Exit::Other, "The platform answered with something that this command does not understand.")
        .hint("caution down && caution up      (so that both are of one version)")
}

const JSON: &str = "application/json";
/// How long a platform on another machine may take to answer.
const ANSWER: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
/// The longest answer that is read whole.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// More than a platform keeps of a job's log, in bytes.
const MAX_LOG: u64 = 128 * 1024 * 1024;
/// Pages of a list, of 100 items each.
const MAX_PAGES: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platforms_words_steer_no_terminal() {
        let said = serde_json::json!([{ "name": "a\u{1b}]0;b\u{7}\u{202e}" }, "two\n\tlines", 1, null]);
        let heard: Value = parsed(said.to_string().as_bytes()).unwrap();
        let safe = serde_json::json!([{ "name": r"a\u{1b}]0;b\u{7}\u{202e}" }, "two\n\tlines", 1, null]);
        assert_eq!(heard, safe);
    }

    #[test]
    fn a_token_for_this_machine_goes_through_no_proxy() {
        let between = || Some(ureq::Proxy::new("http://proxy.example:3128").unwrap());
        assert!(proxy("http://localhost:7280", between()).is_none());
        assert!(proxy("https://platform.example.com", between()).is_some());
    }
}
