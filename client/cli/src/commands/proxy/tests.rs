use super::*;

#[test]
fn only_this_machine_s_own_addresses_are_listened_on() {
    assert_eq!(parse_listen("8080").unwrap(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(parse_listen("[::1]:0").unwrap(), "[::1]:0".parse().unwrap());
    for bad in ["0.0.0.0:80", "[::]:80", "192.168.1.2:80", "localhost:80", "x", "99999"] {
        assert!(parse_listen(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_speaks_of_a_connection_does_not_pass() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, x-mine"),
        ("x-mine", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("accept", "*/*"),
        ("proxy-authorization", "Basic secret"),
    ] {
        headers.append(name, value.parse().unwrap());
    }
    of_this_connection(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
}
