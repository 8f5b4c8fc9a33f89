//! How a WebSocket is opened.

use super::reading::Reading;
use super::writing::Shared;
use super::{WebSocket, WebSocketReceiver, WebSocketSender, broken};
use crate::client::Client;
use crate::error::{Error, RequestError, ResponseError};
use crate::request::{RequestBuilder, head};
use crate::response::headers;
use crate::transport::TransportError;
use bytes::Bytes;
use caution_steve::http::{Decoder, Encoder, Fields, MessageError, Part, RequestHead, ResponseHead};
use caution_steve::{Kind, SealedError};
use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Method, StatusCode};
use std::sync::Arc;
use tokio::io::split;

/// A WebSocket that is not opened yet.
#[must_use = "nothing is sent before `connect`"]
#[derive(Debug)]
pub struct WebSocketBuilder {
    client: Client,
    request: RequestBuilder,
    protocols: Vec<String>,
    limit: usize,
}

impl Client {
    /// A WebSocket to a path that begins with `/`.
    pub fn websocket(&self, path: &str) -> WebSocketBuilder {
        let request = self.request(Method::GET, path);
        WebSocketBuilder { client: self.clone(), request, protocols: Vec::new(), limit: LIMIT }
    }
}

impl WebSocketBuilder {
    /// Adds a field to the request that opens it; one of the same name stays.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.request = self.request.header(name, value);
        self
    }

    /// Offers a subprotocol; the application chooses one of those that are offered, or none.
    pub fn protocol(mut self, name: &str) -> Self {
        self.protocols.push(name.to_owned());
        self
    }

    /// The longest message that is taken, in bytes: 64 MiB when this is not called.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Opens it. The application has been asked once when this returns.
    ///
    /// # Errors
    /// [`Error::NoWebSocket`] where the application answers something else, and why there is no answer.
    pub async fn connect(mut self) -> Result<WebSocket, Error> {
        if !self.protocols.is_empty() {
            self.request = self.request.header(SEC_WEBSOCKET_PROTOCOL, self.protocols.join(", "));
        }
        let sessions = &self.client.sessions;
        let (head, _) = head(self.request.into_request()?, &sessions.transport.address().authority)?;
        let message = opening(head).map_err(|e| Error::Request(RequestError::Message(e)))?;

        let exchange = sessions.begin().await?;
        let number = exchange.header.last_chunk().copied().map_or(0, u64::from_be_bytes);
        if message.len() > exchange.sealer.max_content() {
            return Err(Error::Request(RequestError::Message(MessageError::HeadTooLong)));
        }
        let established = exchange.established;
        let authority = established.authority.clone();
        let upgraded = sessions.transport.socket().await;
        let upgraded =
            upgraded.map_err(|cause| Error::Unreachable { authority: authority.clone(), cause })?;
        let (from, to) = split(upgraded);
        let shared = Arc::new(Shared::new(to, exchange.sealer));
        let mut reading = Reading::new(from, exchange.opener, sessions.transport.idle());
        let answered = async {
            shared.open(exchange.header, &message).await?;
            answer(&mut reading, &shared, self.limit).await
        };
        let (head, content) = match answered.await {
            Ok(answer) => answer,
            Err(error) => {
                let error = ambiguous(error, &authority);
                let gone = |cause: &TransportError| matches!(cause, TransportError::Closed(Some(code)) if code == "session_unknown");
                // If that is true the next request needs another session; if not, it costs one handshake.
                if matches!(&error, Error::Ambiguous { cause, .. } if gone(cause)) {
                    sessions.forget(established.session).await;
                }
                return Err(error);
            }
        };
        if head.status != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            let mut response = http::Response::new(Bytes::from(content));
            let status = StatusCode::from_u16(head.status);
            *response.status_mut() = status.map_err(|e| broken(ResponseError::Http(e.into())))?;
            *response.headers_mut() = headers(&head.fields)?;
            return Err(Error::NoWebSocket(Box::new(response)));
        }
        let protocol = chosen(&head.fields, &self.protocols)?;
        let receiver = WebSocketReceiver {
            shared: Arc::clone(&shared),
            reading,
            established,
            number,
            protocol,
            message: None,
            limit: self.limit,
            closed: None,
            complete: false,
        };
        Ok(WebSocket { sender: WebSocketSender { shared }, receiver })
    }
}

/// The message of the first record.
fn opening(mut head: RequestHead) -> Result<Vec<u8>, MessageError> {
    // Each hop makes its own, and there is no content.
    let hops = ["sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "content-length"];
    head.fields.retain(|(name, _)| !hops.contains(&name.as_str()));
    let (mut encoder, mut message) = (Encoder::new(), Vec::new());
    encoder.request(&head, &mut message)?;
    encoder.end(&Fields::new(), &mut message)?;
    Ok(message)
}

/// The head of the answer; where it is no switch, its content, too.
async fn answer(
    reading: &mut Reading,
    shared: &Shared,
    limit: usize,
) -> Result<(ResponseHead, Vec<u8>), Error> {
    let (mut decoder, mut answer, mut content) = (Decoder::response(), None, Vec::new());
    loop {
        let record = reading.record(shared).await?;
        match record.kind {
            Kind::Data => decoder.feed(&record.content),
            Kind::Pad => {}
            Kind::Error => {
                let error = SealedError::from_bytes(&record.content);
                return Err(error.map_or_else(broken, Error::Sealed));
            }
            Kind::Reset => return Err(broken(ResponseError::Reset)),
            other => return Err(broken(ResponseError::Kind(other.byte()))),
        }
        while let Some(part) = decoder.next_part().map_err(broken)? {
            match part {
                Part::Response(head) if head.status == 101 => return Ok((head, content)),
                Part::Response(head) if head.is_informational() => {}
                Part::Response(head) => answer = Some(head),
                Part::Content(bytes) if bytes.len() > limit - content.len() => {
                    return Err(Error::TooLong { limit });
                }
                Part::Content(bytes) => content.extend_from_slice(&bytes),
                Part::End(_) => {}
                Part::Request(_) => return Err(broken(ResponseError::Part)),
            }
        }
        if record.last {
            decoder.finish().map_err(broken)?;
            return answer.map(|head| (head, content)).ok_or(broken(ResponseError::Part));
        }
    }
}

/// The subprotocol: one of those that were offered, or none.
fn chosen(fields: &Fields, offered: &[String]) -> Result<Option<String>, Error> {
    let mut chosen = fields.iter().filter(|(name, _)| name == SEC_WEBSOCKET_PROTOCOL.as_str());
    let Some((_, value)) = chosen.next() else { return Ok(None) };
    let found = offered.iter().find(|name| name.as_bytes() == value.as_slice());
    match (found, chosen.next()) {
        (Some(name), None) => Ok(Some(name.clone())),
        _ => Err(broken(ResponseError::Protocol)),
    }
}

/// Before anything was sealed by the enclave, what broke may have run or not.
fn ambiguous(error: Error, authority: &str) -> Error {
    let cause = match error {
        Error::Socket(ResponseError::Connection(cause)) => cause,
        Error::Socket(ResponseError::Record(cause)) => cause.into(),
        other => return other,
    };
    let cause = cause.downcast().map_or_else(TransportError::Connection, |cause| *cause);
    Error::Ambiguous { authority: authority.to_owned(), cause }
}

const LIMIT: usize = 64 * 1024 * 1024;
