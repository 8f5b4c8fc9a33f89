//! WebSockets to an application: messages in, messages out, each record of them sealed.

mod builder;
mod reading;
mod writing;

pub use builder::WebSocketBuilder;

use crate::error::{Error, RequestError, ResponseError};
use crate::receipt::{ExchangeReceipt, Receipt};
use crate::session::Established;
use bytes::Bytes;
use caution_steve::websocket::is_close;
use caution_steve::{Kind, SealedError};
use reading::Reading;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use writing::Shared;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// What a close says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Why, as RFC 6455 numbers it; none where none was given.
    pub code: Option<u16>,
    /// The same in words; may be empty.
    pub reason: String,
}

/// A WebSocket to the application, through the enclave's own tunnel. Dropping it breaks it off, which the application
/// sees as no close.
#[derive(Debug)]
pub struct WebSocket {
    sender: WebSocketSender,
    receiver: WebSocketReceiver,
}

/// Its half that sends.
#[derive(Debug, Clone)]
pub struct WebSocketSender {
    shared: Arc<Shared>,
}

/// Its half that receives, and answers pings.
#[derive(Debug)]
pub struct WebSocketReceiver {
    shared: Arc<Shared>,
    reading: Reading,
    established: Arc<Established>,
    number: u64,
    protocol: Option<String>,
    /// Of the message whose parts come: whether it is text, and what came.
    message: Option<(bool, Vec<u8>)>,
    limit: usize,
    closed: Option<Close>,
    complete: bool,
}

impl WebSocket {
    /// The next message; none after an authentic close, which [`WebSocketReceiver::closed`] shows. Waiting may be given up
    /// and begun again.
    ///
    /// # Errors
    /// A WebSocket that was cut, or whose records were changed, dropped or repeated, is an error here, never a close.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        self.receiver.recv().await
    }

    /// Sends a message. It returns when the connection has taken it.
    ///
    /// # Errors
    /// Where the WebSocket is closed or broken. Whoever gives up waiting in the midst of a long message breaks it.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Says that nothing more will be sent. Receive on until there is no message, and the close is clean.
    ///
    /// # Errors
    /// Where the code or the reason may not be said, or the WebSocket is closed or broken.
    pub async fn close(&self, code: Option<u16>, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason).await
    }

    /// The subprotocol that the application chose.
    pub fn protocol(&self) -> Option<&str> {
        self.receiver.protocol()
    }

    /// What the application said when it closed.
    pub fn closed(&self) -> Option<&Close> {
        self.receiver.closed()
    }

    /// What was verified. It is complete after a clean close.
    pub fn receipt(&self) -> Receipt {
        self.receiver.receipt()
    }

    /// Both halves, to be used at the same time.
    pub fn split(self) -> (WebSocketSender, WebSocketReceiver) {
        (self.sender, self.receiver)
    }
}

impl WebSocketSender {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        match message.into() {
            Message::Text(text) => self.shared.message(true, text.as_bytes()).await,
            Message::Binary(bytes) => self.shared.message(false, &bytes).await,
        }
    }

    /// As [`WebSocket::close`].
    ///
    /// # Errors
    /// As there.
    pub async fn close(&self, code: Option<u16>, reason: &str) -> Result<(), Error> {
        let content = match code {
            None if reason.is_empty() => Vec::new(),
            code => [&code.unwrap_or_default().to_be_bytes()[..], reason.as_bytes()].concat(),
        };
        if !is_close(&content) {
            return Err(Error::Request(RequestError::Close));
        }
        self.shared.close(&content).await
    }
}

impl WebSocketReceiver {
    /// As [`WebSocket::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        while !self.complete {
            self.shared.settle();
            let record = self.reading.record(&self.shared).await?;
            let last = record.last;
            let message = match record.kind {
                Kind::WsText { more } if self.closed.is_none() => self.part(true, more, record.content)?,
                Kind::WsBinary { more } if self.closed.is_none() => self.part(false, more, record.content)?,
                Kind::Ping if self.closed.is_none() => {
                    self.shared.pong(record.content);
                    None
                }
                Kind::WsClose if self.closed.is_none() => {
                    self.closed = Some(close(&record.content)?);
                    // Whether the answer to it gets through, nobody waits to hear.
                    let _ = self.shared.close(&record.content).await;
                    None
                }
                Kind::Pad | Kind::Pong => None,
                Kind::Error => {
                    let error = SealedError::from_bytes(&record.content);
                    return Err(error.map_or_else(broken, Error::Sealed));
                }
                Kind::Reset => return Err(broken(ResponseError::Reset)),
                other => return Err(broken(ResponseError::Kind(other.byte()))),
            };
            if last {
                self.complete = self.closed.is_some();
                if !self.complete {
                    return Err(broken(caution_steve::RecordError::Truncated));
                }
            }
            if message.is_some() {
                return Ok(message);
            }
        }
        Ok(None)
    }

    /// The subprotocol that the application chose.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// What the application said when it closed.
    pub fn closed(&self) -> Option<&Close> {
        self.closed.as_ref()
    }

    /// What was verified. It is complete after a clean close.
    pub fn receipt(&self) -> Receipt {
        let exchange = ExchangeReceipt {
            number: self.number,
            sent: self.shared.sent.load(Ordering::Relaxed),
            received: self.reading.received,
            complete: self.complete,
        };
        Receipt::new(&self.established, Some(exchange))
    }

    /// A part of a message; the message with its last.
    fn part(&mut self, text: bool, more: bool, content: Vec<u8>) -> Result<Option<Message>, Error> {
        let (was_text, mut whole) = self.message.take().unwrap_or((text, Vec::new()));
        if was_text != text {
            return Err(broken(ResponseError::Parts));
        }
        if content.len() > self.limit - whole.len() {
            return Err(Error::TooLong { limit: self.limit });
        }
        if whole.is_empty() {
            whole = content;
        } else {
            whole.extend_from_slice(&content);
        }
        if more {
            self.message = Some((text, whole));
            return Ok(None);
        }
        if !text {
            return Ok(Some(Message::Binary(whole.into())));
        }
        String::from_utf8(whole)
            .map(|text| Some(Message::Text(text)))
            .map_err(|_| broken(ResponseError::Text))
    }
}

fn close(content: &[u8]) -> Result<Close, Error> {
    if !is_close(content) {
        return Err(broken(ResponseError::Parts));
    }
    let code = content.first_chunk().map(|code| u16::from_be_bytes(*code));
    let reason = content.get(2..).unwrap_or_default();
    Ok(Close { code, reason: String::from_utf8_lossy(reason).into_owned() })
}

fn broken(cause: impl Into<ResponseError>) -> Error {
    Error::Socket(cause.into())
}
