//! The database goes away and comes back.

use crate::database::Cluster;
use crate::scene::Scene;
use caution_server::app::access::Role;
use caution_server::store::Store;
use caution_server::store::token::Scope;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_told_that_the_database_is_away_and_answered_when_it_is_back() {
    let Some(cluster) = Cluster::start() else { return };
    let store = Store::postgres(&cluster.database().await).await.unwrap();
    let scene = Scene::with(tempfile::tempdir().unwrap(), store, None).await;
    let (_, token) = scene.somebody("olga", Some(Role::Owner), Scope::default()).await;
    let wanted = Some(json!({ "name": "hello", "organisation": scene.organisation.uuid() }));
    cluster.end();
    for (method, path, body) in [
        ("GET", "/v1/me", None),
        ("POST", "/v1/apps", wanted.clone()),
        ("GET", "/ready", None),
        ("GET", "/metrics", None),
    ] {
        let answer = scene.ask(method, path, &token, body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("unavailable")), "{path}");
        assert_eq!(answer.json()["message"], "The platform's database does not answer.");
    }
    assert_eq!(scene.ask("GET", "/health", &token, None).await.status, 200);
    cluster.begin();
    assert_eq!(scene.ask("GET", "/ready", &token, None).await.status, 200);
    let made = scene.ask("POST", "/v1/apps", &token, wanted).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
}
