//! A page that encrypts, in a real Chromium, before a real enclave.

use super::lifecycle::{kill, pids_of};
use super::text;
use caution_system_tests::command::Machine;
use caution_system_tests::repository::Repository;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Not ones that the kernel hands out by chance.
const PORT: u16 = 28543;
const PAGES: u16 = 28545;

#[test]
fn a_page_in_chromium_keeps_notes_that_only_the_enclave_reads() {
    let machine = Machine::with_https(PORT);
    let repository = Repository::of_example("secret-notes");
    let origins = format!("mode         = \"steve\"\n        cors_origins = [\"http://localhost:{PAGES}\"]");
    repository.edit("caution.hcl", "mode         = \"steve\"", &origins);
    let run = ["apps", "run", "--detach", "--name", "secret-notes", "--attestation-port", "0", "--json"];
    machine.caution(&repository.root, &run).expect(0);
    machine.caution(&repository.root, &["verify"]).expect(0);

    let told = serde_json::json!({
        "url": format!("https://secret-notes.localhost:{PORT}"),
        "root": machine.state().join("devroot/dev-root.der"),
        "hashes": repository.root.join(".caution/trusted_hashes.json"),
        "pages": PAGES,
    });
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut browser = Command::new(text(&checkout.join("tools/sdk-js")))
        .args(["live", &told.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines().map(Result::unwrap) {
        println!("{line}");
        // The host agent starts it again.
        if line == "restart" {
            kill("-KILL", &pids_of(&machine, "qemu-system-x86_64"));
        }
    }
    assert!(browser.wait().unwrap().success());
}
