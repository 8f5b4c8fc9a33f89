//! attestd: fresh evidence for whoever asks, and health from inside.
//!
//! The caller chooses the nonce and nothing else (attestation-oracle rule): `user_data` is EnclaveOS'
//! own map and `public_key` is absent.

mod health;
mod http;

use crate::chain;
use crate::control::Control;
use crate::manifest::Manifest;
use crate::serve::Slot;
use caution_abi::evidence;
use caution_abi::health::PATH as HEALTH;
use caution_enclave_sys::nsm::Nsm;
use data_encoding::BASE64;
use http::{Request, Response};
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The service.
pub(crate) struct Attestd {
    nsm: Arc<dyn Nsm>,
    manifest: Option<Manifest>,
    control: Arc<Control>,
}

impl Attestd {
    /// Evidence from `nsm` about `manifest`; health from `control`.
    pub(crate) fn new(nsm: Arc<dyn Nsm>, manifest: Option<Manifest>, control: Arc<Control>) -> Self {
        Self { nsm, manifest, control }
    }

    /// Answers one connection. What goes wrong on it is its peer's matter.
    ///
    /// While it waits for its peer, and only then, it gives way to others.
    pub(crate) fn serve(&self, stream: TcpStream, slot: &Slot) {
        let mut stream = Timed { stream, until: Instant::now() + REQUEST_TIME };
        let response = match http::read_request(&mut stream, evidence::MAX_REQUEST) {
            Ok(request) => {
                slot.hold();
                self.answer(&request)
            }
            Err(e) => match e.status() {
                Some(status) => error(status, &e),
                None => return,
            },
        };
        slot.give_way(&stream.stream);
        let _ = stream.finish(&response);
    }

    /// The response; to HEAD, whatever is asked for, without its body.
    fn answer(&self, request: &Request) -> Response {
        Response { head_only: request.method == "HEAD", ..self.route(request) }
    }

    fn route(&self, request: &Request) -> Response {
        let Some((_, methods)) = ROUTES.iter().find(|(path, _)| *path == request.path) else {
            return error(404, &"There is nothing here; evidence is at POST /attestation.");
        };
        match (request.method.as_str(), request.path.as_str()) {
            ("OPTIONS", _) => Response { allow: Some(methods), ..Response::json(204, Vec::new()) },
            ("POST", evidence::PATH) => self.attest(&request.body),
            ("GET" | "HEAD", HEALTH) => self.health(),
            _ => Response {
                allow: Some(methods),
                ..error(405, &format!("This path answers {methods}, not `{}`.", request.method))
            },
        }
    }

    fn attest(&self, body: &[u8]) -> Response {
        let nonce = match evidence::Request::parse(body) {
            Ok(nonce) => nonce,
            Err(e) => return error(400, &e),
        };
        let user_data = Manifest::user_data(self.manifest.as_ref());
        let document = match self.nsm.attest(&user_data, &nonce) {
            Ok(document) => BASE64.encode(&document),
            Err(e) => return errors(503, chain(&e)),
        };
        let manifest = self.manifest.as_ref().map(|m| m.text.clone());
        json(200, &evidence::Response { document, manifest })
    }

    fn health(&self) -> Response {
        let health = health::of(self.control.status());
        json(if health.ready { 200 } else { 503 }, &health)
    }
}

fn error(status: u16, what: &impl ToString) -> Response {
    errors(status, vec![what.to_string()])
}

fn errors(status: u16, errors: Vec<String>) -> Response {
    json(status, &evidence::ErrorResponse { errors })
}

fn json(status: u16, body: &impl serde::Serialize) -> Response {
    let body =
        serde_json::to_vec(body).expect("plain structs of strings and numbers always have a JSON form");
    Response::json(status, body)
}

/// A connection that ends when its time is over, however slowly its peer sends.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn limit(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        // A timeout of zero means "none" to the socket.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// Sends the response and ends the stream; then reads what the peer still sends, as closing a
    /// socket with unread bytes resets it and could take the response along.
    fn finish(&mut self, response: &Response) -> io::Result<()> {
        self.until = Instant::now() + RESPONSE_TIME;
        self.write_all(&response.to_bytes())?;
        self.stream.shutdown(Shutdown::Write)?;
        self.until = Instant::now() + LINGER_TIME;
        while self.read(&mut [0; 1024])? > 0 {}
        Ok(())
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.limit()?))?;
        self.stream.read(buffer)
    }
}

impl io::Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.limit()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Paths and their methods.
const ROUTES: [(&str, &str); 2] = [(evidence::PATH, "POST, OPTIONS"), (HEALTH, "GET, HEAD, OPTIONS")];

/// Connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 256;
const REQUEST_TIME: Duration = Duration::from_secs(10);
const RESPONSE_TIME: Duration = Duration::from_secs(10);
const LINGER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
