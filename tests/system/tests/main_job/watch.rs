//! `caution verify --watch`.

use super::{HELLO, Running, text};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

#[test]
fn a_watch_tells_changes() {
    let hello = &*HELLO;
    let running = Running::honest();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef\n").unwrap();
    let pcrs = hello.repository.stage("output/enclave.pcrs");
    let url = running.attestation_url();
    let arguments = ["verify", "--json", "--watch", "1", "--exit-on-change", "--pcrs", text(&pcrs)];
    let more = ["--attestation-url", &url, "--webhook", &hook, "--webhook-key", text(key.path())];
    let mut watch = running.machine.command(&hello.repository.root, [&arguments[..], &more].concat());
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut event =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };

    for _ in 0..2 {
        let event = event();
        assert_eq!((&event["changed"], &event["verdict"]["verified"]), (&false.into(), &true.into()));
    }
    running.machine.stop_all();
    // The enclave may still answer a question that was already asked.
    let gone =
        std::iter::repeat_with(&mut event).take(3).find(|event| event["changed"] == true).expect("a change");
    assert_eq!(gone["error"]["kind"], "unreachable");
    let (signature, body) = posted(&mut listener.accept().unwrap().0);
    assert_eq!(watch.wait().unwrap().code(), Some(15));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), gone);
    let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let said = super::shell(
        &hello.repository.root,
        &format!("printf %s '{time}.{body}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef"),
    );
    assert!(said.trim().ends_with(mac) && mac.len() == 64, "{said} {mac}");
}

/// The signature and the body of a request, which is answered.
fn posted(stream: &mut TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "x-caution-signature" => value.clone_into(&mut signature),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    (signature, String::from_utf8(body).unwrap())
}
