//! An app behind STEVE: built, run and verified; asked by `caution curl` and `caution proxy`, and by nobody in the clear.

use super::check;
use caution_system_tests::command::{Machine, Ran, finish};
use caution_system_tests::repository::Repository;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Not ones that the kernel hands out by chance.
const HTTPS: u16 = 28463;
const PUBLISHED: u16 = 28483;

/// What nobody but the enclave and its client is to read.
const CANARY: &str = "canary-5f0c1e9a7b";

#[test]
fn an_app_behind_encryption_is_asked_by_our_clients_and_by_nobody_in_the_clear() {
    let machine = Machine::with_https(HTTPS);
    let repository = Repository::of_example("notes");
    repository.edit("notes.py", "HTTP_PORT = 8080", "HTTP_PORT = 8083");
    repository.edit("Procfile", "ports: 8080, 9000", "ports: 8083, 9000\ne2e: true");
    repository.edit("Procfile", "http_port: 8080", "http_port: 8083");
    let root = &repository.root;
    let caution = |args: &[&str]| machine.caution(root, args);

    let publish = format!("{PUBLISHED}:8083");
    let run =
        ["apps", "run", "--detach", "--name", "notes", "--publish", &publish, "--publish", "28484:9000"];
    let ran = caution(&run).expect(0);
    let words =
        "encrypted into the enclave by STEVE (x25519); requests without it are refused; port 9000 is raw";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    let url = format!("https://notes.localhost:{HTTPS}/");
    assert!(
        ran.stdout.contains(&format!("try it: caution verify && caution curl {url}\n")),
        "{}",
        ran.stdout
    );

    let notes = format!("{url}notes");
    let unasked = caution(&["curl", &notes, "-d", CANARY]).expect(2);
    assert!(unasked.stderr.contains("Nothing says which enclave is trusted."), "{}", unasked.stderr);
    let verdict = caution(&["verify", "--json"]).expect(0).json();
    assert_eq!(check(&verdict, "channel")["status"], "ok");
    assert_eq!((&verdict["e2e"]["suite"], &verdict["e2e"]["app_port"]), (&"x25519".into(), &8083.into()));

    // Whom to trust, by which suite and by which authority, is on record now.
    let sent = caution(&["curl", &notes, "-d", CANARY]).expect(0);
    assert_eq!(sent.stdout, "{\"id\": 2}\n");
    assert!(
        sent.stderr.contains("encrypted into the enclave by x25519\nHTTP 201 Created"),
        "{}",
        sent.stderr
    );
    let published = format!("http://127.0.0.1:{PUBLISHED}/notes/2");
    assert!(caution(&["curl", &published]).expect(0).stdout.contains(CANARY));
    let dry = caution(&["curl", &notes, "--dry-run", "-d", "x"]).expect(0);
    assert!(dry.stderr.contains("nothing was sent"), "{}", dry.stderr);

    refused_in_the_clear(&machine, &notes, &published);
    asked_through_the_proxy(&machine, &repository, &url);
    unread_on_the_way(&machine, &repository);
}

/// By Caddy and by the port on 127.0.0.1 alike.
fn refused_in_the_clear(machine: &Machine, notes: &str, published: &str) {
    let authority = machine.state().join("ingress/certificates/pki/authorities/local/root.crt");
    let resolved = format!("notes.localhost:{HTTPS}:127.0.0.1");
    for url in [notes, published] {
        let answer =
            curl(&["-i", "-d", "x", "--cacert", authority.to_str().unwrap(), "--resolve", &resolved, url]);
        let said = answer.stdout.to_lowercase();
        assert!(said.contains(" 403") && said.contains("cache-control: no-store"), "{said}");
        assert!(said.ends_with("{\"error\":\"e2e_required\"}"), "{said}");
    }
}

fn asked_through_the_proxy(machine: &Machine, repository: &Repository, url: &str) {
    let mut command = machine.command(&repository.root, ["proxy", url]);
    let mut proxy = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut local = String::new();
    BufReader::new(proxy.stdout.take().unwrap()).read_line(&mut local).unwrap();
    let answer = curl(&[&format!("{}/notes/2", local.trim())]);
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert!(answer.stdout.contains(CANARY), "{}{}", answer.stdout, answer.stderr);
}

/// Everything that goes between a client and the enclave passes the tap, where the host would listen.
fn unread_on_the_way(machine: &Machine, repository: &Repository) {
    let (url, heard) = tap();
    let found = |what: &str| {
        let heard = heard.lock().unwrap();
        heard.windows(what.len()).any(|window| window == what.as_bytes())
    };
    let (notes, note) = (format!("{url}/notes"), format!("{url}/notes/3"));
    let caution = |args: &[&str]| machine.caution(&repository.root, args).expect(0).stdout;
    assert_eq!(caution(&["curl", "--trust-root", "dev", &notes, "-d", CANARY]), "{\"id\": 3}\n");
    assert!(caution(&["curl", "--trust-root", "dev", &note]).contains(CANARY));
    assert!(found("application/steve-req") && found("application/steve-res"), "the tap hears");
    assert!(!found(CANARY) && !found("/notes"), "neither content nor paths are to be read");

    // The same sent in the clear is heard, so that silence means something.
    curl(&["-d", CANARY, &notes]);
    assert!(found(CANARY) && found("/notes") && found("e2e_required"));
}

/// A relay to the published port that keeps every byte of both directions.
fn tap() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let enclave = TcpStream::connect(("127.0.0.1", PUBLISHED)).unwrap();
            let [to, from] = [&client, &enclave].map(|stream| stream.try_clone().unwrap());
            for (mut from, mut to) in [(client, enclave), (from, to)] {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || {
                    let mut piece = [0; 16 * 1024];
                    while let Ok(count @ 1..) = from.read(&mut piece) {
                        keep.lock().unwrap().extend_from_slice(&piece[..count]);
                        if to.write_all(&piece[..count]).is_err() {
                            break;
                        }
                    }
                    // The other side may have gone first.
                    drop(to.shutdown(Shutdown::Write));
                });
            }
        }
    });
    (url, heard)
}

fn curl(args: &[&str]) -> Ran {
    finish(&Command::new("curl").args(["-sS", "--max-time", "30"]).args(args).output().unwrap())
}
