use super::*;
use std::io::{BufRead, Read};

/// A server of its own, on any port.
fn server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Arc::new(App::default());
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| accept(&app, stream)));
    address
}

fn send(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    stream
}

/// Status and content of an answer.
fn ask(address: std::net::SocketAddr, request: &str) -> (String, String) {
    let mut answer = String::new();
    send(address, request).read_to_string(&mut answer).expect("answers");
    let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), content.to_owned())
}

#[test]
fn notes_and_files_are_kept_listed_and_removed() {
    let address = server();
    let (status, content) = ask(address, "POST /notes HTTP/1.1\r\ncontent-length: 6\r\n\r\nsecret");
    assert_eq!((status.as_str(), content.as_str()), ("201", r#"{"id":1}"#));
    let file =
        "POST /files?name=a%20b.txt HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(ask(address, file).0, "201");
    let list = ask(address, "GET /notes HTTP/1.1\r\n\r\n").1;
    assert_eq!(list, r#"[{"id":1,"text":"secret"},{"id":2,"file":"a b.txt","bytes":3}]"#);
    assert_eq!(ask(address, "GET /files/2 HTTP/1.1\r\n\r\n").1, "abc");
    assert_eq!(ask(address, "DELETE /notes/1 HTTP/1.1\r\n\r\n").0, "200");
    assert_eq!(ask(address, "DELETE /notes/1 HTTP/1.1\r\n\r\n").0, "404");
}

#[test]
fn a_page_begins_and_what_is_wrong_is_told() {
    let address = server();
    for path in ["/", "/register.js", "/enclave-sw.js"] {
        assert_eq!(ask(address, &format!("GET {path} HTTP/1.1\r\n\r\n")).0, "200");
        let (status, content) = ask(address, &format!("HEAD {path} HTTP/1.1\r\n\r\n"));
        assert_eq!((status.as_str(), content.as_str()), ("200", ""));
    }
    for (request, expected) in [
        ("GET /elsewhere HTTP/1.1\r\n\r\n", "404"),
        ("GET /files/1 HTTP/1.1\r\n\r\n", "404"),
        ("POST /notes HTTP/1.1\r\ncontent-length: 1\r\n\r\n ", "400"),
        ("POST /notes HTTP/1.1\r\ncontent-length: 99999\r\n\r\n", "413"),
        ("POST /files HTTP/1.1\r\ncontent-length: 1\r\n\r\nx", "400"),
        ("POST /files?name=x HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", "413"),
        ("GET /drafts HTTP/1.1\r\n\r\n", "426"),
        ("hello\r\n\r\n", "400"),
    ] {
        let (status, content) = ask(address, request);
        assert_eq!(status, expected, "{request}");
        assert!(content.starts_with(r#"{"error":""#), "{content}");
    }
}

#[test]
fn who_watches_is_told_at_once() {
    let address = server();
    let mut events = BufReader::new(send(address, "GET /events HTTP/1.1\r\n\r\n"));
    let mut next = || loop {
        let mut line = String::new();
        assert!(events.read_line(&mut line).expect("reads") > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return data.trim_end().to_owned();
        }
    };
    assert_eq!(next(), "[]");
    assert_eq!(ask(address, "POST /notes HTTP/1.1\r\ncontent-length: 6\r\n\r\nsecret").0, "201");
    assert_eq!(next(), r#"{"id":1,"text":"secret"}"#);
}
