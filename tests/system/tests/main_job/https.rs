//! Reached by name over HTTPS.

use super::lifecycle::{kill, pids_of};
use super::text;
use caution_system_tests::command::{Machine, Ran, finish};
use caution_system_tests::repository::Repository;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Not one that the kernel hands out by chance.
const PORT: u16 = 28443;

#[test]
fn an_app_is_reached_by_its_names_until_it_is_stopped_and_again_after_it_died() {
    let machine = Machine::with_https(PORT);
    let repository = Repository::of_example("hello");
    repository.edit("Procfile", "ports: 8080", "ports: 8080\ndomain: hello.example.com");

    let run = ["apps", "run", "--detach", "--name", "hello", "--publish", "28480:8080"];
    let ran = machine.caution(&repository.root, &run).expect(0);
    assert!(ran.stdout.contains("https://hello.example.com:28443/\n"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("TLS ends outside the enclave").count(), 1, "{}", ran.stdout);
    let root = machine.state().join("ingress/certificates/pki/authorities/local/root.crt");
    let command = format!("try it: curl --cacert {} https://hello.localhost:28443/\n", root.display());
    assert!(ran.stdout.contains(&command), "{}", ran.stdout);

    let answer = ask(&root, "hello.localhost", "/");
    assert!(answer.stdout.contains("200") && answer.stdout.contains("Hello"), "{}", answer.stdout);
    let answer = ask(&root, "hello.example.com", "/");
    assert!(answer.stdout.contains("Hello"), "{}", answer.stdout);
    let nonce = r#"{"nonce":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}"#;
    let url = format!("https://hello.localhost:{PORT}/attestation");
    let evidence = curl(&root, &["-d", nonce, &url]);
    assert!(evidence.stdout.contains("\"document\""), "{}", evidence.stdout);

    kill("-KILL", &pids_of(&machine, "qemu-system-x86_64"));
    // It is said to be away, or is there again already; then it is there.
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let answer = ask(&root, "hello.localhost", "/").stdout;
        let away = answer.contains(" 503") && answer.to_lowercase().contains("retry-after: ");
        let back = answer.contains(" 200") && answer.contains("Hello");
        assert!(away || back, "{answer}");
        let list = machine.caution(Path::new("/"), &["apps", "ps", "--all", "--json"]).expect(0).json();
        if back && list["apps"][0]["restarts"] == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer} {list}");
    }

    machine.caution(&repository.root, &["apps", "stop", "hello"]).expect(0);
    let refused = |ran: Ran| ran.code == 7;
    while !refused(ask(&root, "hello.localhost", "/")) {
        assert!(Instant::now() < deadline, "Caddy is still there");
    }
}

fn ask(root: &Path, host: &str, path: &str) -> Ran {
    let resolved = format!("{host}:{PORT}:127.0.0.1");
    curl(root, &["-i", "--resolve", &resolved, &format!("https://{host}:{PORT}{path}")])
}

fn curl(root: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--cacert", text(root)]).args(args);
    finish(&command.output().unwrap())
}
