//! Images, logs, events.

use crate::scene::Scene;
use caution_server::app::access::Role;
use caution_server::store::event;
use caution_server::store::token::Scope;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_can_be_had_in_parts() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let app = scene.app("shop", owner).await;
    let path = format!("/v1/apps/{}/releases/1/image", app.id);
    let ask = async |further: &str| {
        let head = format!("Authorization: Bearer {token}\r\n{further}");
        scene.ask_with("GET", &path, &head, None).await
    };
    let whole = ask("").await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, b"image of shop".as_slice()));
    for field in [
        "content-length: 13",
        "accept-ranges: bytes",
        "content-disposition: attachment; filename=\"shop-1.eif\"",
        "repr-digest: sha-256=:",
    ] {
        assert!(whole.head.contains(field), "{}", whole.head);
    }
    let part = ask("Range: bytes=6-7\r\n").await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"of".as_slice()));
    assert!(part.head.contains("content-range: bytes 6-7/13"));
    assert_eq!(ask("Range: bytes=13-\r\n").await.status, 416);
    // Of another file than the one that was begun, the whole is sent.
    let other = ask("Range: bytes=6-7\r\nIf-Range: \"other\"\r\n").await;
    assert_eq!((other.status, other.body.len()), (200, 13));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_until_its_job_has_ended() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let app = scene.app("shop", owner).await;
    let path = |query: &str| format!("/v1/apps/{}/jobs/2/log{query}", app.id);
    for (query, text) in [("", "one\ntwo\n"), ("?from=4", "two\n"), ("?follow=true&from=0", "one\ntwo\n")] {
        let log = scene.ask("GET", &path(query), &token, None).await;
        assert_eq!(log.status, 200);
        assert!(String::from_utf8_lossy(&log.body).contains(text), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let app = scene.app("shop", owner).await;
    let list = scene.ask("GET", &format!("/v1/apps/{}/events", app.id), &token, None).await.json();
    let known = list["items"][0]["id"].as_str().unwrap();
    let stream = async {
        let head = format!("Authorization: Bearer {token}\r\nLast-Event-ID: {known}\r\n");
        scene.ask_with("GET", &format!("/v1/apps/{}/events/stream", app.id), &head, None).await
    };
    let happens = async {
        let mut change = scene.store.change().await.unwrap();
        event::add(&mut change, app.id, "live", "release 1 serves").await.unwrap();
        change.commit().await.unwrap();
        scene.bell.ring();
    };
    let (answer, ()) = tokio::join!(stream, happens);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("\"kind\":\"live\"") && text.contains("id: "), "{text}");
}

/// Who was removed, or whose token was revoked, hears nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_what_they_were_opened_by() {
    for by_member in [false, true] {
        let scene = Scene::of_people().await;
        let (owner, whole) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
        let (member, _) = scene.somebody("member", Some(Role::Member), Scope::default()).await;
        let member_browser = scene.browser(member).await;
        let made =
            scene.browse(&member_browser, "POST", "/v1/me/tokens", Some(json!({ "name": "ci" }))).await;
        let (secret, id) = (made.json()["secret"].clone(), made.json()["token"]["id"].clone());
        let app = scene.app("shop", owner).await;
        let events = format!("/v1/apps/{}/events/stream", app.id);
        let log = format!("/v1/apps/{}/jobs/3/log?follow=true", app.id);
        let secret = secret.as_str().unwrap();
        let (mut events, mut log) = (scene.stream(&events, secret).await, scene.stream(&log, secret).await);
        let ended = if by_member {
            let path = format!("/v1/organisations/{}/members/{member}", scene.organisation);
            scene.ask("DELETE", &path, &whole, None).await
        } else {
            let path = format!("/v1/me/tokens/{}", id.as_str().unwrap());
            scene.browse(&member_browser, "DELETE", &path, None).await
        };
        assert_eq!(ended.status, 204);
        // To their ends, which come.
        let mut rest = Vec::new();
        events.read_to_end(&mut rest).await.unwrap();
        log.read_to_end(&mut rest).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_already_is_not_sent_again() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let app = scene.app("hello", owner).await;
    for what in ["releases/1", "jobs/2"] {
        let path = format!("/v1/apps/{}/{what}", app.id);
        let ask = async |head: &str| {
            let head = format!("Authorization: Bearer {token}\r\n{head}");
            scene.ask_with("GET", &path, &head, None).await
        };
        let first = ask("").await;
        assert_eq!(
            (first.status, &first.json()["number"]),
            (200, &json!(path[path.len() - 1..].parse::<i64>().unwrap()))
        );
        let etag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
        let again = ask(&format!("If-None-Match: \"x\", W/{etag}\r\n")).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(ask("If-None-Match: \"x\"\r\n").await.status, 200);
    }
}

/// What `apps logs` shows of an app on this machine, by the API.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_writes_is_told_from_its_last_lines_on() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let app = scene.app("hello", owner).await;
    let path = |query: &str| format!("/v1/apps/{}/logs{query}", app.id);
    let ask = async |query: &str| scene.ask("GET", &path(query), &token, None).await;
    assert_eq!((ask("").await.status, ask("").await.body), (200, Vec::new()));
    let line = |at: u64, event: serde_json::Value| {
        let mut line = event;
        line["unix_ms"] = json!(at);
        format!("{line}\n")
    };
    let wrote = |at: u64, text: &str| {
        let log = json!({ "event": "log", "stream": "stdout", "unix_ms": at, "line": text });
        line(at, json!({ "kind": "enclave", "value": log }))
    };
    let logs = scene.host().state.join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let ended = line(9, json!({ "kind": "ended", "value": { "kind": "stopped" } }));
    let text = [line(1, json!({ "kind": "booting" })), wrote(2, "one"), wrote(3, "two"), ended].concat();
    std::fs::write(logs.join("hello.jsonl"), text).unwrap();
    let said = |answer: crate::scene::Answer| {
        let text = String::from_utf8(answer.body).unwrap();
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].clone();
        // In between stand the lengths of chunks.
        text.lines().filter(|line| line.starts_with('{')).map(line).collect::<Vec<_>>()
    };
    assert_eq!(said(ask("").await), ["one", "two", "The enclave was stopped."]);
    assert_eq!(said(ask("?lines=2").await), ["two", "The enclave was stopped."]);
    assert_eq!(said(ask("?lines=0").await), Vec::<serde_json::Value>::new());
    assert_eq!(ask("?lines=10001").await.status, 400);
}
