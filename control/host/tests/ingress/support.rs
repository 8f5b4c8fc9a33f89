//! An ingress in folders of its own, an app that answers on a Unix socket, and clients.

use caution_host::ingress::{App, HttpSpec, Ingress, IngressEvent, IngressSpec, Protocol, Routes, Settings};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running ingress; Caddy ends with it.
pub(crate) struct Place {
    pub(crate) root: TempDir,
    pub(crate) settings: Settings,
    pub(crate) ingress: Option<Ingress>,
    pub(crate) events: Receiver<IngressEvent>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With settings that are changed first.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_user(root.path().join("run"), root.path().join("state"));
        settings.listen = vec![Ipv4Addr::LOCALHOST.into()];
        (settings.https_port, settings.http_port) = (free_port(), free_port());
        change(&mut settings);
        let (ingress, events) = start(&settings);
        Self { root, settings, ingress: Some(ingress), events }
    }

    pub(crate) fn ingress(&self) -> &Ingress {
        self.ingress.as_ref().unwrap()
    }

    /// The agent is gone, and another one begins.
    pub(crate) fn another_agent(&mut self) {
        self.ingress = None;
        let (ingress, events) = start(&self.settings);
        (self.ingress, self.events) = (Some(ingress), events);
    }

    pub(crate) fn apply(&self, apps: &[&App]) {
        let routes = Routes { apps: apps.iter().map(|app| (*app).clone()).collect() };
        self.ingress().apply(&routes).unwrap();
    }

    /// An app on sockets of this name, and its route.
    pub(crate) fn app(&self, name: &str) -> (App, Upstream) {
        let upstream = Upstream::start(&self.root.path().join(format!("{name}.sock")), name);
        let app = App {
            name: name.to_owned(),
            spec: spec(Protocol::Http),
            upstream: Some(upstream.path.clone()),
            attestation: Some(upstream.path.clone()),
        };
        (app, upstream)
    }

    /// `curl` of a path of `<app>.localhost`, trusting the local authority.
    pub(crate) fn curl(&self, app: &str, path: &str, args: &[&str]) -> Answer {
        let url = format!("https://{app}.localhost:{}{path}", self.settings.https_port);
        let root = self.settings.local_root();
        // Caddy writes the root when it takes the first routes, and a certificate a moment later.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"])
                .arg(&root)
                .args(args)
                .arg(&url)
                .output()
                .unwrap();
            let handshake = matches!(output.status.code(), Some(35 | 77));
            if !handshake || Instant::now() > deadline {
                eprintln!("curl {path}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
                return Answer::of(&output);
            }
            std::thread::yield_now();
        }
    }

    /// A TLS connection with this app that bytes can be written to and read from.
    pub(crate) fn connect(&self, app: &str) -> Tls {
        // Waits for the certificate.
        self.curl(app, "/", &[]);
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-no_ign_eof",
                "-alpn",
                "http/1.1",
                "-connect",
            ])
            .arg(format!("127.0.0.1:{}", self.settings.https_port))
            .args(["-servername", &format!("{app}.localhost"), "-CAfile"])
            .arg(self.settings.local_root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Tls { child, to, from }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.ingress.take().unwrap().stop();
    }
}

fn start(settings: &Settings) -> (Ingress, Receiver<IngressEvent>) {
    let (sender, events) = channel();
    let sender = Mutex::new(sender);
    let tell = move |event| drop(sender.lock().unwrap().send(event));
    (Ingress::start(settings.clone(), tell).unwrap(), events)
}

pub(crate) fn spec(protocol: Protocol) -> IngressSpec {
    let http = Some(HttpSpec { port: 8080, protocol, domain: None });
    IngressSpec { http, ..IngressSpec::default() }
}

/// A port that nobody listens on, and that nobody gets by chance: below those the kernel hands out.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset =
            u16::try_from(std::process::id() % 1000).unwrap() * 10 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + offset % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// What `curl --include` printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn of(output: &std::process::Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        Self {
            status: head.split(' ').nth(1).and_then(|code| code.parse().ok()),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }
}

/// A TLS connection.
pub(crate) struct Tls {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Tls {
    pub(crate) fn send(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).unwrap();
        self.to.flush().unwrap();
    }

    /// Whether exactly this comes next.
    pub(crate) fn receives(&mut self, text: &str) -> bool {
        let mut bytes = vec![0; text.len()];
        self.from.read_exact(&mut bytes).is_ok() && bytes == text.as_bytes()
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.from.read_line(&mut line);
        line.trim_end().to_owned()
    }

    /// Everything until the other side closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.from.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Asks for another protocol, which the app then speaks: it echoes.
    pub(crate) fn upgrade(&mut self, app: &str) {
        self.send(&format!(
            "GET /socket HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(self.line(), "HTTP/1.1 101 Switching Protocols");
        while !self.line().is_empty() {}
    }

    pub(crate) fn echoes(&mut self, text: &str) -> bool {
        self.send(text);
        self.receives(text)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An app: it answers with its name and what it was asked, and as the path says.
pub(crate) struct Upstream {
    pub(crate) path: PathBuf,
    /// What it saw: `head <request line>`, `body <bytes>`, `ended`.
    pub(crate) seen: Receiver<String>,
    /// Lets `/events` send its next event.
    pub(crate) next_event: Sender<()>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
}

/// Ends as a program does: nobody listens, and every connection is closed.
impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Upstream {
    pub(crate) fn start(path: &Path, name: &str) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let (saw, seen) = channel();
        let (next_event, released) = channel();
        let (name, released) = (name.to_owned(), Arc::new(Mutex::new(released)));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                let (name, saw, released) = (name.clone(), saw.clone(), Arc::clone(&released));
                std::thread::spawn(move || {
                    let end = stream.try_clone().unwrap();
                    serve(stream, &name, &saw, &released);
                    let _ = end.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { path: path.to_owned(), seen, next_event, connections }
    }

    /// Waits until it saw this.
    pub(crate) fn await_seen(&self, wanted: &str) {
        while self.seen.recv_timeout(Duration::from_secs(20)).unwrap() != wanted {}
    }
}

/// Answers one connection until it ends.
fn serve(stream: UnixStream, name: &str, saw: &Sender<String>, released: &Mutex<Receiver<()>>) -> Option<()> {
    let mut to = stream.try_clone().unwrap();
    let mut from = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let asked = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let _ = saw.send(format!("head {asked}"));
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        from.read_exact(&mut vec![0; length.map_or(0, |length| length.parse().unwrap())]).ok()?;
        match asked.as_str() {
            "GET /socket" => {
                to.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                )
                .ok()?;
                std::io::copy(&mut from, &mut to).ok()?;
                return None;
            }
            "GET /events" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                to.write_all(head.as_bytes()).ok()?;
                while released.lock().unwrap().recv().is_ok() {
                    to.write_all(b"e\r\ndata: {\"n\":1}\n\r\n").ok()?;
                }
                return None;
            }
            "GET /break" | "POST /break" => return None,
            "POST /body" => {
                let mut buffer = [0; 4096];
                // Chunked, and only the end of it matters here.
                loop {
                    let length = from.read(&mut buffer).ok().filter(|length| *length > 0)?;
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let _ = saw.send(format!("body {}", text.replace("\r\n", "|")));
                    if text.ends_with("0\r\n\r\n") {
                        break;
                    }
                }
            }
            _ => {}
        }
        let body = format!("{name}\n{head}");
        let kind = if asked == "GET /page" { "text/html" } else { "text/plain" };
        let body = if asked == "GET /page" { PAGE.to_owned() } else { body };
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        to.write_all((head + &body).as_bytes()).ok()?;
    }
}

/// A page that says over which protocol it came.
const PAGE: &str = "<!doctype html><p id=p></p><script>document.getElementById('p').textContent = \
    'came by ' + performance.getEntriesByType('navigation')[0].nextHopProtocol</script>";
