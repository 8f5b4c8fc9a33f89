//! Who is known, how often, and by which name of the server.

use crate::scene::Scene;
use caution_server::app::access::Role;
use caution_server::local;
use caution_server::store::token::Scope;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn only_this_listeners_own_name_is_answered() {
    let scene = Scene::new().await;
    let port = scene.address().port();
    let (_, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("127.0.0.1".to_owned(), 403),
        (format!("evil.example:{port}"), 403),
        (format!("127.0.0.1.evil.example:{port}"), 403),
    ] {
        let head = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\n");
        assert_eq!(scene.ask_with("GET", "/v1/me", &head, None).await.status, status, "{host}");
        assert_eq!(scene.ask_with("GET", "/health", &head, None).await.status, status, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_is_revoked_and_others_are_nobody() {
    let scene = Scene::new().await;
    let (_, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let made = scene.ask("POST", "/v1/me/tokens", &token, Some(json!({ "name": "ci" }))).await.json();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["token"]["id"].as_str().unwrap());
    assert_eq!(scene.ask("GET", "/v1/me", secret, None).await.json()["account"]["name"], "owner");
    assert_eq!(scene.ask("DELETE", &format!("/v1/me/tokens/{id}"), &token, None).await.status, 204);
    for nobody in [secret, "caution_", "x", &format!("caution_{}", "A".repeat(43)), &"A".repeat(3000)] {
        let refused = scene.ask("GET", "/v1/me", nobody, None).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("unauthenticated")));
        assert!(refused.json()["request_id"].is_string() && refused.head.contains("x-request-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_to_wait() {
    let scene = Scene::new().await;
    // The bucket fills while this asks, more slowly than it is emptied.
    for _ in 0..5000 {
        let refused = scene.ask("GET", "/v1/me", "", None).await;
        if refused.status == 429 {
            assert_eq!(refused.json()["code"], "rate_limited");
            return;
        }
        assert_eq!(refused.status, 401);
    }
    panic!("5,000 requests were answered");
}

/// A request that is repeated because its answer was lost is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_a_request_be_done_once() {
    let scene = Scene::new().await;
    let (_, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let ask = async |key: &str, path: &str, body: serde_json::Value| {
        let head = format!("Authorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n");
        scene.ask_with("POST", path, &head, Some(body)).await
    };
    let first = ask("one", "/v1/apps", json!({ "name": "hello" })).await;
    let again = ask("one", "/v1/apps", json!({ "name": "hello" })).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    let other = ask("one", "/v1/apps", json!({ "name": "other" })).await;
    assert_eq!((other.status, other.json()["code"].clone()), (409, json!("key_reused")));
    assert_eq!(ask("two", "/v1/apps", json!({ "name": "hello" })).await.json()["code"], "name_taken");
    // What is shown once is not shown twice.
    assert_eq!(ask("three", "/v1/me/tokens", json!({ "name": "ci" })).await.status, 201);
    let twice = ask("three", "/v1/me/tokens", json!({ "name": "ci" })).await;
    assert_eq!((twice.status, twice.json()["code"].clone()), (409, json!("key_reused")));
    assert_eq!(ask("", "/v1/apps", json!({ "name": "x" })).await.status, 400);
}

/// A platform that was one machine's user's and is opened to people: what that user's file says opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn this_machines_token_ends_where_people_sign_in() {
    let scene = Scene::of_people().await;
    let token = local::sign_in(&scene.store).await.unwrap();
    std::fs::write(scene.data.local(), "{}").unwrap();
    assert_eq!(scene.ask("GET", "/v1/me", &token, None).await.status, 200);
    for _ in 0..2 {
        local::sign_out(&scene.store, &scene.data).await.unwrap();
        assert_eq!(scene.ask("GET", "/v1/me", &token, None).await.status, 401);
        assert!(!scene.data.local().exists());
    }
}
