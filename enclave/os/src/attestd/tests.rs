//! attestd over loopback, with a security module that answers with the request it was sent.

use super::*;
use crate::phase::Input;
use crate::serve::Slots;
use caution_abi::control::Phase;
use caution_abi::health::Health;
use caution_abi::nsm;
use caution_enclave_sys::nsm::NsmError;
use caution_measure::{Nonce, Sha256Digest};
use std::net::TcpListener;
use std::thread;

struct Echo;

impl Nsm for Echo {
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, NsmError> {
        Ok(nsm::Response::Attestation { document: request.to_vec() }.to_bytes())
    }
}

struct Broken;

impl Nsm for Broken {
    fn exchange(&self, _request: &[u8]) -> Result<Vec<u8>, NsmError> {
        Ok(nsm::Response::Error("InternalError".into()).to_bytes())
    }
}

const MANIFEST: &str = "{\"version\": \"2\"}";

fn attestd(nsm: impl Nsm + 'static, manifest: bool) -> Attestd {
    let manifest = manifest.then(|| Manifest::new(MANIFEST.into()).unwrap());
    Attestd::new(Arc::new(nsm), manifest, Arc::new(Control::new()))
}

fn request(method: &str, path: &str, body: &[u8]) -> Request {
    Request { method: method.into(), path: path.into(), body: body.into() }
}

fn body_for(nonce: &Nonce) -> Vec<u8> {
    serde_json::to_vec(&evidence::Request::new(nonce)).unwrap()
}

fn errors_of(response: &Response) -> Vec<String> {
    serde_json::from_slice::<evidence::ErrorResponse>(&response.body).unwrap().errors
}

#[test]
fn evidence_holds_the_nonce_and_the_manifest_and_nothing_else_of_the_callers() {
    let nonce = Nonce::new([7; 32]);
    for (with_manifest, digest) in [(true, Some(Sha256Digest::of(MANIFEST.as_bytes()))), (false, None)] {
        let response =
            attestd(Echo, with_manifest).answer(&request("POST", "/attestation", &body_for(&nonce)));
        assert_eq!(response.status, 200);
        let answer: evidence::Response = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(answer.manifest.map(|m| m.get().to_owned()).as_deref(), with_manifest.then_some(MANIFEST));
        let sent = BASE64.decode(answer.document.as_bytes()).unwrap();
        let user_data = evidence::UserData { manifest_sha256: digest }.to_bytes();
        let expected = nsm::Request::Attestation {
            user_data: Some(&user_data),
            nonce: Some(nonce.as_bytes()),
            public_key: None,
        };
        assert_eq!(nsm::Request::from_bytes(&sent), Ok(expected));
    }
}

#[test]
fn a_caller_cannot_bring_user_data() {
    for body in [&b"{}"[..], br#"{"nonce":"AA==","user_data":"AA=="}"#, b"", b"[1]"] {
        let response = attestd(Echo, false).answer(&request("POST", "/attestation", body));
        assert_eq!(response.status, 400);
        assert_eq!(errors_of(&response), ["The body is not a JSON object with the one key `nonce`."]);
    }
    let response = attestd(Echo, false).answer(&request("POST", "/attestation", br#"{"nonce":"AA=="}"#));
    assert_eq!(errors_of(&response), ["`nonce` is not the standard base64 of 32 bytes."]);
}

#[test]
fn a_broken_module_is_said_with_its_reason() {
    let response =
        attestd(Broken, true).answer(&request("POST", "/attestation", &body_for(&Nonce::new([1; 32]))));
    assert_eq!(response.status, 503);
    assert_eq!(errors_of(&response), ["the security module refused: InternalError"]);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let attestd = attestd(Echo, false);
    assert_eq!(attestd.answer(&request("GET", "/", b"")).status, 404);
    for (method, path, allow) in [
        ("GET", "/attestation", "POST, OPTIONS"),
        ("POST", HEALTH, "GET, HEAD, OPTIONS"),
        ("PUT", HEALTH, "GET, HEAD, OPTIONS"),
    ] {
        let response = attestd.answer(&request(method, path, b""));
        assert_eq!((response.status, response.allow), (405, Some(allow)));
        assert_eq!(errors_of(&response), [format!("This path answers {allow}, not `{method}`.")]);
    }
    let preflight = attestd.answer(&request("OPTIONS", "/attestation", b""));
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
}

#[test]
fn health_follows_the_phase() {
    let attestd = attestd(Echo, false);
    for (input, status, phase) in [
        (None, 503, Phase::Booting),
        (Some(Input::Started), 503, Phase::Starting),
        (Some(Input::Held), 200, Phase::Ready),
        (Some(Input::Retry), 503, Phase::BackingOff),
    ] {
        assert!(input.is_none_or(|input| attestd.control.advance(input)));
        let answer = attestd.answer(&request("GET", HEALTH, b""));
        assert_eq!((answer.status, answer.content_type), (status, "application/json"));
        let health: Health = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((health.phase, health.ready), (phase, status == 200));
        let head = attestd.answer(&request("HEAD", HEALTH, b""));
        assert_eq!((head.status, head.head_only), (status, true));
    }
}

/// What comes back over a real connection.
fn exchange(text: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    let service = thread::spawn(move || {
        let slot = Slots::new(1).take(&server);
        attestd(Echo, true).serve(server, &slot);
    });
    client.write_all(text).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    drop(client);
    service.join().unwrap();
    answer
}

#[test]
fn a_connection_is_answered_and_ended() {
    let body = body_for(&Nonce::new([9; 32]));
    let head = format!("POST /attestation HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = exchange(&[head.as_bytes(), &body].concat());
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\"manifest\":{MANIFEST}}}")), "{answer}");
    // The answer arrives whole although the request was not read to its end.
    let answer = exchange(
        &[b"POST /attestation HTTP/1.1\r\nContent-Length: 99999\r\n\r\n".as_slice(), &vec![b'x'; 50_000]]
            .concat(),
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(exchange(b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

/// Slow-loris: more connections than there are slots, which send half a request and then nothing.
#[test]
fn a_verifier_is_answered_while_a_flood_of_half_open_connections_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let service = Arc::new(attestd(Echo, false));
    thread::spawn(move || {
        crate::serve::serve(&listener.into(), &Slots::new(8), move |stream, slot| service.serve(stream, slot))
    });
    let half_open = || {
        let mut stream = TcpStream::connect(address).unwrap();
        // One that was given up meanwhile is part of the flood, too.
        let _ = stream.write_all(b"POST /attestation HTTP/1.1\r\nContent-Len");
        stream
    };
    let mut flood = Vec::new();
    for round in 0..4 {
        flood.extend((0..50).map(|_| half_open()));
        let mut verifier = TcpStream::connect(address).unwrap();
        let body = body_for(&Nonce::new([round; 32]));
        let head = format!("POST /attestation HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        verifier.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut answer = String::new();
        verifier.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}
