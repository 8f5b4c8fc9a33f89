//! People: set-up, passkeys, sessions, programs that are let in, members.

use crate::passkey::{Authenticator, encode};
use crate::scene::{Answer, Browser, Scene};
use caution_server::app::access::Role;
use caution_server::store::account;
use caution_server::store::token::Scope;
use serde_json::{Value, json};

/// Makes somebody known by a link, as the page does.
async fn register(scene: &Scene, link: &str, name: &str, key: &Authenticator) -> Answer {
    register_with(scene, link, name, "first", key).await
}

/// As the first one, with an organisation.
async fn register_with(
    scene: &Scene,
    link: &str,
    name: &str,
    organisation: &str,
    key: &Authenticator,
) -> Answer {
    let asked = json!({ "link": link, "name": name });
    let asked = scene.ask("POST", "/v1/registration/challenge", "", Some(asked)).await;
    if asked.status != 200 {
        return asked;
    }
    let passkey = key.made(&asked.json()["challenge"]);
    let asked = json!({ "link": link, "name": name, "organisation": organisation, "passkey": passkey });
    scene.ask("POST", "/v1/registration", "", Some(asked)).await
}

async fn challenge(scene: &Scene) -> Value {
    let asked = scene.ask("POST", "/v1/session/challenge", "", None).await.json();
    assert_eq!(asked["relying_party"], "caution.test");
    asked["challenge"].clone()
}

async fn sign_in(scene: &Scene, key: &Authenticator) -> Answer {
    let challenge = challenge(scene).await;
    scene.ask("POST", "/v1/sessions", "", Some(key.shown(&challenge))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_link_makes_the_first_owner_once() {
    let scene = Scene::of_people().await;
    let void = scene.set_up_link().await.unwrap();
    let link = scene.set_up_link().await.unwrap();
    let key = Authenticator::new("alice's");
    assert_eq!(register(&scene, &void, "alice", &key).await.status, 404);
    assert_eq!(register(&scene, "", "alice", &key).await.status, 404);
    let made = register(&scene, &link, "alice", &key).await;
    assert_eq!((made.status, made.json()["account"]["name"].clone()), (201, json!("alice")));
    let cookie = made.head.lines().find(|line| line.starts_with("set-cookie:")).unwrap().to_owned();
    for part in
        ["__host-caution=", "; path=/", "; secure", "; httponly", "; samesite=strict", "; max-age=86400"]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    let browser = Browser::of(&made);
    let me = scene.browse(&browser, "GET", "/v1/me", None).await.json();
    assert_eq!(me["organisations"][0]["role"], "owner");
    assert_eq!(me["organisations"][0]["name"], "first");
    assert_eq!(register(&scene, &link, "eve", &Authenticator::new("eve's")).await.status, 404);
    assert_eq!(scene.set_up_link().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_name_of_this_machines_user() {
    let scene = Scene::of_people().await;
    let link = scene.set_up_link().await.unwrap();
    let invited = scene.invitation(Role::Member).await;
    for (link, name, organisation) in [
        (&link, "local", "first"),
        (&link, " Local ", "first"),
        (&link, "alice", "local"),
        (&link, "alice", "LOCAL"),
        (&invited, "local", "first"),
    ] {
        let key = Authenticator::new("alice's");
        let refused = register_with(&scene, link, name, organisation, &key).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("name_taken")), "{name}");
        let said = refused.json()["message"].to_string();
        assert!(said.contains("is what this machine's user is called"), "{said}");
    }
    // No link is used up by that.
    assert_eq!(register(&scene, &link, "alice", &Authenticator::new("alice's")).await.status, 201);
    assert_eq!(register(&scene, &invited, "bob", &Authenticator::new("bob's")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_believed_once_here_and_by_its_own_signature() {
    let scene = Scene::of_people().await;
    let mut key = Authenticator::new("alice's");
    let link = scene.set_up_link().await.unwrap();
    assert_eq!(register(&scene, &link, "alice", &key).await.status, 201);
    assert_eq!(sign_in(&scene, &key).await.status, 201);

    // Replayed, and answered to what nobody asked.
    let shown = key.shown(&challenge(&scene).await);
    assert_eq!(scene.ask("POST", "/v1/sessions", "", Some(shown.clone())).await.status, 201);
    assert_eq!(scene.ask("POST", "/v1/sessions", "", Some(shown)).await.status, 401);
    let never = key.shown(&json!(encode(&[7; 32])));
    assert_eq!(scene.ask("POST", "/v1/sessions", "", Some(never)).await.status, 401);
    // What was asked for something else.
    let other_link = scene.invitation(Role::Member).await;
    let asked = json!({ "link": other_link, "name": "mallory" });
    let asked = scene.ask("POST", "/v1/registration/challenge", "", Some(asked)).await.json();
    let shown = key.shown(&asked["challenge"]);
    assert_eq!(scene.ask("POST", "/v1/sessions", "", Some(shown)).await.status, 401);

    // Forged: another's key under this id, a changed signature, another site's page, nobody who checked.
    let refused = async |key: &Authenticator| {
        let refused = sign_in(&scene, key).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (401, json!("unauthenticated")));
        refused.json()["message"].as_str().unwrap().to_owned()
    };
    assert!(refused(&Authenticator::new("alice's")).await.contains("signature"));
    assert!(refused(&Authenticator::new("nobody's")).await.contains("not known"));
    let mut liar = key;
    liar.origin = "https://caution.test.evil.example".to_owned();
    assert!(refused(&liar).await.contains("origin"));
    liar.origin = "https://caution.test".to_owned();
    liar.site = "evil.example".to_owned();
    assert!(refused(&liar).await.contains("site"));
    liar.site = "caution.test".to_owned();
    for flags in [0b000, 0b001, 0b100] {
        liar.flags = flags;
        assert!(refused(&liar).await.contains("did not check"));
    }
    liar.flags = 0b101;
    let challenge = challenge(&scene).await;
    for field in ["client_data", "authenticator_data", "signature"] {
        let mut changed = liar.shown(&challenge);
        let text = changed[field].as_str().unwrap().to_owned();
        let other = if text.ends_with('A') { "E" } else { "A" };
        changed[field] = json!(format!("{}{other}", &text[..text.len() - 1]));
        let status = scene.ask("POST", "/v1/sessions", "", Some(changed)).await.status;
        assert!([400, 401].contains(&status), "{field}: {status}");
    }
    // A counter that counts does not go back.
    key = liar;
    key.count = 5;
    assert_eq!(sign_in(&scene, &key).await.status, 201);
    assert!(refused(&key).await.contains("two of it"));
    key.count = 6;
    assert_eq!(sign_in(&scene, &key).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_changes_things_from_our_pages_until_it_ends() {
    let scene = Scene::of_people().await;
    let (account, _) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let browser = scene.browser(account).await;
    let other = scene.browser(account).await;
    let create = async |head: &str, name: &str| {
        scene.ask_with("POST", "/v1/apps", head, Some(json!({ "name": name }))).await.status
    };
    let (cookie, csrf) = (&browser.cookie, &browser.csrf);
    let ours = "Origin: https://caution.test\r\n";
    for (head, status) in [
        (format!("{cookie}{ours}X-CSRF-Token: {csrf}\r\n"), 201),
        (format!("{cookie}{ours}"), 403),
        (format!("{cookie}{ours}X-CSRF-Token: {}\r\n", other.csrf), 403),
        (format!("{cookie}X-CSRF-Token: {csrf}\r\n"), 403),
        (format!("{cookie}Origin: https://evil.example\r\nX-CSRF-Token: {csrf}\r\n"), 403),
        (format!("{cookie}Origin: null\r\nX-CSRF-Token: {csrf}\r\n"), 403),
        (format!("{cookie}{cookie}{ours}X-CSRF-Token: {csrf}\r\n"), 401),
        (format!("{ours}X-CSRF-Token: {csrf}\r\n"), 401),
    ] {
        assert_eq!(create(&head, "hello").await, status, "{head}");
    }
    // What the database holds opens nothing.
    let hash = caution_measure::Sha256Digest::of(browser.secret.as_bytes()).to_string();
    let stolen = format!("Cookie: __Host-caution={hash}\r\n");
    assert_eq!(scene.ask_with("GET", "/v1/me", &stolen, None).await.status, 401);

    let listed = scene.browse(&browser, "GET", "/v1/sessions", None).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let of_other = listed["items"].as_array().unwrap().iter().find(|s| s["current"] == json!(false)).unwrap();
    let path = format!("/v1/sessions/{}", of_other["id"].as_str().unwrap());
    assert_eq!(scene.browse(&browser, "DELETE", &path, None).await.status, 204);
    assert_eq!(scene.browse(&other, "GET", "/v1/me", None).await.status, 401, "a cookie that is replayed");
    assert_eq!(scene.browse(&browser, "DELETE", &path, None).await.status, 404);
    assert_eq!(scene.browse(&browser, "GET", "/v1/me", None).await.status, 200);
    scene.sql("UPDATE session SET expires_ms = 1").await;
    assert_eq!(scene.browse(&browser, "GET", "/v1/me", None).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_asks_for_the_passkey_again() {
    let scene = Scene::of_people().await;
    let link = scene.set_up_link().await.unwrap();
    let key = Authenticator::new("alice's");
    let alice = Browser::of(&register(&scene, &link, "alice", &key).await);
    let made = scene.browse(&alice, "POST", "/v1/apps", Some(json!({ "name": "hello" }))).await.json();
    let destroy = format!("/v1/apps/{}?confirm=hello", made["id"].as_str().unwrap());
    scene.sql("UPDATE session SET proved_ms = proved_ms - 301000").await;
    let refused = scene.browse(&alice, "DELETE", &destroy, None).await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("proof_needed")));
    assert_eq!(scene.browse(&alice, "GET", "/v1/apps", None).await.status, 200);

    // Another one's passkey proves nothing.
    let mallory = Authenticator::new("mallory's");
    let invited = scene.invitation(Role::Viewer).await;
    assert_eq!(register(&scene, &invited, "mallory", &mallory).await.status, 201);
    let shown = mallory.shown(&challenge(&scene).await);
    assert_eq!(scene.browse(&alice, "POST", "/v1/session/proof", Some(shown)).await.status, 403);
    assert_eq!(scene.browse(&alice, "DELETE", &destroy, None).await.status, 403);
    let shown = key.shown(&challenge(&scene).await);
    assert_eq!(scene.browse(&alice, "POST", "/v1/session/proof", Some(shown.clone())).await.status, 200);
    assert_eq!(scene.browse(&alice, "POST", "/v1/session/proof", Some(shown)).await.status, 401);
    assert_eq!(scene.browse(&alice, "DELETE", &destroy, None).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_let_in_once_by_whoever_sees_its_code() {
    let scene = Scene::of_people().await;
    let (account, token) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let browser = scene.browser(account).await;
    let program = async |asked: Value| {
        let begun = scene.ask("POST", "/v1/device", "", Some(asked)).await;
        assert_eq!(begun.status, 201);
        begun.json()
    };
    let poll = async |begun: &Value| {
        let asked = json!({ "device_code": begun["device_code"] });
        scene.ask("POST", "/v1/device/token", "", Some(asked)).await
    };
    let begun = program(json!({ "name": "caution login on laptop", "read_only": true })).await;
    let code = begun["user_code"].as_str().unwrap();
    assert_eq!(begun["url"], format!("https://caution.test/device#{code}"));
    assert!(begun["device_code"].as_str().unwrap().len() * 6 >= 128);
    // Who waits asks often: several do, behind one address.
    for _ in 0..25 {
        assert_eq!(poll(&begun).await.json(), json!({}));
    }
    let at = format!("/v1/devices/{code}");
    let approve = format!("{at}/approve");
    // A token lets nobody in.
    assert_eq!(scene.ask("POST", &approve, &token, None).await.status, 403);
    let seen = scene.browse(&browser, "GET", &at, None).await.json();
    assert_eq!((&seen["name"], &seen["read_only"]), (&json!("caution login on laptop"), &json!(true)));
    assert_eq!(scene.browse(&browser, "POST", &approve, None).await.status, 200);
    assert_eq!(scene.browse(&browser, "POST", &approve, None).await.status, 404);
    let told = poll(&begun).await.json();
    assert_eq!((&told["git"]["host"], &told["git"]["port"]), (&json!("127.0.0.1"), &json!(7222)));
    let made = told["made"].clone();
    assert_eq!(made["token"]["read_only"], json!(true));
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(scene.ask("GET", "/v1/me", secret, None).await.json()["account"]["name"], "owner");
    assert_eq!(scene.ask("POST", "/v1/apps", secret, Some(json!({ "name": "a" }))).await.status, 403);
    assert_eq!(poll(&begun).await.status, 404, "used");

    let begun = program(json!({ "name": "another" })).await;
    let at = format!("/v1/devices/{}", begun["user_code"].as_str().unwrap());
    assert_eq!(scene.browse(&browser, "DELETE", &at, None).await.status, 204);
    assert_eq!(poll(&begun).await.status, 404, "refused");
    let begun = program(json!({ "name": "late" })).await;
    scene.sql("UPDATE device SET expires_ms = 1").await;
    let at = format!("/v1/devices/{}/approve", begun["user_code"].as_str().unwrap());
    assert_eq!(scene.browse(&browser, "POST", &at, None).await.status, 404);
    assert_eq!(poll(&begun).await.status, 404, "expired");
    let audit = format!("/v1/organisations/{}/audit", scene.organisation);
    assert_eq!(scene.ask("GET", &audit, &token, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn invitations_are_good_once_for_no_more_than_whoever_invites() {
    let scene = Scene::of_people().await;
    let (admin, _) = scene.somebody("admin", Some(Role::Admin), Scope::default()).await;
    let admin = scene.browser(admin).await;
    let at = format!("/v1/organisations/{}/invitations", scene.organisation);
    let invite = async |asked: Value| scene.browse(&admin, "POST", &at, Some(asked)).await;
    assert_eq!(invite(json!({ "role": "owner" })).await.status, 403);
    assert_eq!(invite(json!({ "role": "member", "days": 8 })).await.status, 400);
    let made = invite(json!({ "role": "member" })).await.json();
    let link = made["link"].as_str().unwrap().strip_prefix("https://caution.test/join#").unwrap();
    let asked = json!({ "link": link, "name": "bob" });
    let asked = scene.ask("POST", "/v1/registration/challenge", "", Some(asked)).await.json();
    assert_eq!((&asked["organisation"], &asked["role"]), (&json!("acme"), &json!("member")));
    let bob = register(&scene, link, "bob", &Authenticator::new("bob's")).await;
    assert_eq!(bob.status, 201);
    let bob = Browser::of(&bob);
    let me = scene.browse(&bob, "GET", "/v1/me", None).await.json();
    assert_eq!(me["organisations"][0]["role"], "member");
    assert_eq!(register(&scene, link, "eve", &Authenticator::new("eve's")).await.status, 404, "used");

    // Nor does anybody end one for more than they are.
    let (above, _) = scene.somebody("above", Some(Role::Owner), Scope::default()).await;
    let above = scene.browser(above).await;
    let made = scene.browse(&above, "POST", &at, Some(json!({ "role": "owner" }))).await.json();
    let of_owner = format!("{at}/{}", made["invitation"]["id"].as_str().unwrap());
    assert_eq!(scene.browse(&admin, "DELETE", &of_owner, None).await.status, 403);
    assert_eq!(scene.browse(&above, "DELETE", &of_owner, None).await.status, 204);

    // Revoked, expired, and of somebody who is not what they were.
    for (end, name) in [("revoke", "a"), ("expire", "b"), ("demote", "c")] {
        let made = invite(json!({ "role": "viewer" })).await.json();
        let link = made["link"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
        let id = made["invitation"]["id"].as_str().unwrap();
        match end {
            "revoke" => {
                assert_eq!(scene.browse(&admin, "DELETE", &format!("{at}/{id}"), None).await.status, 204);
            }
            "expire" => scene.sql("UPDATE invitation SET expires_ms = 1").await,
            _ => {
                let (owner, _) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
                let owner = scene.browser(owner).await;
                let members = format!("/v1/organisations/{}/members", scene.organisation);
                let of_admin = scene.browse(&admin, "GET", "/v1/me", None).await.json();
                let of_admin = of_admin["account"]["id"].as_str().unwrap().to_owned();
                let less = Some(json!({ "role": "viewer" }));
                let path = format!("{members}/{of_admin}");
                assert_eq!(scene.browse(&owner, "PATCH", &path, less).await.status, 200);
            }
        }
        let refused = register(&scene, &link, name, &Authenticator::new(name)).await;
        assert_eq!(refused.status, 404, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_reaches_nothing_at_once_and_the_last_owner_stays() {
    let scene = Scene::of_people().await;
    let (owner, _) = scene.somebody("owner", Some(Role::Owner), Scope::default()).await;
    let (admin, _) = scene.somebody("admin", Some(Role::Admin), Scope::default()).await;
    let (member, token) = scene.somebody("member", Some(Role::Member), Scope::default()).await;
    let app = scene.app("hello", owner).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnY4Rb6s+8wK/u2M3C9WRR84MitdFbbAJqNN7wXG38l test";
    let added = scene.ask("POST", "/v1/me/ssh-keys", &token, Some(json!({ "public_key": key }))).await;
    assert_eq!(added.status, 201);
    let (by_owner, by_admin) = (scene.browser(owner).await, scene.browser(admin).await);
    let of_member = scene.browser(member).await;
    let at = |who: &dyn std::fmt::Display| format!("/v1/organisations/{}/members/{who}", scene.organisation);
    let app_at = format!("/v1/apps/{}", app.id);
    assert_eq!(scene.ask("GET", &app_at, &token, None).await.status, 200);

    // Nobody changes who is above them, nor makes others more than they are.
    for (method, who, body) in [
        ("DELETE", owner, None),
        ("PATCH", owner, Some(json!({ "role": "viewer" }))),
        ("PATCH", member, Some(json!({ "role": "owner" }))),
    ] {
        assert_eq!(scene.browse(&by_admin, method, &at(&who), body).await.status, 403);
    }
    assert_eq!(scene.browse(&by_admin, "DELETE", &at(&member), None).await.status, 204);
    assert_eq!(scene.ask("GET", &app_at, &token, None).await.status, 404);
    assert_eq!(scene.browse(&of_member, "GET", &app_at, None).await.status, 404);
    let mut db = scene.store.read().await.unwrap();
    assert_eq!(account::role(&mut db, scene.organisation, member).await.unwrap(), None);
    drop(db);
    assert_eq!(scene.browse(&by_admin, "DELETE", &at(&member), None).await.status, 404);

    for (method, body) in [("DELETE", None), ("PATCH", Some(json!({ "role": "admin" })))] {
        let refused = scene.browse(&by_owner, method, &at(&owner), body).await;
        assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("conflict")));
    }
    let two = Some(json!({ "role": "owner" }));
    assert_eq!(scene.browse(&by_owner, "PATCH", &at(&admin), two).await.status, 200);
    assert_eq!(scene.browse(&by_owner, "DELETE", &at(&owner), None).await.status, 204);
    let audit = format!("/v1/organisations/{}/audit", scene.organisation);
    let lines = scene.browse(&by_admin, "GET", &audit, None).await.json();
    let told: Vec<&str> =
        lines["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["member_remove", "member_change", "member_remove"]);
    assert!(lines["items"].as_array().unwrap().iter().all(|line| line["by_means_of"] == "session"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_too_often_is_told_to_wait() {
    let scene = Scene::of_people().await;
    let mut statuses = Vec::new();
    for _ in 0..25 {
        let head = "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n";
        statuses.push(scene.ask_with("POST", "/v1/session/challenge", head, None).await.status);
    }
    assert_eq!(statuses[..20], [200; 20]);
    assert_eq!(statuses[20..], [429; 5]);
    // Another one, behind the same proxy.
    let head = "X-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n";
    assert_eq!(scene.ask_with("POST", "/v1/session/challenge", head, None).await.status, 200);
    // A network of IPv6 is one, whichever of its addresses asks.
    let mut statuses = Vec::new();
    for host in 0..25 {
        let head = format!("X-Forwarded-For: 2001:db8:0:7::{host:x}\r\n");
        statuses.push(scene.ask_with("POST", "/v1/session/challenge", &head, None).await.status);
    }
    assert_eq!(statuses[20..], [429; 5]);
    let head = "X-Forwarded-For: 2001:db8:0:8::1\r\n";
    assert_eq!(scene.ask_with("POST", "/v1/session/challenge", head, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_there_where_people_sign_in_and_run_nothing_of_others() {
    let scene = Scene::of_people().await;
    for path in ["/", "/setup", "/join", "/device", "/page.js", "/page.css"] {
        let page = scene.ask("GET", path, "", None).await;
        assert_eq!(page.status, 200);
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "nosniff"] {
            assert!(page.head.contains(part), "{path}: {}", page.head);
        }
        assert!(!String::from_utf8(page.body).unwrap().contains("http"), "{path} names another site");
    }
    let alone = Scene::new().await;
    assert_eq!(alone.ask("GET", "/", "", None).await.status, 404);
    assert_eq!(alone.ask("POST", "/v1/session/challenge", "", None).await.status, 404);
}
