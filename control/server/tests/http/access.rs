//! Every operation × everybody: generated from the OpenAPI document.

use crate::scene::{Answer, Browser, Scene};
use caution_server::app::access::{Need, Role, need};
use caution_server::store::AccountId;
use caution_server::store::token::Scope;
use serde_json::{Value, json};

/// Operations as the document has them: name, method, path.
fn operations() -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../api/openapi.json")).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            all.push((name, method.to_uppercase(), path.clone()));
        }
    }
    all
}

fn body(operation: &str, scene: &Scene, unique: &str, link: &str) -> Option<Value> {
    let proof =
        json!({ "credential": "AA", "client_data": "e30", "authenticator_data": "AA", "signature": "AA" });
    Some(match operation {
        "app_create" => json!({ "name": unique, "organisation": scene.organisation.uuid() }),
        "app_rename" => json!({ "name": format!("{unique}-2") }),
        "job_create" => json!({ "commit": "a".repeat(40) }),
        "token_create" => json!({ "name": "ci" }),
        "registration_begin" => json!({ "link": "none", "name": unique }),
        "registration_finish" => json!({
            "link": "none",
            "name": unique,
            "passkey": { "client_data": "e30", "authenticator_data": "AA" },
        }),
        "session_create" | "session_prove" => proof,
        "device_begin" => json!({ "name": unique }),
        "device_token" => json!({ "device_code": "none" }),
        "member_change" | "invitation_create" => json!({ "role": "viewer" }),
        "invitation_accept" => json!({ "link": link }),
        "ssh_key_add" => json!({ "public_key": KEY }),
        _ => return None,
    })
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnY4Rb6s+8wK/u2M3C9WRR84MitdFbbAJqNN7wXG38l test";

/// By what somebody is known.
enum Known {
    Token(String),
    Session(Browser),
}

impl Known {
    async fn ask(&self, scene: &Scene, method: &str, path: &str, body: Option<Value>) -> Answer {
        match self {
            Self::Token(secret) => scene.ask(method, path, secret, body).await,
            Self::Session(browser) => scene.browse(browser, method, path, body).await,
        }
    }
}

/// `specs/platform.md` §3: what one may not read does not exist; what one may read and not do is 403.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_answered_by_role() {
    let everybody = [
        ("viewer", Some(Role::Viewer)),
        ("member", Some(Role::Member)),
        ("admin", Some(Role::Admin)),
        ("owner", Some(Role::Owner)),
        ("stranger", None),
    ];
    for (who, role) in everybody {
        for is_session in [false, true] {
            let scene = Scene::of_people().await;
            let (account, token) = scene.somebody(who, role, Scope::default()).await;
            let known =
                if is_session { Known::Session(scene.browser(account).await) } else { Known::Token(token) };
            for (at, operation) in operations().into_iter().enumerate() {
                check(&scene, &format!("{at}"), &operation, (who, role, account), &known).await;
            }
        }
    }
}

async fn check(
    scene: &Scene,
    at: &str,
    (operation, method, path): &(String, String, String),
    (who, role, account): (&str, Option<Role>, AccountId),
    known: &Known,
) {
    let name = format!("a{at}");
    let app = scene.app(&name, account).await;
    scene.deployed(&app).await;
    let own = known.ask(scene, "GET", "/v1/me/tokens", None).await.json()["items"][0]["id"].clone();
    let (victim, deployer) =
        scene.somebody(&format!("helper {at}"), Some(Role::Member), Scope::default()).await;
    let (invitation, link) = scene.invited(Role::Viewer).await;
    let user_code = format!("CODE-{at:0>4}");
    scene.program(&user_code).await;
    // Work that is asked for has even numbers, and what a build leads to comes right behind it.
    let number = match operation.as_str() {
        "job_cancel" => "4",
        job if job.starts_with("job_") => "2",
        _ => "1",
    };
    let path = |id: &str, organisation: &str| {
        let path = path
            .replace("{app}", id)
            .replace("{number}", number)
            .replace("{organisation}", organisation)
            .replace("{account}", &victim.to_string())
            .replace("{invitation}", &invitation.to_string())
            .replace("{session}", &app.id.to_string())
            .replace("{user_code}", &user_code)
            .replace("{fingerprint}", "SHA256:none")
            .replace("{token}", own.as_str().unwrap());
        if operation == "app_destroy" { format!("{path}?confirm={name}") } else { path }
    };
    if operation == "job_cancel" {
        // Something that waits.
        let queued = json!({ "release": 1 });
        let to = format!("/v1/apps/{}/jobs", app.id);
        assert_eq!(scene.ask("POST", &to, &deployer, Some(queued)).await.status, 202);
    }
    let there = path(&app.id.to_string(), &scene.organisation.to_string());
    let body = body(operation, scene, &format!("new-{at}"), &link);
    let needed = need(operation).unwrap();

    let nobody = scene.ask(method, &there, "", body.clone()).await.status;
    match needed {
        Need::Nothing => assert_eq!(nobody, 200, "{operation}"),
        Need::Stranger => assert!([200, 201, 401, 404].contains(&nobody), "{operation} {nobody}"),
        _ => assert_eq!(nobody, 401, "{operation}"),
    }
    let answer = known.ask(scene, method, &there, body.clone()).await;
    let status = answer.status;
    if operation == "invitation_accept" && role.is_none() {
        // A stranger stays one.
        scene.sql("DELETE FROM member WHERE role = 'viewer'").await;
    }
    match (needed, role) {
        (Need::Stranger, _) => assert_eq!(status == 201, operation == "device_begin", "{operation} {who}"),
        (Need::Session, _) if matches!(known, Known::Token(_)) => {
            assert_eq!(status, 403, "{operation} {who}");
        }
        (Need::Permission(_), None) => {
            assert_eq!(status, 404, "{operation} {who}");
            if operation != "app_create" {
                let never = uuid::Uuid::from_u128(7).to_string();
                let other = known.ask(scene, method, &path(&never, &never), body).await;
                let (mut one, mut two) = (answer.json(), other.json());
                one["request_id"].take();
                two["request_id"].take();
                assert_eq!((one, status), (two, other.status), "{operation}");
            }
        }
        (Need::Permission(permission), Some(role)) if !role.may(permission) => {
            assert_eq!(status, 403, "{operation} {who}");
        }
        _ if operation == "ssh_key_remove" || operation == "session_revoke" => assert_eq!(status, 404),
        // Of a passkey that nobody has.
        _ if operation == "session_prove" => assert_eq!(status, 401),
        // Who belongs to it already.
        (_, Some(_)) if operation == "invitation_accept" => assert_eq!(status, 409),
        _ => assert!((200..300).contains(&status), "{operation} {who}: {status} {:?}", answer.json()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_held_to_what_it_was_made_for() {
    let scene = Scene::new().await;
    let (owner, whole) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let (one, other) = (scene.app("one", owner).await, scene.app("other", owner).await);
    let make = async |asked: Value| {
        let made = scene.ask("POST", "/v1/me/tokens", &whole, Some(asked)).await;
        assert_eq!(made.status, 201);
        made.json()["secret"].as_str().unwrap().to_owned()
    };
    let reader = make(json!({ "name": "reads", "read_only": true })).await;
    let only = make(json!({ "name": "one app", "app": one.id.uuid() })).await;
    let jobs = |app: &str| format!("/v1/apps/{app}/jobs");
    let build = || Some(json!({ "commit": "b".repeat(40) }));
    let (one, other) = (one.id.to_string(), other.id.to_string());
    assert_eq!(scene.ask("GET", &jobs(&one), &reader, None).await.status, 200);
    assert_eq!(scene.ask("POST", &jobs(&one), &reader, build()).await.status, 403);
    assert_eq!(scene.ask("POST", &jobs(&one), &only, build()).await.status, 202);
    assert_eq!(scene.ask("GET", &jobs(&other), &only, None).await.status, 404);
    assert_eq!(scene.ask("GET", "/v1/apps", &only, None).await.json()["items"].as_array().unwrap().len(), 1);
    for token in [&reader, &only] {
        let refused = scene.ask("POST", "/v1/me/tokens", token, Some(json!({ "name": "more" }))).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("forbidden")));
    }
    assert_eq!(scene.ask("POST", "/v1/apps", &only, Some(json!({ "name": "new" }))).await.status, 403);
    assert_eq!(scene.ask("POST", "/v1/apps", &reader, Some(json!({ "name": "new" }))).await.status, 403);
}
