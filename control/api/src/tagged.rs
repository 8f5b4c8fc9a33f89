//! Answers that who asks may have already.

use dropshot::{ApiEndpointResponse, Body, HttpError, HttpResponse, HttpResponseOk};
use http::header::{CONTENT_TYPE, ETAG};
use http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use std::marker::PhantomData;

/// A 200 with an `ETag`, or, where the request's `If-None-Match` names it, a 304 without a body (RFC 9110 §13.1.2).
#[derive(Debug)]
pub struct Tagged<T> {
    etag: String,
    body: Option<Vec<u8>>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> Tagged<T> {
    /// `digest` names bytes; `known` is what the request says that it has.
    pub fn new(
        answer: &T,
        digest: impl FnOnce(&[u8]) -> String,
        known: Option<&str>,
    ) -> Result<Self, HttpError> {
        let body = serde_json::to_vec(answer).map_err(|e| HttpError::for_internal_error(e.to_string()))?;
        let etag = format!("\"{}\"", digest(&body));
        let is = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
        let has = known.is_some_and(|tags| tags.split(',').any(|tag| is(tag.trim())));
        Ok(Self { etag, body: (!has).then_some(body), of: PhantomData })
    }
}

impl<T: JsonSchema + Serialize + Send + Sync + 'static> HttpResponse for Tagged<T> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let answer = Response::builder().status(self.status_code()).header(ETAG, self.etag);
        let answer = match self.body {
            Some(body) => answer.header(CONTENT_TYPE, "application/json").body(body.into()),
            None => answer.body(Body::empty()),
        };
        Ok(answer?)
    }

    fn response_metadata() -> ApiEndpointResponse {
        HttpResponseOk::<T>::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        if self.body.is_some() { StatusCode::OK } else { StatusCode::NOT_MODIFIED }
    }
}
