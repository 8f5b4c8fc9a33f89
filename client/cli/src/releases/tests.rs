use super::*;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use std::process::Command;

/// Lists of a program that trusts the key `seed`, with this list built in.
fn lists(folder: &Path, built_in: &[u8]) -> Lists {
    let point = key(1).verifying_key().to_sec1_point(false);
    Lists {
        built_in: KnownReleases::parse(built_in).unwrap(),
        keys: ListKeys::new([point.as_bytes()]).unwrap(),
        place: folder.join("state/enclaveos-releases.signed"),
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 48]).unwrap()
}

/// A list without releases.
fn list(serial: u64) -> Vec<u8> {
    format!(r#"{{"schema": "caution.enclaveos-releases/1", "serial": {serial}, "releases": []}}"#)
        .into_bytes()
}

/// Writes a list and its signature by the key `seed`.
fn publish(folder: &Path, bytes: &[u8], seed: u8) -> PathBuf {
    let file = folder.join("releases.json");
    let signature: Signature = key(seed).sign(bytes);
    fs::write(&file, bytes).unwrap();
    fs::write(folder.join("releases.json.sig"), signature.to_der().as_bytes()).unwrap();
    file
}

#[test]
fn a_newer_list_counts_when_it_is_signed_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let here = || lists(dir.path(), &list(2));
    assert_eq!(here().known().unwrap().list.serial(), 2);

    let file = publish(dir.path(), &list(3), 1);
    assert_eq!(here().update(&file).unwrap().list.serial(), 3);
    let known = here().known().unwrap();
    assert_eq!((known.list.serial(), known.update), (3, Some(here().place)));

    // Not by another key, and not back to an older one.
    assert!(
        here().update(&publish(dir.path(), &list(4), 2)).unwrap_err().message.contains("not signed by a key")
    );
    let older = here().update(&publish(dir.path(), &list(2), 1)).unwrap_err();
    assert!(older.message.contains("serial 2, which is lower than 3"), "{}", older.message);
    assert_eq!(here().known().unwrap().list.serial(), 3);

    // A program that was built later knows more than the update that was kept.
    let known = lists(dir.path(), &list(9)).known().unwrap();
    assert_eq!((known.list.serial(), known.update), (9, None));
}

/// Whoever comes later must not bring the older list back.
#[test]
fn of_updates_at_the_same_time_the_newest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (3..19)
        .map(|serial| {
            let folder = dir.path().join(serial.to_string());
            fs::create_dir(&folder).unwrap();
            publish(&folder, &list(serial), 1)
        })
        .collect();
    std::thread::scope(|scope| {
        for file in &files {
            // Refused where a newer one was faster.
            scope.spawn(|| lists(dir.path(), &list(2)).update(file).ok());
        }
    });
    assert_eq!(lists(dir.path(), &list(2)).known().unwrap().list.serial(), 18);
}

#[test]
fn a_kept_update_is_verified_again_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let here = || lists(dir.path(), &list(2));
    here().update(&publish(dir.path(), &list(3), 1)).unwrap();
    let place = here().place;
    let text = fs::read_to_string(&place).unwrap();
    for changed in [text.replace(": 3,", ": 4,"), text.replacen('M', "N", 1), String::new(), "=\n{}".into()] {
        fs::write(&place, changed).unwrap();
        let error = here().known().unwrap_err();
        assert_eq!(error.exit, Exit::CannotReproduce);
        assert!(error.hint.unwrap().starts_with(&format!("rm {}", place.display())));
    }
}

/// The file that is signed and the signature as the documented commands make them.
#[test]
fn openssl_signs_lists() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("releases.json"), list(3)).unwrap();
    let script = "openssl ecparam -name secp384r1 -genkey -noout -out key && openssl ec -in key -pubout -out key.pem \
                  && openssl dgst -sha384 -sign key -out releases.json.sig releases.json";
    let ran = Command::new("sh").args(["-ec", script]).current_dir(dir.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let point = point(&fs::read_to_string(dir.path().join("key.pem")).unwrap()).unwrap();
    let here = Lists { keys: ListKeys::new([&point[..]]).unwrap(), ..lists(dir.path(), &list(1)) };
    assert_eq!(here.update(&dir.path().join("releases.json")).unwrap().list.serial(), 3);
}

#[test]
fn the_list_built_in_and_its_keys_are_well_formed_and_its_commits_are_in_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        cache: dir.path().into(),
        state: dir.path().into(),
        runtime: dir.path().into(),
        settings: dir.path().into(),
        no_color: true,
    };
    let known = known(&config).unwrap();
    assert!(known.update.is_none());
    let git = |args: &[&str]| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // An archive of the source has no history, and a shallow clone only a part of it.
    if git(&["rev-parse", "--is-shallow-repository"]).as_deref() != Some("false") {
        return;
    }
    for release in known.list.releases() {
        let commit = &release.source_commit;
        let is_there = git(&["merge-base", "--is-ancestor", commit, "HEAD"]).is_some();
        assert!(is_there, "{}: commit {commit} is not in the history of HEAD", release.version);
    }
}
