//! Notes that only an enclave and its visitors read. steved, in front of it, lets nothing in that is not encrypted but what
//! a page begins with; so this program speaks plain HTTP and WebSockets, and needs to know nothing of that.

mod http;
mod notebook;
mod room;
mod socket;

use http::{respond, Head};
use notebook::{Notebook, MAX_FILE, MAX_NOTE};
use room::Room;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ADDRESS: &str = "0.0.0.0:8083";
/// The longest wait for a client to say or take something.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how long without a change a stream of events says that it is still there.
const SILENCE: Duration = Duration::from_secs(15);
/// More connections than this at once are turned away.
const MAX_CONNECTIONS: usize = 128;
const MAX_NAME: usize = 200;

const PAGE: &[u8] = include_bytes!("../web/index.html");
const REGISTER: &[u8] = include_bytes!("../web/register.js");
const WORKER: &[u8] = include_bytes!("../web/enclave-sw.js");
/// Nothing of another place runs in the page, and no other page can hold it.
const PAGE_FIELDS: &str = "content-type: text/html; charset=utf-8\r\n\
    content-security-policy: default-src 'self'; img-src data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\nreferrer-policy: no-referrer\r\n";
const SCRIPT: &str = "content-type: text/javascript; charset=utf-8\r\n";
const JSON: &str = "content-type: application/json\r\n";

/// What all connections share.
#[derive(Debug, Default)]
struct App {
    notebook: Notebook,
    drafts: Mutex<Room>,
    connections: AtomicUsize,
}

fn main() {
    let listener = match TcpListener::bind(ADDRESS) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("secret-notes: cannot listen on {ADDRESS}: {error}");
            std::process::exit(1);
        }
    };
    println!("secret-notes: listening on {ADDRESS}");
    let app = Arc::new(App::default());
    for connection in listener.incoming() {
        match connection {
            Ok(stream) => accept(&app, stream),
            // Too many open files, a connection that is gone already: the next one may be fine.
            Err(error) => eprintln!("secret-notes: a connection was not accepted: {error}"),
        }
    }
}

fn accept(app: &Arc<App>, mut stream: TcpStream) {
    let app = Arc::clone(app);
    let work = move || {
        if app.connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            drop(refuse(&mut stream, "503 Service Unavailable", "Too many connections."));
        } else if let Err(error) = app.serve(&stream) {
            eprintln!("secret-notes: a request ended early: {error}");
        }
        app.connections.fetch_sub(1, Ordering::SeqCst);
    };
    if let Err(error) = std::thread::Builder::new().spawn(work) {
        eprintln!("secret-notes: no thread for a connection: {error}");
    }
}

impl App {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let (mut from, mut to) = (BufReader::new(stream), stream);
        let head = match Head::read(&mut from) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) => {
                return refuse(&mut to, "400 Bad Request", &format!("That is no request: {error}."))
            }
        };
        let steps: Vec<_> = head.path.split('/').skip(1).collect();
        match (head.method.as_str(), &steps[..]) {
            ("GET" | "HEAD", [""]) => page(&mut to, &head, PAGE_FIELDS, PAGE),
            ("GET" | "HEAD", ["register.js"]) => page(&mut to, &head, SCRIPT, REGISTER),
            ("GET" | "HEAD", ["enclave-sw.js"]) => page(&mut to, &head, SCRIPT, WORKER),
            ("GET", ["notes"]) => respond(&mut to, "200 OK", JSON, self.notebook.list().as_bytes()),
            ("POST", ["notes"]) => self.add_text(&head, &mut from, &mut to),
            ("POST", ["files"]) => self.add_file(&head, &mut from, &mut to),
            ("DELETE", ["notes", number]) => match number.parse() {
                Ok(number) if self.notebook.remove(number) => respond(&mut to, "200 OK", JSON, b"{}"),
                _ => refuse(&mut to, "404 Not Found", "There is no such note."),
            },
            ("GET", ["files", number]) => self.file(number, &mut to),
            ("GET", ["events"]) => self.events(&mut to),
            ("GET", ["drafts"]) => self.drafts(&head, &mut from, stream),
            _ => refuse(&mut to, "404 Not Found", "Nothing is here."),
        }
    }

    fn add_text(&self, head: &Head, from: &mut BufReader<&TcpStream>, to: &mut &TcpStream) -> io::Result<()> {
        match head.content(from, MAX_NOTE)?.map(String::from_utf8) {
            Some(Ok(text)) if !text.trim().is_empty() => added(to, self.notebook.add_text(text)),
            Some(_) => refuse(to, "400 Bad Request", "A note is text."),
            None => refuse(to, "413 Content Too Large", "A note has at most 16 KiB."),
        }
    }

    fn add_file(&self, head: &Head, from: &mut BufReader<&TcpStream>, to: &mut &TcpStream) -> io::Result<()> {
        let name = head.query.strip_prefix("name=").and_then(http::decode);
        let name = match name.filter(|name| !name.is_empty() && name.len() <= MAX_NAME) {
            Some(name) => name,
            None => return refuse(to, "400 Bad Request", "`?name=` is to say what the file is called."),
        };
        match head.content(from, MAX_FILE)? {
            Some(bytes) => added(to, self.notebook.add_file(name, bytes)),
            None => refuse(to, "413 Content Too Large", "A file has at most 16 MiB."),
        }
    }

    fn file(&self, number: &str, to: &mut &TcpStream) -> io::Result<()> {
        match number.parse().ok().and_then(|number| self.notebook.file(number)) {
            Some(file) => {
                let name = http::encode(&file.name);
                let fields = format!(
                    "content-type: application/octet-stream\r\ncontent-disposition: attachment; filename*=UTF-8''{name}\r\n"
                );
                respond(to, "200 OK", &fields, &file.bytes)
            }
            None => refuse(to, "404 Not Found", "There is no such file."),
        }
    }

    /// All notes, and then every change the moment it happens, until the client goes.
    fn events(&self, to: &mut &TcpStream) -> io::Result<()> {
        let (all, changes) = self.notebook.watch();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
            transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        to.write_all(head.as_bytes())?;
        let mut next = all;
        loop {
            to.write_all(format!("{:x}\r\n{next}\r\n", next.len()).as_bytes())?;
            next = match changes.recv_timeout(SILENCE) {
                Ok(change) => change,
                Err(RecvTimeoutError::Timeout) => ":\n\n".to_owned(),
                // It was too far behind: the stream ends, and the page asks for another.
                Err(RecvTimeoutError::Disconnected) => return to.write_all(b"0\r\n\r\n"),
            };
        }
    }

    fn drafts(&self, head: &Head, from: &mut BufReader<&TcpStream>, stream: &TcpStream) -> io::Result<()> {
        let mut to = stream;
        let is_socket = head.field("upgrade").map_or(false, |name| name.eq_ignore_ascii_case("websocket"));
        let key = match head.field("sec-websocket-key") {
            Some(key) if is_socket => key,
            _ => return refuse(&mut to, "426 Upgrade Required", "Drafts pass by WebSocket."),
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
            socket::accept(key),
        );
        to.write_all(answer.as_bytes())?;
        // People think for minutes; that they are gone shows when the connection ends.
        stream.set_read_timeout(None)?;
        socket::relay(&self.drafts, from, stream)
    }
}

/// What a page begins with; `HEAD` gets none of it.
fn page(to: &mut &TcpStream, head: &Head, fields: &str, content: &[u8]) -> io::Result<()> {
    let content = if head.method == "HEAD" { &[] } else { content };
    respond(to, "200 OK", fields, content)
}

fn added(to: &mut &TcpStream, added: Result<u32, notebook::Full>) -> io::Result<()> {
    match added {
        Ok(number) => respond(to, "201 Created", JSON, format!(r#"{{"id":{number}}}"#).as_bytes()),
        Err(notebook::Full) => refuse(to, "507 Insufficient Storage", "The notebook is full."),
    }
}

fn refuse(to: &mut impl Write, status: &str, why: &str) -> io::Result<()> {
    respond(to, status, JSON, format!(r#"{{"error":{}}}"#, notebook::quoted(why)).as_bytes())
}

#[cfg(test)]
mod tests;
