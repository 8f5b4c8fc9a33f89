//! Clients that are slow, or send too much, and those that only live long.

use crate::support::Place;
use std::time::Duration;

#[test]
fn too_long_headers_are_refused() {
    let place = Place::new();
    let (app, upstream) = place.app("hello");
    place.apply(&[&app]);
    place.curl("hello", "/", &[]);
    while upstream.seen.try_recv().is_ok() {}
    let header = format!("X-Long: {}", "a".repeat(60_000));
    let answer = place.curl("hello", "/", &["--http1.1", "-H", &header]);
    assert_eq!(answer.status, Some(431), "{answer:?}");
    let answer = place.curl("hello", "/", &["--http2", "-H", &header]);
    assert!(answer.status.is_none() || answer.status == Some(431), "{answer:?}");
    assert!(upstream.seen.try_recv().is_err(), "it was passed on");
}

#[test]
fn a_client_that_never_finishes_its_request_is_left_and_one_that_lives_long_is_not() {
    let place = Place::with(|settings| settings.header_limit = Duration::from_millis(500));
    let (app, upstream) = place.app("hello");
    place.apply(&[&app]);
    let mut long = place.connect("hello");
    long.upgrade("hello");
    let mut slow = place.connect("hello");
    slow.send("GET / HTTP/1.1\r\nHost: hello.localhost\r\nX-Slow: ");
    while upstream.seen.try_recv().is_ok() {}
    // A connection that says nothing at all, not even for TLS.
    let mut silent = std::net::TcpStream::connect(("127.0.0.1", place.settings.https_port)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(std::io::Read::read(&mut silent, &mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(slow.rest(), "");
    assert!(upstream.seen.try_recv().is_err(), "half a request was passed on");
    assert!(long.echoes("still here"));
}
