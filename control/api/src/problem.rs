//! Refusals and failures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// For programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// What to do about it, best a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What the server's log calls the request; also in the header `x-request-id`. Absent where the request could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Kinds of refusals. A code never changes its meaning; new ones may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not understood, or a value in it cannot be used. 400
    InvalidRequest,
    /// `confirm` is not the name of what would be destroyed. 400
    NotConfirmed,
    /// Nobody known asks, or a token that is expired or revoked. 401
    Unauthenticated,
    /// Who asks may read this and not do that. 403
    Forbidden,
    /// A person in a browser has to show their passkey again first. 403
    ProofNeeded,
    /// There is no such thing, or none that who asks may read. 404
    NotFound,
    /// What it is in does not allow it: what is asked of a job that has ended, a release that is not there. 409
    Conflict,
    /// The name belongs to another one. 409
    NameTaken,
    /// The `Idempotency-Key` was used for another request. 409
    KeyReused,
    /// There are as many as there may be. 409
    LimitReached,
    /// The request is too large. 413
    TooLarge,
    /// The byte range is not in the file. 416
    RangeNotSatisfiable,
    /// Too many requests; the message says when to ask again. 429
    RateLimited,
    /// The server failed; its log says more under the request's id. 500
    Internal,
    /// The server cannot do it at the moment: it starts, ends, or what it needs is away. 503
    Unavailable,
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::NotConfirmed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::ProofNeeded => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::NameTaken | Self::KeyReused | Self::LimitReached => 409,
            Self::TooLarge => 413,
            Self::RangeNotSatisfiable => 416,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

impl Problem {
    /// One without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: None, request_id: None }
    }

    /// Adds advice.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(feature = "server")]
mod server {
    use super::{ErrorCode, Problem};
    use dropshot::{ErrorStatusCode, HttpError, HttpResponseError};

    impl HttpResponseError for Problem {
        fn status_code(&self) -> ErrorStatusCode {
            ErrorStatusCode::from_u16(self.code.status()).unwrap_or(ErrorStatusCode::INTERNAL_SERVER_ERROR)
        }
    }

    /// What the parts before a handler refuse: paths, queries and bodies that are not understood.
    impl From<HttpError> for Problem {
        fn from(error: HttpError) -> Self {
            let code = match error.status_code.as_u16() {
                404 => ErrorCode::NotFound,
                413 => ErrorCode::TooLarge,
                503 => ErrorCode::Unavailable,
                400..=499 => ErrorCode::InvalidRequest,
                _ => ErrorCode::Internal,
            };
            Self::new(code, error.external_message)
        }
    }
}
