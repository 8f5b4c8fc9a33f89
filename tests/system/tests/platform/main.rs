//! The platform, as its user meets it: `caution up`, `git push caution main`, `caution verify`, and on to the end.

mod login;
mod place;
mod traffic;

use place::Place;
use traffic::Traffic;

/// Not one that the kernel hands out by chance.
const PORT: u16 = 28543;

#[test]
fn from_an_empty_machine_to_a_verified_deployment_and_back_to_nothing() {
    whole(&Place::new(PORT, &[]));
}

/// The whole life of an app on a platform, whatever keeps its data.
fn whole(place: &Place) {
    comes_to_live(place);
    let first = place.checkout.head();
    is_replaced_while_it_is_used(place);
    is_looked_at(place);
    is_operated(place, &first);
    ends(place);
}

fn comes_to_live(place: &Place) {
    let none = place.caution(&["apps", "list"]).expect(15);
    assert!(none.stderr.contains("fix: caution up"), "{}", none.stderr);
    place.caution(&["up"]).expect(0);
    let again = place.caution(&["up"]).expect(0);
    assert!(again.stderr.contains("runs already"), "{}", again.stderr);

    let init = place.caution(&["init"]).expect(0);
    assert!(init.stdout.contains("next: commit, then git push caution main"), "{}", init.stdout);
    place.caution(&["init"]).expect(0);
    let list = place.caution(&["apps", "list"]).expect(0);
    assert!(list.stdout.starts_with("hello ") && list.stdout.contains("empty"), "{}", list.stdout);

    let pushed = place.push(&["caution", "main"]).expect(0);
    for said in ["PCR2", "/attestation", "verify it: caution verify", &place.url()[..30]] {
        assert!(pushed.stderr.contains(said), "{said}: {}", pushed.stderr);
    }
    let got = place.caution(&["apps", "get", "--json"]).expect(0).json();
    assert_eq!(got["app"]["state"], "live");
    assert_eq!(got["release"]["commit"], place.checkout.head());
    let pcr2 = got["release"]["pcr2"].as_str().expect("a register");
    assert!(pushed.stderr.contains(pcr2), "{pcr2}: {}", pushed.stderr);
    assert!(place.greeting().is_some_and(|greeting| greeting.starts_with("Hello")));
    let verdict = place.caution(&["verify"]).expect(0);
    assert!(verdict.stdout.contains("VERIFIED (development root"), "{}", verdict.stdout);
}

/// Not one of 10,000 requests fails while a push and a rollback put another release in the place of the one that runs.
fn is_replaced_while_it_is_used(place: &Place) {
    place.checkout.edit("src/main.rs", "Hello from hello", "Hallo von hello");
    let traffic = Traffic::start(place);
    place.push(&["caution", "main"]).expect(0);
    assert!(place.greeting().is_some_and(|greeting| greeting.starts_with("Hallo")));
    let releases = place.caution(&["apps", "releases", "--json"]).expect(0).json();
    let numbers: Vec<_> =
        releases["releases"].as_array().expect("a list").iter().map(|release| &release["number"]).collect();
    assert_eq!(numbers, [2, 1]);

    let back = place.caution(&["apps", "rollback"]).expect(0);
    assert!(back.stdout.contains("release 1 of hello serves"), "{}", back.stdout);
    assert!(place.greeting().is_some_and(|greeting| greeting.starts_with("Hello")));
    let (answered, failed) = traffic.stop_after(10_000);
    assert!(failed.is_empty() && answered >= 10_000, "{answered} answered; {failed:#?}");
}

fn is_looked_at(place: &Place) {
    let jobs = place.caution(&["apps", "jobs", "--json"]).expect(0).json();
    let jobs = jobs["jobs"].as_array().expect("a list");
    let of: Vec<_> = jobs.iter().map(|job| [&job["kind"], &job["phase"]]).collect();
    let newest_first =
        [["deploy", "live"], ["deploy", "replaced"], ["build", "done"], ["deploy", "replaced"]];
    assert_eq!(of[..4], newest_first);
    let build = jobs[2]["number"].to_string();
    let log = place.caution(&["apps", "logs", "--job", &build]).expect(0).stdout;
    assert!(log.contains("  container ") && log.contains("  image "), "{log}");
    place.caution(&["apps", "cancel", &build]).expect(20);

    let image = place.caution(&["apps", "download-eif", "-o", "live.eif", "--json"]).expect(0).json();
    let releases = place.caution(&["apps", "releases", "--json"]).expect(0).json();
    let releases = releases["releases"].as_array().expect("a list");
    assert_eq!(image["sha256"], releases[1]["image_sha256"]);
    assert_eq!(image["attested_root"], "development");
    let other = ["apps", "download-eif", "--release", "2", "-o", "live.eif", "--force", "--json"];
    let other = place.caution(&other).expect(0).json();
    assert_eq!(other["sha256"], releases[0]["image_sha256"]);
    assert_eq!(other["not_attested_because"], "This release does not run.");

    let secret = place.caution(&["tokens", "create", "ci", "--days", "1", "--read-only"]).expect(0).stdout;
    assert!(secret.starts_with("caution_"), "{secret}");
    assert!(place.caution(&["tokens", "list"]).expect(0).stdout.contains(" ci "));
    place.caution(&["tokens", "revoke", "ci"]).expect(0);
    place.caution(&["tokens", "revoke", "ci"]).expect(19);

    let keys = place.caution(&["ssh-keys", "list", "--json"]).expect(0).json();
    let key = &keys["keys"][0];
    place.caution(&["ssh-keys", "remove", key["fingerprint"].as_str().expect("text")]).expect(0);
    let stranger = place.push(&["caution", "main"]);
    assert!(stranger.code != 0 && stranger.stderr.contains("Permission denied"), "{}", stranger.stderr);
    let line = key["public_key"].as_str().expect("text");
    place.caution(&["ssh-keys", "add", "--key", line, "--name", "mine"]).expect(0);
    assert!(place.caution(&["ssh-keys", "list"]).expect(0).stdout.contains("  mine "));
    let audit = place.caution(&["audit", "--all"]).expect(0).stdout;
    for said in ["app_create", "push", "job_create"] {
        assert!(audit.contains(said), "{said}: {audit}");
    }
}

fn is_operated(place: &Place, first: &str) {
    // What runs is the first commit again, and the checkout stands at the second.
    place.caution(&["verify", "--commit", first]).expect(0);
    let stopped = place.caution(&["apps", "stop"]).expect(0);
    assert!(stopped.stdout.contains("hello is stopped"), "{}", stopped.stdout);
    assert_eq!(place.greeting(), None);
    place.caution(&["verify"]).expect(15);
    place.caution(&["apps", "start"]).expect(0);
    assert!(place.greeting().is_some());
    place.caution(&["apps", "restart"]).expect(0);
    assert!(place.greeting().is_some());
    place.caution(&["apps", "rename", "greeter"]).expect(0);
    // Its address stays.
    assert!(place.greeting().is_some());
    let events = place.caution(&["apps", "events", "greeter"]).expect(0).stdout;
    for said in ["Release 1 is live.", "Release 2 is live.", "The app was stopped."] {
        assert!(events.contains(said), "{said}: {events}");
    }
    // Pushed already, and deployed when asked for.
    place.push(&["caution", "main"]).expect(0);
    assert!(place.greeting().is_some_and(|greeting| greeting.starts_with("Hello")));
    place.caution(&["apps", "deploy"]).expect(0);
    assert!(place.greeting().is_some_and(|greeting| greeting.starts_with("Hallo")));

    // What was live is live again after the platform was away.
    let down = place.caution(&["down"]).expect(0);
    assert!(down.stdout.contains("the platform ended"), "{}", down.stdout);
    place.await_nothing_left();
    let up = place.caution(&["up"]).expect(0);
    assert!(up.stderr.contains("starting again: hello"), "{}", up.stderr);
    assert!(place.greeting_soon().starts_with("Hallo"));
}

fn ends(place: &Place) {
    place.caution_told(&["apps", "destroy"], "hello\n").expect(2);
    assert!(place.greeting().is_some());
    let destroyed = place.caution_told(&["apps", "destroy"], "greeter\n").expect(0);
    assert!(destroyed.stdout.contains("greeter is destroyed"), "{}", destroyed.stdout);
    assert_eq!(place.greeting(), None);
    place.caution(&["apps", "get"]).expect(2);
    place.caution(&["apps", "get", "greeter"]).expect(19);
    let gone = place.push(&["caution", "main"]);
    assert!(gone.code != 0 && gone.stderr.contains("There is no such app"), "{}", gone.stderr);
    place.caution(&["down"]).expect(0);
    place.await_nothing_left();
    let none = place.caution(&["down"]).expect(0);
    assert!(none.stdout.contains("no platform runs"), "{}", none.stdout);
}
