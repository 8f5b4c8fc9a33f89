//! `caution proxy`: a port on this machine whose requests go into an enclave.

mod door;
mod guard;
mod socket;

use crate::Context;
use crate::enclave::{Trusting, block_on, failure, trust_line};
use crate::error::{CliError, Exit};
use bytes::Bytes;
use caution_sdk::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use caution_sdk::http::{Request, Response, StatusCode, Uri};
use caution_sdk::{Body, Client, Error};
use door::Door;
use guard::Guard;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};

/// Arguments of `caution proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The application: https://your-app.example.com
    url: String,

    /// Where to listen: a port of 127.0.0.1, or another address of this machine's own. 0 takes a free port.
    #[arg(short, long, value_name = "[ADDRESS:]PORT", default_value = "0", value_parser = parse_listen)]
    listen: SocketAddr,

    #[command(flatten)]
    trusting: Trusting,
}

/// Only this machine's own addresses: what comes in is not encrypted.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let address = match text.parse::<u16>() {
        Ok(port) => SocketAddr::from(([127, 0, 0, 1], port)),
        Err(_) => text.parse().map_err(|_| "expected a port, or ADDRESS:PORT".to_owned())?,
    };
    if IpAddr::is_loopback(&address.ip()) {
        Ok(address)
    } else {
        Err("not an address of this machine alone (127.0.0.1 or [::1]); what comes in is not encrypted"
            .into())
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    block_on(async {
        let client = args.trusting.connect(context, &args.url).await?;
        let receipt = client.receipt().await.map_err(|e| failure(&e))?;
        let cannot_listen = |e: std::io::Error| {
            CliError {
                causes: vec![e.to_string()],
                ..CliError::new(Exit::Other, format!("{} cannot be listened on.", args.listen))
            }
            .hint("--listen 0      (takes a free port)")
        };
        let listener = TcpListener::bind(args.listen).await.map_err(cannot_listen)?;
        let local = listener.local_addr().map_err(cannot_listen)?;
        context.terminal.note(&trust_line(&receipt));
        if context.terminal.json {
            context.terminal.json_line(&serde_json::json!({
                "listening": format!("http://{local}"), "receipt": receipt,
            }));
        } else {
            context.terminal.result(&format!("http://{local}\n"));
            context.terminal.note("every program of this machine can use it; ends with Ctrl-C");
        }
        serve(Door::new(listener, context.terminal), &Guard::new(local), &client).await
    })
}

/// Goes on until the program ends.
async fn serve(mut door: Door, guard: &Guard, client: &Client) -> ! {
    loop {
        let (stream, place) = door.next().await;
        let (guard, client) = (guard.clone(), client.clone());
        tokio::spawn(async move {
            connection(stream, &guard, &client).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, guard: &Guard, client: &Client) {
    let switched = Mutex::new(None);
    let service = service_fn(|request| async {
        let (answer, socket) = answer(request, guard, client).await;
        if socket.is_some() {
            *lock(&switched) = socket;
        }
        Ok::<_, Infallible>(answer)
    });
    let served =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    // A connection that breaks is its client's matter: what was cut is cut on both sides.
    drop(served.with_upgrades().await);
    let socket = lock(&switched).take();
    if let Some(socket) = socket {
        socket.relay().await;
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = Response<UnsyncBoxBody<Bytes, Error>>;

/// An answer, and the WebSocket that the connection is after it.
async fn answer(
    request: Request<Incoming>,
    guard: &Guard,
    client: &Client,
) -> (Answer, Option<socket::Socket>) {
    if let Err(why) = guard.check(&request) {
        return (refusal(StatusCode::FORBIDDEN, why, false), None);
    }
    match request.headers().get("upgrade") {
        None => (exchange(request, client).await, None),
        Some(to) if to.as_bytes().eq_ignore_ascii_case(b"websocket") => socket::open(request, client).await,
        Some(_) => {
            let why = "This proxy passes no upgrades but those to WebSockets.";
            (refusal(StatusCode::NOT_IMPLEMENTED, why, false), None)
        }
    }
}

async fn exchange(request: Request<Incoming>, client: &Client) -> Answer {
    let (mut parts, body) = request.into_parts();
    of_this_connection(&mut parts.headers);
    parts.headers.remove("host");
    // Answered here, when the content is first read.
    parts.headers.remove("expect");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = path.parse::<Uri>() else {
        return refusal(StatusCode::BAD_REQUEST, "The path is none.", false);
    };
    parts.uri = uri;
    let has_none = http_body::Body::is_end_stream(&body);
    let body = if has_none { Body::empty() } else { Body::stream(body) };
    match client.execute(Request::from_parts(parts, body)).await {
        Ok(response) => {
            let (mut parts, body) = response.into_parts();
            of_this_connection(&mut parts.headers);
            Response::from_parts(parts, body.boxed_unsync())
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Answer {
    refusal(StatusCode::BAD_GATEWAY, &failure(error).summary(), error.may_have_run())
}

/// Takes away what speaks of one connection: what is named there, and what always does (RFC 9110, section 7.6.1).
fn of_this_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
}

/// What this proxy says itself, which no application said.
fn refusal(status: StatusCode, why: &str, may_have_run: bool) -> Answer {
    let text = serde_json::json!({ "error": why, "may_have_run": may_have_run, "from": "caution proxy" })
        .to_string();
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

const OF_A_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

#[cfg(test)]
mod tests;
