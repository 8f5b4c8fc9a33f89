//! How a connection becomes a WebSocket: the client's to here, and ours to the app.

use crate::body::Reply;
use crate::outer::{Origins, Problem, empty};
use caution_steve::websocket::accept_of;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};

/// The answer to a client that wants a WebSocket, and that WebSocket's connection to come.
pub(crate) fn accept<B>(origins: &Origins, request: &mut Request<B>) -> (Response<Reply>, Option<OnUpgrade>) {
    let (mut response, upgrade) = match accepted(origins, request.headers()) {
        Ok(response) => (response, Some(hyper::upgrade::on(request))),
        Err(problem) => (problem.response(), None),
    };
    origins.mark(None, &mut response);
    (response, upgrade)
}

fn accepted(origins: &Origins, headers: &HeaderMap) -> Result<Response<Reply>, Problem> {
    let is_asked = has(headers, &UPGRADE, "websocket")
        && has(headers, &CONNECTION, "upgrade")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && has(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_asked);
    let answer = key.and_then(|key| accept_of(key.as_bytes())).ok_or(Problem::Malformed)?;
    if !origins.may_open(headers.get(ORIGIN), headers.get(HOST)) {
        return Err(Problem::Origin);
    }
    let mut response = empty(101);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&answer).map_err(|_| Problem::Malformed)?);
    Ok(response)
}

/// Whether an app's switch of protocols answers this key, and nothing that was not asked for.
pub(crate) fn is_answer(headers: &HeaderMap, key: &str) -> bool {
    let answer = accept_of(key.as_bytes());
    has(headers, &UPGRADE, "websocket")
        && has(headers, &CONNECTION, "upgrade")
        && headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes)
            == answer.as_deref().map(str::as_bytes)
        && !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS)
}

/// Whether a list has this word, in any case.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    values.map(<[u8]>::trim_ascii).any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// Of WebSockets that carry records.
const SUBPROTOCOL: &str = "steve3";

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: [(&str, &str); 6] = [
        ("host", "app.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "other, steve3"),
    ];

    fn ask(changes: &[(&'static str, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in ASKED.iter().chain(changes) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let origins = Origins::new(&["https://page.example".to_owned()]);
        accepted(&origins, &headers).map_or_else(|problem| problem.code().0, |it| it.status().as_u16())
    }

    #[test]
    fn a_websocket_is_asked_for_as_the_rfc_says() {
        assert_eq!(ask(&[]), 101);
        for (name, value) in [
            ("connection", "close"),
            ("upgrade", "h2c"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "AAAA"),
            ("sec-websocket-protocol", "steve4"),
        ] {
            assert_eq!(ask(&[(name, value)]), 400, "{name}");
        }
    }

    #[test]
    fn pages_of_the_host_and_of_the_named_origins_may_open_it() {
        for origin in ["https://app.example", "http://APP.example", "https://page.example"] {
            assert_eq!(ask(&[("origin", origin)]), 101, "{origin}");
        }
        for origin in ["null", "https://page.example:8443", "https://app.example.evil", "app.example", ""] {
            assert_eq!(ask(&[("origin", origin)]), 403, "{origin}");
        }
    }

    #[test]
    fn an_app_answers_the_key_it_was_asked_with() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let answered = |changes: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            let accept = [("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")];
            for (name, value) in ASKED[1..3].iter().chain(&accept).chain(changes) {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            is_answer(&headers, key)
        };
        assert!(answered(&[]));
        assert!(!answered(&[("sec-websocket-accept", "AAAA")]));
        assert!(!answered(&[("sec-websocket-extensions", "permessage-deflate")]));
        assert!(!answered(&[("upgrade", "h2c")]));
    }
}
