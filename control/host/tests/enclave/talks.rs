//! What passes through STEVE in a real enclave beside single requests: WebSockets, connections that are kept, version 2.

use crate::Running;
use crate::encrypted::{APP, app_port, client, client_at, e2e};
use crate::support::{Place, compile, config, plan, ramdisk_of, release, write_image};
use caution_abi::boot_plan::{BootPlan, Readiness};
use caution_abi::e2e::E2e;
use caution_attest::{Evidence, Expected, Live, Roots, UnixMillis};
use caution_host::{PublishedPort, RunConfig, dev_root_der, run_detached, stop};
use caution_measure::ImagePcrs;
use caution_sdk::Message;
use caution_steve::Suite;
use caution_steve::v2::{Client, ClientRandom, Response};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// A run of the app that talks, with version 2 besides.
fn talker(name: &str) -> RunConfig {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let e2e = E2e { steve_v2: true, ..e2e() };
    let readiness = Readiness::Tcp { port: app_port(APP), timeout_s: 60 };
    let plan = BootPlan { ports: Vec::new(), e2e: Some(e2e), readiness, ..plan() };
    let program = PROGRAM.get_or_init(|| compile("talker.rs"));
    let eif = write_image(name, &release(), &ramdisk_of(&plan, &[("app", program)]));
    let ports = vec![PublishedPort { enclave: APP, host: Some(0) }];
    RunConfig { ports, http_port: Some(APP), e2e: true, ..config(&eif) }
}

/// The body of the answer to this, which has to be 200.
fn post(running: &Running, path: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = running.connect(APP);
    let head = format!(
        "POST /e2p/v2/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/cbor\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    answer.split_off(at + 4)
}

/// What an authentic document of this very enclave, with this nonce, says.
#[expect(clippy::disallowed_methods, reason = "a test is a binary, and asks about now")]
fn claims(document: &[u8], nonce: &[u8; 32], place: &Place, running: &Running) -> Vec<u8> {
    let roots = Roots::dev_root(&dev_root_der(&place.dirs).unwrap()).unwrap();
    let profiles = [ImagePcrs { measurements: running.measurements(), pcr8: None }];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let live = Live { now: UnixMillis(now.try_into().unwrap()), nonce, max_age_ms: 300_000 };
    let expected = Expected { profiles: &profiles, ..Expected::default() };
    let verified = Evidence::parse(document).unwrap().verify(&roots, &live, &expected).unwrap();
    verified.user_data().unwrap().to_vec()
}

#[tokio::test]
async fn websockets_kept_connections_and_version_2_pass_in_an_enclave() {
    let place = Place::new();
    let running = Running::ready(&place.dirs, &talker("talker.eif"));

    let by_3 = client(&place, &running).connect().await.unwrap();
    let mut said = Vec::new();
    for word in ["one", "two"] {
        let mut response = by_3.post("/").body(word).send().await.unwrap();
        said.push(response.text(1000).await.unwrap());
    }
    let connection = said[0].split(' ').nth(2).unwrap().to_owned();
    let expected = [(1, "one"), (2, "two")];
    let expected = expected.map(|(at, word)| format!("v=3; suite=x25519 {connection} {at} {word}"));
    // The same connection, its next request.
    assert_eq!(said, expected);

    let mut socket = by_3.websocket("/").connect().await.unwrap();
    for message in [Message::from("text".to_owned()), Message::Binary(vec![7; 100].into())] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(message));
    }
    socket.close(Some(4001), "done").await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), None);
    assert_eq!(socket.closed().and_then(|close| close.code), Some(4001));

    let random = ClientRandom { key: [3; 32].into(), nonce: [4; 32] };
    let (by_2, request) = Client::start(Suite::X25519, [7; 32], &random);
    let unverified = by_2.finish(&post(&running, "session", &request)).unwrap();
    let claims = claims(&unverified.document, &unverified.nonce, &place, &running);
    let mut session = unverified.verified(&claims).unwrap();
    let confirmed = post(&running, "confirm", &session.confirmation());
    session.confirmed(&confirmed).unwrap();
    let (sequence, sealed) = session.request("POST", "/", &Vec::new(), Some(b"three")).unwrap();
    let (response, body) = session.response(sequence, post(&running, "request", &sealed)).unwrap();
    assert!(matches!(response, Response::App { status: 200, .. }), "{response:?}");
    let body = String::from_utf8(body).unwrap();
    assert!(body.starts_with("v=2; suite=x25519 ") && body.ends_with(" three"), "{body}");
    running.stop().unwrap();
    place.assert_clean();
}

/// What processes read and write, all of it, by strace.
struct Eyes {
    strace: Child,
    seen: PathBuf,
}

impl Eyes {
    /// Looks at these processes from now on.
    fn on(processes: &[i32], seen: PathBuf) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-s", "1000000", "-e", "trace=%desc,%network", "-o"]).arg(&seen);
        for process in processes {
            command.args(["-p", &process.to_string()]);
        }
        let mut strace = command.stderr(Stdio::piped()).spawn().expect("strace, of Debian's package");
        let mut words = BufReader::new(strace.stderr.take().unwrap());
        for _ in processes {
            let mut line = String::new();
            words.read_line(&mut line).unwrap();
            assert!(line.contains(" attached"), "{line}");
        }
        // It goes on to speak of each new thread, and must not wait for anybody to hear it.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        Self { strace, seen }
    }

    /// All that was seen.
    fn close(mut self) -> String {
        Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status().unwrap();
        self.strace.wait().unwrap();
        String::from_utf8_lossy(&std::fs::read(&self.seen).unwrap()).into_owned()
    }
}

#[tokio::test]
async fn what_is_said_through_steve_is_in_no_system_call_of_the_hosts() {
    let place = Place::new();
    let config = talker("watched.eif");
    let record = run_detached(&place.dirs, &config, Path::new(AGENT), &mut |_| {}).unwrap();
    // The machine, and its supervisor, which all traffic passes.
    let machine = place.processes().into_iter().map(|(pid, _)| pid);
    let processes: Vec<i32> = machine.chain([record.pid]).collect();
    assert!(processes.len() > 1, "{processes:?}");
    let (_, port) = record.ports[0];
    let client = client_at(&place, port, record.measurements).connect().await.unwrap();

    let eyes = Eyes::on(&processes, place.file("seen"));
    let mut response = client.post("/secret-path").body("canary-in-a-request").send().await.unwrap();
    assert!(response.text(1000).await.unwrap().contains("canary-in-a-request"));
    let mut socket = client.websocket("/").connect().await.unwrap();
    socket.send("canary-in-a-socket".to_owned()).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(Message::from("canary-in-a-socket".to_owned())));
    // In the clear the same eyes see it: what a page begins with.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: canary-in-the-clear\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let said = page.rsplit("\r\n\r\n").next().unwrap();
    assert!(said.starts_with("plain "), "{page}");

    let seen = eyes.close();
    // Both ways, in and out of the supervisor.
    assert!(seen.matches("canary-in-the-clear").count() >= 1 && seen.contains(said), "strace sees");
    assert!(seen.contains("application/steve-req") && seen.contains("application/steve-res"), "strace sees");
    for secret in ["canary-in-a", "secret-path"] {
        assert!(!seen.contains(secret), "{secret} was there to be read");
    }
    stop(&place.dirs, &record.id).unwrap();
    place.assert_clean();
}

const AGENT: &str = env!("CARGO_BIN_EXE_caution-host");
