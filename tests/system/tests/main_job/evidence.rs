//! Evidence that `caution verify` kept: checked again offline, and remembered against rollbacks.

use super::{HELLO, Running, check, text};
use std::fs;
use std::path::{Path, PathBuf};

type Json = serde_json::Value;

#[test]
fn kept_evidence_is_checked_again_without_the_enclave() {
    let hello = &*HELLO;
    let checkout = hello.repository.clone_of();
    let root = &checkout.root;
    let running = Running::start(root, &hello.eif, &hello.manifest, &[]);
    let machine = &running.machine;
    let live = machine.caution(root, &["verify", "--json"]).expect(0).json();
    assert_eq!((&live["mode"], &live["warnings"]), (&"live".into(), &Json::Array(vec![])));
    let bundle = root.join(live["saved_evidence"].as_str().expect("a path"));
    let elsewhere = tempfile::tempdir().unwrap();
    let another = elsewhere.path().join("another.json");
    let saving = ["verify", "--json", "--save-evidence", text(&another)];
    assert_eq!(machine.caution(root, &saving).expect(0).json()["saved_evidence"], text(&another));
    assert_eq!(read(&another)["verdict"]["saved"], Json::Null, "it says nothing of this machine's folders");
    rollback(&running, &bundle, root);
    machine.stop_all();
    machine.caution(root, &["verify"]).expect(15);

    let again = |dir: &Path, bundle: &Path, more: &[&str], code| {
        let arguments = ["verify", "--json", "--evidence", text(bundle)];
        machine.caution(dir, &[&arguments, more].concat()).expect(code).json()
    };
    let dev = ["--trust-root", "dev"];
    let verdict = again(root, &bundle, &dev, 0);
    assert_eq!((&verdict["mode"], &verdict["attested"]), (&"archived".into(), &live["attested"]));
    assert!(verdict["headline"].as_str().expect("words").contains(" ran exactly commit "));
    let recorded = &verdict["recorded"];
    assert_eq!(
        (&recorded["verified"], &recorded["rebuilt_eif_sha256"]),
        (&true.into(), &hello.built["sha256"])
    );
    assert_eq!(verdict["saved_evidence"], Json::Null);

    // Away from the source something is known, but not what ran.
    let verdict = again(elsewhere.path(), &bundle, &dev, 16);
    assert_eq!(check(&verdict, "evidence")["status"], "ok");
    assert_eq!(verdict["failure"], "cannot_reproduce");
    let pcrs = hello.repository.stage("output/enclave.pcrs");
    let verdict = again(elsewhere.path(), &bundle, &[&dev[..], &["--pcrs", text(&pcrs)]].concat(), 0);
    assert_eq!(check(&verdict, "source")["status"], "not_checked");

    // A copy is as good, whatever the verdict, and takes no other file's place.
    let copy = elsewhere.path().join("copy.json");
    let saving = [&dev[..], &["--save-evidence", text(&copy)]].concat();
    let verdict = again(elsewhere.path(), &bundle, &saving, 16);
    assert_eq!((&verdict["saved_evidence"], &verdict["saved"]), (&text(&copy).into(), &Json::Null));
    assert_eq!(read(&copy)["document"], read(&bundle)["document"]);
    again(root, &copy, &dev, 0);
    again(elsewhere.path(), &bundle, &saving, 2);

    // Whose root, at which time, and every part of the bundle count.
    again(root, &bundle, &[], 10);
    again(root, &bundle, &[&dev[..], &["--at", "2031-01-01T00:00:00Z"]].concat(), 10);
    for (key, from, to, code) in [
        ("nonce", "", "00", 10),
        ("document", "hEShATgi", "hEShATgj", 10),
        ("manifest", "\"ports\"", "\"ports\" ", 13),
    ] {
        let forged = elsewhere.path().join(key);
        let mut json = read(&bundle);
        let value = json[key].as_str().expect("text").to_owned();
        let changed = if key == "nonce" { to.repeat(32) } else { value.replacen(from, to, 1) };
        assert_ne!(value, changed, "{key}");
        json[key] = changed.into();
        fs::write(&forged, json.to_string()).unwrap();
        again(root, &forged, &dev, code);
    }
}

/// A bundle says that a newer commit was verified here: the enclave went back.
fn rollback(running: &Running, bundle: &Path, root: &Path) {
    let runs = HELLO.repository.head();
    let newer = super::shell(
        root,
        "git -c user.name=t -c user.email=t@localhost commit -q --allow-empty -m 'close the hole' && git rev-parse HEAD",
    );
    let mut json = read(bundle);
    let manifest = json["manifest"].as_str().expect("text").replace(&runs, newer.trim());
    json["manifest"] = manifest.into();
    json["checked_at"] = "2040-01-01T00:00:00Z".into();
    let later: PathBuf = bundle.with_file_name("2040-01-01T00-00-00Z.json");
    fs::write(&later, json.to_string()).unwrap();

    let warned = running.machine.caution(root, &["verify"]).expect(0);
    assert!(
        warned.stdout.contains("ROLLBACK") && warned.stdout.contains("close the hole"),
        "{}",
        warned.stdout
    );
    let verdict = running.machine.caution(root, &["verify", "--json"]).expect(0).json();
    assert_eq!(verdict["warnings"][0]["kind"], "rollback", "a warning does not make itself the reference");
    let stated = running.machine.caution(root, &["verify", "--json", "--commit", &runs]).expect(0).json();
    assert_eq!(stated["warnings"], Json::Array(vec![]));

    // An enclave that was given no manifest claims no commit: what it was compared with then counts all the same.
    json["verdict"]["commit"] = newer.trim().into();
    json["manifest"] = Json::Null;
    fs::write(&later, json.to_string()).unwrap();
    let verdict = running.machine.caution(root, &["verify", "--json"]).expect(0).json();
    assert_eq!(verdict["warnings"][0]["kind"], "rollback");
    // Nor is a warning got rid of by a history that lost the commit.
    json["verdict"]["commit"] = "f".repeat(40).into();
    fs::write(&later, json.to_string()).unwrap();
    let verdict = running.machine.caution(root, &["verify", "--json"]).expect(0).json();
    assert_eq!(verdict["warnings"][0]["kind"], "other_history");
    fs::remove_file(later).unwrap();
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
