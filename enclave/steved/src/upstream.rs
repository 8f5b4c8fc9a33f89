//! Connections to the app.

use crate::body::Work;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    H2c,
}

/// A connection that takes one request; its work has to be done meanwhile.
pub(crate) struct Connection<B> {
    sender: Sender<B>,
    /// What moves its bytes.
    pub(crate) work: Work,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    H2c(http2::SendRequest<B>),
}

/// Connects; nothing where nobody takes it in time.
pub(crate) async fn connect<B>(
    address: SocketAddr,
    protocol: Protocol,
    patience: Duration,
) -> Option<Connection<B>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connected = async {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let stream = TokioIo::new(stream);
        Some(match protocol {
            Protocol::Http1 => {
                let (sender, connection) =
                    http1::Builder::new().max_headers(MAX_FIELDS).handshake(stream).await.ok()?;
                // Why it ended, the response says.
                let connection = connection.with_upgrades();
                Connection {
                    sender: Sender::Http1(sender),
                    work: Work::new(async { drop(connection.await) }),
                }
            }
            Protocol::H2c => {
                let (sender, connection) =
                    http2::Builder::new(TokioExecutor::new()).handshake(stream).await.ok()?;
                Connection { sender: Sender::H2c(sender), work: Work::new(async { drop(connection.await) }) }
            }
        })
    };
    timeout(patience, connected).await.ok().flatten()
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Takes the connection apart: its work, and its one request under way.
    pub(crate) fn send(
        self,
        mut request: Request<B>,
    ) -> (Work, impl Future<Output = hyper::Result<Response<Incoming>>> + Send) {
        let Self { mut sender, work } = self;
        // Without it hyper takes GET, HEAD and what it knows no length of for empty, and says nothing.
        if matches!(sender, Sender::Http1(_))
            && !request.body().is_end_stream()
            && !request.headers().contains_key(CONTENT_LENGTH)
        {
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let response = async move {
            match &mut sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::H2c(sender) => sender.send_request(request).await,
            }
        };
        (work, response)
    }
}

/// As many as a message of STEVE has.
const MAX_FIELDS: usize = caution_steve::http::MAX_FIELDS;
