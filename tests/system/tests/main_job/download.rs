//! `caution apps download-eif`: the deployed image, and no other, under the name that was asked for.

use super::{HELLO, Running, text};
use caution_eif::{EifError, Image, Limits};
use caution_system_tests::command::free_port;
use caution_system_tests::http;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The only enclave of this machine, as its agent wrote it down.
fn record(running: &Running) -> serde_json::Value {
    let list = running.machine.caution(Path::new("/"), &["apps", "ps", "--json"]).expect(0).json();
    list["enclaves"][0].clone()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// The command that ends as soon as it wrote more than 4096 bytes to a file: it is killed (SIGXFSZ).
fn killed_while_writing(running: &Running, dir: &Path, args: &[&str]) {
    let command = running.machine.command(dir, args);
    let mut limited = Command::new("prlimit");
    limited.arg("--fsize=4096").arg(command.get_program()).args(command.get_args()).current_dir(dir);
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(limited.status().unwrap().code(), None, "a signal ends it");
}

#[test]
fn a_deployed_image_is_downloaded_whole_and_goes_on_after_an_interruption() {
    let hello = &*HELLO;
    let running = Running::honest();
    let folder = tempfile::tempdir().unwrap();
    let built = fs::read(&hello.eif).unwrap();
    let download = |code, args: &[&str]| {
        let args = [&["apps", "download-eif", "--json"], args].concat();
        running.machine.caution(folder.path(), &args).expect(code).json()
    };

    let args = ["apps", "download-eif", "hello", "-o", "app.eif"];
    killed_while_writing(&running, folder.path(), &args);
    assert_eq!(names(folder.path()), ["app.eif.part", "app.eif.part.json"]);
    assert_eq!(fs::read(folder.path().join("app.eif.part")).unwrap(), built[..4096]);
    let downloaded = download(0, &["hello", "-o", "app.eif"]);
    assert_eq!(names(folder.path()), ["app.eif"]);
    assert!(fs::read(folder.path().join("app.eif")).unwrap() == built);
    assert_eq!(
        (&downloaded["resumed_at"], &downloaded["attested_root"]),
        (&4096.into(), &"development".into())
    );
    for key in ["size", "sha256", "pcr0", "pcr1", "pcr2", "pcr8"] {
        assert_eq!(downloaded[key], hello.built[key], "{key}");
    }

    // A part of another image is not gone on with, and a file that is there is replaced only when asked for.
    killed_while_writing(&running, folder.path(), &["apps", "download-eif", "hello", "-f", "-o", "app.eif"]);
    let marker = folder.path().join("app.eif.part.json");
    let of_another = fs::read_to_string(&marker)
        .unwrap()
        .replace(hello.built["sha256"].as_str().unwrap(), &"0".repeat(64));
    fs::write(&marker, of_another).unwrap();
    let refused = download(1, &["hello", "-o", "app.eif"]);
    assert_eq!(refused["error"]["message"], "app.eif exists.");
    let args = ["apps", "download-eif", "hello", "-f", "-o", "app.eif"];
    let ran = running.machine.caution(folder.path(), &args).expect(0);
    assert!(ran.stderr.contains("begun anew"), "{}", ran.stderr);
    assert!(ran.stdout.contains("it is what the app attests now, in a local enclave"), "{}", ran.stdout);
    assert_eq!(names(folder.path()), ["app.eif"]);
    assert!(fs::read(folder.path().join("app.eif")).unwrap() == built);

    // The name that is used when none is given.
    let downloaded = download(0, &["hello"]);
    assert_eq!(downloaded["file"], format!("{}.eif", record(&running)["id"].as_str().unwrap()));
    assert!(fs::read(folder.path().join(downloaded["file"].as_str().unwrap())).unwrap() == built);
}

/// Where the agent keeps an image.
fn kept(running: &Running, record: &serde_json::Value, sha256: &str) -> PathBuf {
    let id = record["id"].as_str().unwrap();
    running.machine.state().join("deployed").join(id).join(format!("{sha256}.eif"))
}

/// The image with another application in it, sound in itself.
fn another(mut image: Vec<u8>) -> (Vec<u8>, Image) {
    let last = caution_eif::read(image.as_slice(), &Limits::default()).unwrap().sections.pop().unwrap();
    image[usize::try_from(last.data_offset + last.size / 2).unwrap()] ^= 1;
    let Err(EifError::Crc { computed, .. }) = caution_eif::read(image.as_slice(), &Limits::default()) else {
        panic!("its checksum is that of the honest image");
    };
    image[544..548].copy_from_slice(&computed.to_be_bytes());
    let read = caution_eif::read(image.as_slice(), &Limits::default()).unwrap();
    (image, read)
}

#[test]
fn an_image_that_is_not_the_deployed_one_never_gets_its_name() {
    let running = Running::honest();
    let folder = tempfile::tempdir().unwrap();
    let refused = |code| {
        let args = ["apps", "download-eif", "hello", "--json", "-o", "app.eif"];
        let error = running.machine.caution(folder.path(), &args).expect(code).json();
        assert!(!folder.path().join("app.eif").exists());
        error["error"]["message"].as_str().unwrap().to_owned() + " " + &error["error"]["causes"].to_string()
    };
    let mut record = record(&running);
    let store = kept(&running, &record, record["eif_sha256"].as_str().unwrap());
    let honest = fs::read(&store).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o600)).unwrap();

    // Bytes that are no sound image; another image.
    fs::write(&store, [&honest[..honest.len() - 1], b"X"].concat()).unwrap();
    let said = refused(12);
    assert!(said.starts_with("This is not the image that hello ("), "{said}");
    assert_eq!(names(folder.path()), ["app.eif.part"], "nobody goes on with it");
    let (other, read) = another(honest);
    fs::write(&store, &other).unwrap();
    let said = refused(12);
    assert!(said.contains("its SHA-256 is ") && said.contains("its PCR2 is "), "{said}");

    // A host that says it runs the other image, consistently; but the enclave attests what it is.
    record["eif_sha256"] = serde_json::to_value(read.sha256).unwrap();
    record["measurements"] = serde_json::to_value(read.measurements).unwrap();
    let id = record["id"].as_str().unwrap();
    fs::write(running.machine.runtime().join(id).join("record"), record.to_string()).unwrap();
    fs::rename(&store, kept(&running, &record, &read.sha256.to_string())).unwrap();
    let said = refused(12);
    assert!(said.starts_with("hello attests another image than this one."), "{said}");
    assert!(said.contains("PCR2 differs"), "{said}");

    // One whose image somebody removed.
    fs::remove_file(kept(&running, &record, &read.sha256.to_string())).unwrap();
    let said = refused(1);
    assert!(said.starts_with("The image that hello runs is not kept on this machine."), "{said}");
}

#[test]
fn an_image_that_nothing_attests_is_downloaded_and_that_is_said() {
    let hello = &*HELLO;
    let running = Running::start(&hello.repository.root, &hello.eif, &hello.manifest, &["--debug"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.eif");
    let download = |code| {
        let args = ["apps", "download-eif", "hello", "--json", "-f", "-o", text(&file)];
        running.machine.caution(folder.path(), &args).expect(code).json()
    };
    // In debug mode; where nobody answers.
    let downloaded = download(0);
    assert_eq!(downloaded["attested_root"], serde_json::Value::Null);
    assert!(downloaded["not_attested_because"].to_string().contains("debug mode"), "{downloaded}");
    let mut record = record(&running);
    let mut ask_at = |port: u16| {
        record["attestation_url"] = format!("http://127.0.0.1:{port}/attestation").into();
        let path = running.machine.runtime().join(record["id"].as_str().unwrap()).join("record");
        fs::write(path, record.to_string()).unwrap();
    };
    ask_at(free_port());
    let downloaded = download(0);
    assert!(downloaded["not_attested_because"].to_string().contains("could be fetched"), "{downloaded}");
    assert!(fs::read(&file).unwrap() == fs::read(&hello.eif).unwrap());

    // Where something else answers, it proves nothing: the download waits under its other name.
    fs::remove_file(&file).unwrap();
    ask_at(http::serve(|_| br#"{"document":"AAAA"}"#.to_vec()));
    assert_eq!(download(10)["error"]["kind"], "evidence_invalid");
    assert_eq!(names(folder.path()), ["app.eif.part", "app.eif.part.json"]);
    ask_at(running.attestation_port);
    assert_eq!(download(0)["resumed_at"], hello.built["size"]);
    assert_eq!(names(folder.path()), ["app.eif"]);
}
