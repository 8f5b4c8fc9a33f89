//! Which request goes where, through everything that happens to enclaves, agent and Caddy.

use crate::support::{Place, Upstream, free_port};
use caution_host::HostError;
use caution_host::ingress::{IngressError, IngressEvent, Routes};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

#[test]
fn requests_reach_the_app_with_what_only_the_proxy_may_say() {
    let place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let claims = [
        "X-Forwarded-For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        // The same to an app behind CGI, WSGI or Rack.
        "X_Forwarded_For: 6.6.6.6",
        "x-forwarded_host: 6.6.6.6",
        "X_FORWARDED-PROTO: 6.6.6.6",
        "X-Real_IP: 6.6.6.6",
    ];
    let claims = claims.map(|claim| ["-H", claim]).concat();
    for version in ["--http1.1", "--http2"] {
        let answer = place.curl("hello", "/a?b=c", &[&claims[..], &[version]].concat());
        assert_eq!(answer.status, Some(200), "{answer:?}");
        assert!(answer.body.starts_with("hello\nGET /a?b=c HTTP/1.1\n"), "{answer:?}");
        assert!(answer.body.contains("X-Forwarded-For: 127.0.0.1\n"), "{answer:?}");
        assert!(answer.body.contains("X-Forwarded-Proto: https\n"), "{answer:?}");
        assert!(
            answer
                .body
                .contains(&format!("X-Forwarded-Host: hello.localhost:{}\n", place.settings.https_port))
        );
        assert!(!answer.body.contains("6.6.6.6") && !answer.body.contains("Accept-Encoding"), "{answer:?}");
        assert!(!answer.head.contains("strict-transport-security"), "{answer:?}");
    }
    // A name that no app has, on a connection of one that has.
    assert_eq!(place.curl("hello", "/", &["-H", "Host: other.localhost"]).status, Some(404));
}

#[test]
fn evidence_and_health_come_from_enclaveos_whatever_the_app_does() {
    let place = Place::new();
    let (mut app, _upstream) = place.app("hello");
    let attestd = Upstream::start(&place.root.path().join("attestd"), "attestd");
    app.attestation = Some(attestd.path.clone());
    for http in [app.spec.http.clone(), None] {
        app.spec.http = http;
        app.upstream = None;
        place.apply(&[&app]);
        for path in ["/attestation", "/.well-known/caution/health"] {
            let answer = place.curl("hello", path, &["-d", "{}"]);
            assert!(answer.body.starts_with(&format!("attestd\nPOST {path} ")), "{answer:?}");
            assert!(answer.body.contains("Content-Length: 2\n"), "{answer:?}");
        }
        let expected = if app.spec.http.is_some() { 503 } else { 404 };
        assert_eq!(place.curl("hello", "/attestation/x", &[]).status, Some(expected));
    }
    let long = place.root.path().join("long");
    std::fs::write(&long, vec![b' '; 100_000]).unwrap();
    let answer = place.curl("hello", "/attestation", &["--data-binary", &format!("@{}", long.display())]);
    assert_eq!(answer.status, Some(413), "{answer:?}");
}

#[test]
fn plain_http_leads_to_https_and_never_to_the_app() {
    let place = Place::new();
    let (app, upstream) = place.app("hello");
    place.apply(&[&app]);
    let plain = |host: &str| {
        let url = format!("http://{host}:{}/a?b=c", place.settings.http_port);
        let output = std::process::Command::new("curl").args(["-s", "-i", &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = plain("hello.localhost");
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    let target = format!("Location: https://hello.localhost:{}/a?b=c\r\n", place.settings.https_port);
    assert!(answer.contains(&target), "{answer}");
    assert!(plain("127.0.0.1").starts_with("HTTP/1.1 404 "));
    assert!(upstream.seen.try_recv().is_err());
}

#[test]
fn an_enclave_that_boots_ends_or_is_replaced_disturbs_no_other() {
    let place = Place::new();
    let (other, _other_upstream) = place.app("other");
    let (mut app, _first) = place.app("hello");
    let second = Upstream::start(&place.root.path().join("second"), "second");
    app.upstream = None;
    place.apply(&[&other, &app]);
    let mut socket = place.connect("other");
    socket.upgrade("other");

    let answer = place.curl("hello", "/", &["-d", "order"]);
    assert_eq!(answer.status, Some(503), "{answer:?}");
    assert!(answer.head.contains("retry-after: 2") && answer.head.contains("application/problem+json"));
    assert_eq!(
        answer.body,
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"The enclave of \
         hello does not answer at the moment: it is starting, or it ended.\"}\n"
    );
    for (socket_path, name) in [("hello.sock", "hello"), ("second", "second"), ("hello.sock", "hello")] {
        app.upstream = Some(place.root.path().join(socket_path));
        place.apply(&[&other, &app]);
        let answer = place.curl("hello", "/", &[]);
        assert!(answer.body.starts_with(&format!("{name}\n")), "{answer:?}");
    }
    drop(second);
    // It is said to be there, and is not.
    app.upstream = Some(place.root.path().join("nobody"));
    place.apply(&[&other, &app]);
    assert_eq!(place.curl("hello", "/", &["-d", "order"]).status, Some(503));
    assert!(socket.echoes("still here"), "a WebSocket of another app was closed");
}

#[test]
fn what_may_have_been_carried_out_is_not_called_undone() {
    let place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let answer = place.curl("hello", "/break", &[]);
    assert_eq!(answer.status, Some(503), "{answer:?}");
    assert!(answer.head.contains("retry-after: 2"), "{answer:?}");
    let answer = place.curl("hello", "/break", &["-d", "order"]);
    assert_eq!(answer.status, Some(502), "{answer:?}");
    assert!(answer.body.contains("the request may have been carried out"), "{answer:?}");
    assert!(!answer.head.contains("retry-after"), "{answer:?}");
}

#[test]
fn a_caddy_that_is_killed_comes_back_with_its_routes() {
    let place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let root = std::fs::read(place.settings.local_root());
    assert!(matches!(place.events.recv().unwrap(), IngressEvent::Started { .. }));
    for _ in 0..2 {
        let pid = place.ingress().state().pid.unwrap();
        kill(pid);
        let event = place.events.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(
            matches!(&event, IngressEvent::Restarted { ended, .. } if ended.contains("signal: 9")),
            "{event}"
        );
        assert_ne!(place.ingress().state().pid.unwrap(), pid);
        assert_eq!(place.curl("hello", "/", &[]).status, Some(200));
    }
    assert_eq!(std::fs::read(place.settings.local_root()).ok(), root.ok(), "the local root is another one");
    assert!(place.events.try_recv().is_err(), "one line for each end");
}

#[test]
fn the_next_agent_finds_caddy_and_its_routes() {
    let mut place = Place::new();
    let (app, _upstream) = place.app("hello");
    place.apply(&[&app]);
    let mut socket = place.connect("hello");
    socket.upgrade("hello");
    let pid = place.ingress().state().pid.unwrap();

    place.another_agent();
    assert!(
        matches!(place.events.recv().unwrap(), IngressEvent::Adopted { pid: Some(found) } if found == pid)
    );
    assert_eq!(place.curl("hello", "/", &[]).status, Some(200));
    place.apply(&[&app]);
    assert!(socket.echoes("still here"), "the same routes disturbed a connection");

    kill(pid);
    let event = place.events.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(event, IngressEvent::Restarted { .. }), "{event}");
    assert_eq!(place.curl("hello", "/", &[]).status, Some(200));
}

#[test]
fn a_taken_port_is_named_and_what_was_reachable_stays_so() {
    let port = free_port();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let place = Place::with(|settings| settings.https_port = port);
    let (app, _upstream) = place.app("hello");
    let routes = Routes { apps: vec![app] };
    let error = place.ingress().apply(&routes).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Another program listens on 127.0.0.1:{port}, where apps are to be reached.")
    );
    assert!(error.fix().unwrap().contains("configure another port"));
    drop(taken);
    place.ingress().apply(&routes).unwrap();
    assert_eq!(place.curl("hello", "/", &[]).status, Some(200));
    // Two apps of one name are refused before Caddy hears of them.
    let twice = Routes { apps: [routes.apps.clone(), routes.apps.clone()].concat() };
    assert!(matches!(place.ingress().apply(&twice), Err(IngressError::Host(HostError::HostTwice { .. }))));
    assert_eq!(place.curl("hello", "/", &[]).status, Some(200));
}

#[test]
fn addresses_outside_the_ingress_rules_are_refused() {
    let place = Place::new();
    let (mut app, upstream) = place.app("hello");
    let rule = |from: &str, port: u16| caution_host::ingress::Rule {
        from: from.parse().unwrap(),
        ports: port..=port,
    };
    for (rules, expected) in [
        (vec![rule("10.0.0.0/8", 8080)], 403),
        (vec![rule("0.0.0.0/0", 9000)], 403),
        (vec![rule("10.0.0.0/8", 8080), rule("127.0.0.0/8", 8080)], 200),
        (vec![rule("0.0.0.0/0", 8080)], 200),
    ] {
        app.spec.rules = rules;
        place.apply(&[&app]);
        let answer = place.curl("hello", "/", &["-H", "X-Forwarded-For: 10.0.0.1"]);
        assert_eq!(answer.status, Some(expected), "{answer:?}");
        if expected == 403 {
            assert!(answer.body.contains("hello does not let 127.0.0.1 in"), "{answer:?}");
            assert!(upstream.seen.try_recv().is_err());
        }
        // Evidence is for whoever can ask for it.
        assert_eq!(place.curl("hello", "/attestation", &[]).status, Some(200));
        while upstream.seen.try_recv().is_ok() {}
    }
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}
