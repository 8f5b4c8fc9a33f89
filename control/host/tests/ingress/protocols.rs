//! Protocols, each with a client of its own kind.

use crate::support::{Place, spec};
use caution_host::ingress::Protocol;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

#[test]
fn websockets_carry_bytes_both_ways_as_they_come() {
    let place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let mut socket = place.connect("hello");
    socket.upgrade("hello");
    for text in ["a", "bc", "a longer one\r\n\r\n"] {
        assert!(socket.echoes(text));
    }
}

#[test]
fn events_arrive_one_by_one_while_other_apps_come_and_go() {
    for version in ["--http1.1", "--http2"] {
        let place = Place::new();
        let (app, upstream) = place.app("hello");
        place.apply(&[&app]);
        place.curl("hello", "/", &[]);
        let mut client = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "30", version, "--cacert"])
            .arg(place.settings.local_root())
            .arg(format!("https://hello.localhost:{}/events", place.settings.https_port))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut events = BufReader::new(client.stdout.take().unwrap());
        let (other, _other_upstream) = place.app("other");
        for apps in [vec![&app], vec![&app, &other], vec![&app]] {
            // Another app comes and goes meanwhile.
            place.apply(&apps);
            // The next one is sent only when this one arrived.
            upstream.next_event.send(()).unwrap();
            let mut line = String::new();
            events.read_line(&mut line).unwrap();
            assert_eq!(line, "data: {\"n\":1}\n");
        }
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn request_bodies_are_passed_on_while_they_are_sent() {
    let place = Place::new();
    let (app, upstream) = place.app("hello");
    place.apply(&[&app]);
    place.curl("hello", "/", &[]);
    let mut client = Command::new("curl")
        .args(["--silent", "--no-buffer", "-X", "POST", "-T", ".", "--cacert"])
        .arg(place.settings.local_root())
        .arg(format!("https://hello.localhost:{}/body", place.settings.https_port))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = client.stdin.take().unwrap();
    to.write_all(b"first").unwrap();
    upstream.await_seen("body 5|first|");
    to.write_all(b"second").unwrap();
    upstream.await_seen("body 6|second|");
    drop(to);
    let output = client.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("hello\nPOST /body"));
}

#[test]
fn grpc_calls_and_streams_reach_an_app_that_speaks_h2c() {
    let place = Place::new();
    let (mut app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    place.curl("hello", "/", &[]);
    let socket = place.root.path().join("grpc");
    let mut server = Killed(grpc(&["serve", socket.to_str().unwrap()]).spawn().unwrap());
    let mut ready = [0; 6];
    server.0.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    app.spec = spec(Protocol::H2c);
    app.upstream = Some(socket);
    place.apply(&[&app]);
    let port = place.settings.https_port.to_string();
    let call = grpc(&["call", &port, place.settings.local_root().to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&call.stdout).into_owned();
    assert_eq!(said, "one: echo hi\nmany: a b c\nstatus: INTERNAL on purpose\n", "{call:?}");

    app.upstream = None;
    place.apply(&[&app]);
    drop(server);
    let call = grpc(&["call", &port, place.settings.local_root().to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&call.stderr).contains("UNAVAILABLE"), "{call:?}");
}

#[test]
fn a_browser_comes_by_http_3() {
    let place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let answer = place.curl("hello", "/page", &[]);
    assert!(answer.head.contains(&format!("alt-svc: h3=\":{}\"", place.settings.https_port)), "{answer:?}");
    let profile = place.root.path().join("profile");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        // Not by IPv6, where this Caddy does not listen.
        .arg("--host-resolver-rules=MAP hello.localhost 127.0.0.1")
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--origin-to-force-quic-on=hello.localhost:{}", place.settings.https_port))
        // A browser takes authorities that its user added, for QUIC too, but only so.
        .arg(format!("--ignore-certificate-errors-spki-list={}", leaf_key_hash(&place)))
        .arg(format!("https://hello.localhost:{}/page", place.settings.https_port))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("came by h3"), "{page}{}", String::from_utf8_lossy(&output.stderr));
}

/// SHA-256 of the leaf's public key, base64, as Chromium wants it.
fn leaf_key_hash(place: &Place) -> String {
    let leaf =
        place.settings.state.join("certificates/certificates/local/hello.localhost/hello.localhost.crt");
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der \
                  | openssl dgst -sha256 -binary | openssl base64 -A";
    let output = Command::new("sh").args(["-c", script]).arg(leaf).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn grpc(args: &[&str]) -> Command {
    // Debian's Python, which has Debian's grpc.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ingress/grpc_echo.py")).args(args);
    command.stdout(Stdio::piped());
    command
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
