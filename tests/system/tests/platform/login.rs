//! `caution login`, against a platform of few words that writes down what it was asked.

use caution_system_tests::command::Machine;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Method, path and token of each request.
type Asked = Arc<Mutex<Vec<String>>>;

#[test]
fn a_program_is_known_once_it_was_let_in_until_it_logs_out() {
    let (machine, asked) = (Machine::new(), Asked::default());
    let url = serve(Arc::clone(&asked));
    let nowhere = machine.caution(Path::new("/"), &["login", "http://platform.example.com"]).expect(2);
    assert!(nowhere.stderr.contains("https://platform.example.com"), "{}", nowhere.stderr);

    let login = machine.caution(Path::new("/"), &["login", &url]).expect(0);
    assert!(login.stderr.contains("http://there/device#ABCD-EFGH"), "{}", login.stderr);
    assert!(login.stdout.contains("ABCD-EFGH"), "{}", login.stdout);
    assert!(login.stdout.contains(&format!("{url} knows you as alice")), "{}", login.stdout);
    let kept = machine.settings().join("login.json");
    assert_eq!(fs::metadata(&kept).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(machine.caution(Path::new("/"), &["apps", "list"]).expect(0).stdout.is_empty());

    let logout = machine.caution(Path::new("/"), &["logout"]).expect(0);
    assert!(logout.stdout.contains(&format!("logged out of {url}")), "{}", logout.stdout);
    assert!(!kept.exists());
    machine.caution(Path::new("/"), &["apps", "list"]).expect(15);
    let asked = asked.lock().expect("nothing panicked").clone();
    let wanted = [
        "POST /v1/device ",
        "POST /v1/device/token ",
        "POST /v1/device/token ",
        "GET /v1/me Bearer caution_secret",
        "GET /v1/apps?limit=100 Bearer caution_secret",
        "DELETE /v1/me/tokens/01a2023e-cbe4-7000-ad59-ba14c4c49f96 Bearer caution_secret",
    ];
    assert_eq!(asked, wanted);
}

/// Returns its address.
fn serve(asked: Asked) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away early is its own matter.
            let _ = answer(stream, &asked);
        }
    });
    url
}

fn answer(stream: TcpStream, asked: &Asked) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut token, mut length) = (String::new(), String::new(), 0);
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => value.clone_into(&mut token),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or_default();
            }
            Some(_) => {}
            None => break,
        }
    }
    io::copy(&mut (&mut stream).take(length), &mut io::sink())?;
    let request = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut asked = asked.lock().expect("nothing panicked");
        let before = asked.iter().filter(|one| one.starts_with(&request)).count();
        asked.push(format!("{request} {token}"));
        before
    };
    let body = body(&request, before);
    let status = if body.is_empty() { "204 No Content" } else { "200 OK" };
    let length = body.len();
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Nobody has decided when it is asked first.
fn body(request: &str, before: usize) -> &'static str {
    match (request, before) {
        ("POST /v1/device", _) => {
            r#"{"device_code": "d", "user_code": "ABCD-EFGH", "url": "http://there/device#ABCD-EFGH", "expires_ms": 1, "interval_s": 1}"#
        }
        ("POST /v1/device/token", 0) => "{}",
        ("POST /v1/device/token", _) => {
            r#"{"made": {"secret": "caution_secret", "token": {"id": "01a2023e-cbe4-7000-ad59-ba14c4c49f96", "name": "caution login", "read_only": false, "created_ms": 1, "expires_ms": 2}}}"#
        }
        ("GET /v1/me", _) => {
            r#"{"account": {"id": "01a2023e-cbe4-7000-ad59-ba14c4c49f97", "name": "alice"}, "organisations": []}"#
        }
        ("GET /v1/apps?limit=100", _) => r#"{"items": []}"#,
        _ => "",
    }
}
