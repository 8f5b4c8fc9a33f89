//! Answers prompts word by word, as language models are listened to: server-sent events over HTTP, each
//! sent the moment it exists. The words come from a toy (`generator.rs`), the rest is what a real one
//! needs.
//!
//! Every connection serves one request. Requests may be slow, broken or huge: each is bounded in bytes,
//! each wait in time, and none stops the server or another client's answer.

mod generator;
mod request;

use generator::Words;
use request::Request;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ADDRESS: &str = "0.0.0.0:8080";
/// The longest wait for a client to say or take something.
const PATIENCE: Duration = Duration::from_secs(10);
/// More clients than this at once are turned away.
const MAX_CLIENTS: usize = 64;
/// How long the toy pretends to think about a word.
const PACE: Duration = Duration::from_millis(20);

static CLIENTS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let listener = match TcpListener::bind(ADDRESS) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("llm-tokens: cannot listen on {ADDRESS}: {error}");
            std::process::exit(1);
        }
    };
    println!("llm-tokens: listening on {ADDRESS}");
    for connection in listener.incoming() {
        match connection {
            Ok(stream) => accept(stream),
            // Too many open files, a connection that is gone already: the next one may be fine.
            Err(error) => eprintln!("llm-tokens: a connection was not accepted: {error}"),
        }
    }
}

fn accept(mut stream: TcpStream) {
    let client = Client::enter();
    if CLIENTS.load(Ordering::SeqCst) > MAX_CLIENTS {
        let _ = respond(&mut stream, "503 Service Unavailable", "Too many clients.\n");
        return;
    }
    let work = move || {
        let _client = client;
        if let Err(error) = serve(&mut stream, PACE) {
            eprintln!("llm-tokens: an answer ended early: {error}");
        }
    };
    if let Err(error) = std::thread::Builder::new().spawn(work) {
        eprintln!("llm-tokens: no thread for a client: {error}");
    }
}

/// A client counts until this goes away, however its answer ends.
struct Client;

impl Client {
    fn enter() -> Self {
        CLIENTS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        CLIENTS.fetch_sub(1, Ordering::SeqCst);
    }
}

fn serve(stream: &mut TcpStream, pace: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A token is far smaller than a packet; waiting to fill one would hold it back.
    stream.set_nodelay(true)?;
    match request::read(&*stream)? {
        Some(Ok(Request::Generate { prompt, tokens })) => answer(stream, &prompt, tokens, pace),
        Some(Ok(Request::Health)) => respond(stream, "200 OK", "ok\n"),
        Some(Err((status, why))) => respond(stream, status, why),
        None => Ok(()),
    }
}

/// Streams an answer: one event and one chunk a token, then `[DONE]`.
fn answer(stream: &mut impl Write, prompt: &str, tokens: usize, pace: Duration) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
        transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    )?;
    for (index, token) in Words::after(prompt).take(tokens).enumerate() {
        std::thread::sleep(pace);
        event(stream, &format!(r#"{{"index":{index},"token":"{token}"}}"#))?;
    }
    event(stream, "[DONE]")?;
    stream.write_all(b"0\r\n\r\n")
}

/// One event as one chunk, in one piece.
fn event(stream: &mut impl Write, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    stream.flush()
}

fn respond(stream: &mut impl Write, status: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len(),
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// What a client that sends these bytes and closes gets back.
    fn exchange(sent: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        client.write_all(sent).expect("sends");
        client.shutdown(std::net::Shutdown::Write).expect("closes");
        serve(&mut listener.accept().expect("accepts").0, Duration::ZERO).expect("answers");
        let mut text = String::new();
        client.read_to_string(&mut text).expect("receives");
        text
    }

    #[test]
    fn an_answer_is_one_event_a_token_and_an_end() {
        let text = exchange(b"GET /generate?prompt=a+host&tokens=2 HTTP/1.1\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("text/event-stream"), "{head}");
        let words: Vec<_> = Words::after("a host").take(2).collect();
        let mut expected = String::new();
        for data in [
            format!(r#"{{"index":0,"token":"{}"}}"#, words[0]),
            format!(r#"{{"index":1,"token":"{}"}}"#, words[1]),
            "[DONE]".to_owned(),
        ] {
            expected += &format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
        }
        assert_eq!(body, expected + "0\r\n\r\n");
    }

    #[test]
    fn every_token_is_sent_when_it_exists() {
        /// Notes how often it was flushed, and what had been written by then.
        #[derive(Default)]
        struct Watched(Vec<u8>, Vec<usize>);
        impl Write for Watched {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                self.1.push(self.0.len());
                Ok(())
            }
        }
        let mut stream = Watched::default();
        answer(&mut stream, "x", 5, Duration::ZERO).expect("writes");
        assert_eq!(stream.1.len(), 6, "five tokens and the end");
    }

    #[test]
    fn other_requests_are_answered_too() {
        for (sent, expected) in [
            (&b"GET /health HTTP/1.1\r\n\r\n"[..], "HTTP/1.1 200 OK\r\n"),
            (b"\xff\xfe\x00\n\n", "HTTP/1.1 400 Bad Request\r\n"),
            (b"", ""),
        ] {
            assert!(exchange(sent).starts_with(expected));
        }
    }
}
