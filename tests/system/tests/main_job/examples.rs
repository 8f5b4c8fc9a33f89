//! The other examples, each built, booted, used as its README says, and verified from source.

use super::{Running, build};
use caution_system_tests::command::free_port;
use caution_system_tests::http;
use caution_system_tests::repository::Repository;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Builds an example in a repository of its own and boots it.
fn boot(name: &str, more: &[&str]) -> (Repository, Running) {
    let repository = Repository::of_example(name);
    build(&repository);
    let (eif, manifest) = (repository.stage("output/enclave.eif"), repository.stage("manifest.json"));
    let running = Running::start(&repository.root, &eif, &manifest, more);
    (repository, running)
}

fn assert_verified(repository: &Repository, running: &Running) {
    let verdict = running.machine.caution(&repository.root, &["verify", "--json"]).expect(0).json();
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["commit"], repository.head());
}

/// A connection to a published port, with these bytes sent.
fn connect(port: u16, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

#[test]
fn notes_are_kept_by_a_user_that_is_not_root_and_found_on_a_second_port() {
    let search_port = free_port();
    let (repository, running) = boot("notes", &["--publish", &format!("{search_port}:9000")]);
    let ask = |method, path: &str, body: &str| {
        let (status, body) = http::request(running.app_port, method, path, body.as_bytes()).unwrap();
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };

    let (status, created) = ask("POST", "/notes", "buy bread");
    assert_eq!(status, 201, "{created}");
    let (_, note) = ask("GET", &format!("/notes/{}", created["id"]), "");
    assert_eq!(note["text"], "buy bread");
    // The note of the image, and the new one.
    assert_eq!(ask("GET", "/notes", "").1.as_array().map(Vec::len), Some(2));

    let mut found = String::new();
    connect(search_port, "bread\n").read_to_string(&mut found).unwrap();
    assert_eq!(found, format!("{} buy bread\n", created["id"]));

    let (_, about) = ask("GET", "/about", "");
    assert_eq!(about["user"], 1000, "{about}");
    assert_verified(&repository, &running);
}

#[test]
fn tokens_arrive_one_by_one_at_several_clients_at_once() {
    let (repository, running) = boot("llm-tokens", &[]);
    let generate = |prompt: &str, tokens: u32| {
        let path = format!("/generate?prompt={prompt}&tokens={tokens}");
        BufReader::new(connect(running.app_port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")))
    };
    let whole = |prompt| {
        let mut answer = String::new();
        generate(prompt, 5).read_to_string(&mut answer).unwrap();
        answer
    };
    let next_token = |stream: &mut BufReader<TcpStream>| {
        let line =
            stream.lines().map(Result::unwrap).find_map(|l| Some(l.strip_prefix("data: ")?.to_owned()));
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["index"].as_u64().unwrap()
    };

    // These two take minutes to end: whatever is read of them arrived before their last token was sent.
    let (mut one, mut other) = (generate("one", 10_000), generate("other", 10_000));
    assert_eq!((next_token(&mut one), next_token(&mut other)), (0, 0));
    // A third client has its whole answer meanwhile, the same as any other day.
    let answer = whole("a+host");
    assert!(answer.contains("data: [DONE]") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(answer, whole("a+host"));
    assert_eq!((next_token(&mut one), next_token(&mut other)), (1, 1));
    assert_verified(&repository, &running);
}
