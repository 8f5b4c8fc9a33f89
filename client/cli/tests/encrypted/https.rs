//! Through Caddy: HTTPS and HTTP/2 up to it, as in front of enclaves.

use crate::enclave::Running;
use caution_steve::Suite;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Caddy with an authority of its own, until it is dropped.
struct Caddy {
    child: Child,
    url: String,
}

impl Drop for Caddy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Caddy {
    fn start(folder: &Path, upstream: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let storage = folder.join("caddy");
        let config = format!(
            "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n storage file_system {}\n}}\n\
             https://localhost:{port} {{\n bind 127.0.0.1\n tls internal\n reverse_proxy {upstream} {{\n  flush_interval -1\n }}\n}}\n",
            storage.display()
        );
        let file = folder.join("Caddyfile");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file).env("HOME", folder);
        let mut child =
            command.stderr(Stdio::piped()).spawn().expect("Debian's package `caddy` is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serves = lines.any(|line| line.unwrap().contains("certificate obtained successfully"));
        assert!(serves, "Caddy serves");
        // What it goes on to say must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("https://localhost:{port}") }
    }
}

#[test]
fn requests_pass_through_caddy_by_https() {
    let running = Running::start(Suite::XWing);
    let caddy = Caddy::start(running.folder.path(), running.url.strip_prefix("http://").unwrap());
    let curl = |more: &[&str]| {
        let mut command = running.caution("curl");
        command.arg(format!("{}/x", caddy.url)).args(["--pcrs", "good.pcrs"]).args(more).output().unwrap()
    };
    let stranger = curl(&[]);
    assert_eq!(stranger.status.code(), Some(15), "its authority is nobody's");

    let root = ["--cacert", "caddy/pki/authorities/local/root.crt"];
    let sent = curl(&[&root[..], &["-d", "secret"]].concat());
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "secret", "{}", String::from_utf8_lossy(&sent.stderr));

    let long: Vec<u8> = (0..2_000_000_u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
    std::fs::write(running.path("long"), &long).unwrap();
    let sent = curl(&[&root[..], &["-d", "@long", "-o", "back"]].concat());
    assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(std::fs::read(running.path("back")).unwrap() == long, "what came back is what was sent");
    assert_eq!(running.asked(), 2);
}
