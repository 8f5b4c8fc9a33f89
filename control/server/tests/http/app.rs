//! Apps and their jobs.

use crate::scene::Scene;
use caution_server::app::access::Role;
use caution_server::store::token::Scope;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_from_its_creation_to_its_end() {
    let scene = Scene::new().await;
    let (owner, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let made = scene.ask("POST", "/v1/apps", &token, Some(json!({ "name": "hello" }))).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!((&made["state"], &made["deploy_branch"]), (&json!("empty"), &json!("main")));
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["git_url"], format!("ssh://git@127.0.0.1:7222/{id}.git"));
    for wrong in ["Hello", "../x", "", "a.b"] {
        let refused = scene.ask("POST", "/v1/apps", &token, Some(json!({ "name": wrong }))).await;
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (400, json!("invalid_request")),
            "{wrong}"
        );
    }
    let unknown = scene.ask("POST", "/v1/apps", &token, Some(json!({ "name": "a", "nmae": "b" }))).await;
    assert_eq!((unknown.status, unknown.json()["code"].clone()), (400, json!("invalid_request")));

    let app = scene.app("shop", owner).await;
    let at = format!("/v1/apps/{}", app.id);
    assert_eq!(scene.ask("POST", &format!("{at}/start"), &token, None).await.status, 409);
    scene.deployed(&app).await;
    let live = scene.ask("GET", &at, &token, None).await.json();
    assert_eq!((&live["state"], &live["live_release"]), (&json!("live"), &json!(1)));
    let config = scene.ask("GET", &format!("{at}/config"), &token, None).await.json();
    assert_eq!((&config["release"], &config["manifest"]), (&json!(1), &json!({})));
    let never = format!("/v1/apps/{id}/config");
    assert_eq!(scene.ask("GET", &never, &token, None).await.json()["code"], "conflict");
    let job = scene.ask("POST", &format!("{at}/restart"), &token, None).await.json();
    assert_eq!(
        (&job["kind"], &job["phase"], &job["release"]),
        (&json!("deploy"), &json!("queued"), &json!(1))
    );
    let cancel = format!("{at}/jobs/{}/cancel", job["number"]);
    assert_eq!(scene.ask("POST", &cancel, &token, None).await.json()["phase"], "cancelled");
    assert_eq!(scene.ask("POST", &cancel, &token, None).await.json()["code"], "conflict");
    let both = json!({ "commit": "a".repeat(40), "release": 1 });
    assert_eq!(scene.ask("POST", &format!("{at}/jobs"), &token, Some(both)).await.status, 400);
    let none = json!({ "release": 2 });
    assert_eq!(scene.ask("POST", &format!("{at}/jobs"), &token, Some(none)).await.status, 404);

    let renamed = scene.ask("PATCH", &at, &token, Some(json!({ "name": "store" }))).await.json();
    assert_eq!(renamed["name"], "store");
    let refused = scene.ask("PATCH", &at, &token, Some(json!({ "name": "hello" }))).await.json();
    assert_eq!(refused["code"], "name_taken");

    let destroy = |confirm: &str| format!("{at}?confirm={confirm}");
    assert_eq!(scene.ask("DELETE", &destroy("shop"), &token, None).await.json()["code"], "not_confirmed");
    let job = scene.ask("DELETE", &destroy("store"), &token, None).await;
    assert_eq!((job.status, job.json()["kind"].clone()), (202, json!("destroy")));
    assert_eq!(scene.ask("GET", &at, &token, None).await.json()["state"], "destroying");
    assert_eq!(scene.ask("POST", &format!("{at}/restart"), &token, None).await.status, 409);

    let audit = format!("/v1/organisations/{}/audit", scene.organisation);
    let lines = scene.ask("GET", &audit, &token, None).await.json();
    let actions: Vec<&str> =
        lines["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["app_destroy", "app_rename", "job_cancel", "app_restart", "app_create"]);
    assert!(lines["items"].as_array().unwrap().iter().all(|line| line["account"] == json!(owner.uuid())));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages() {
    let scene = Scene::new().await;
    let (_, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let names: Vec<String> = (0..7).map(|n| format!("app-{n}")).collect();
    for name in &names {
        assert_eq!(scene.ask("POST", "/v1/apps", &token, Some(json!({ "name": name }))).await.status, 201);
    }
    let (mut found, mut next) = (Vec::new(), String::new());
    for size in [3, 3, 1] {
        let page = scene.ask("GET", &format!("/v1/apps?limit=3{next}"), &token, None).await.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), size);
        found.extend(items.iter().map(|app| app["name"].as_str().unwrap().to_owned()));
        next = page["next_page"].as_str().map(|token| format!("&page_token={token}")).unwrap_or_default();
    }
    assert_eq!((found, next.as_str()), (names, ""));
    // A token for one app has that one, on the first page.
    let all = scene.ask("GET", "/v1/apps", &token, None).await.json();
    let last = all["items"][6]["id"].as_str().unwrap();
    let only = Scope { app: Some(last.parse().unwrap()), read_only: false };
    let (_, held) = scene.somebody("program", Some(Role::Member), only).await;
    let page = scene.ask("GET", "/v1/apps?limit=3", &held, None).await.json();
    assert_eq!((&page["items"][0]["id"], page.get("next_page")), (&json!(last), None), "{page}");
    assert_eq!(scene.ask("GET", "/v1/apps?limit=101", &token, None).await.status, 400);
    let jobs = format!("/v1/apps/{}/jobs?page_token=x", uuid::Uuid::from_u128(1));
    assert_eq!(scene.ask("GET", &jobs, &token, None).await.status, 404);
}
