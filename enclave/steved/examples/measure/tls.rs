//! Caddy and nginx with TLS in front of the same app, as their packages come, asked by curl on one connection.

use crate::{REQUESTS, least};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that ends with this.
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: std::path::PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Caddy with a certificate of its own making; nothing where there is none, which is told.
    pub(crate) fn caddy(app: SocketAddr) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let folder = std::env::temp_dir().join(format!("caution-measure-{}", std::process::id()));
        std::fs::create_dir_all(&folder).ok()?;
        let file = folder.join("Caddyfile");
        let text = format!(
            "{{\n admin off\n skip_install_trust\n auto_https disable_redirects\n}}\n\
             https://localhost:{port} {{\n tls internal\n reverse_proxy {app}\n}}\n"
        );
        std::fs::write(&file, text).ok()?;
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        Self::started(command, port, folder, "Caddy")
    }

    /// nginx with a certificate that openssl makes.
    pub(crate) fn nginx(app: SocketAddr) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let folder = std::env::temp_dir().join(format!("caution-measure-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&folder).ok()?;
        let at = |name: &str| folder.join(name).display().to_string();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {pid};\nerror_log /dev/null;\nevents {{ }}\n\
             http {{\n access_log off;\n client_max_body_size 0;\n client_body_temp_path {body};\n keepalive_requests 1000000;\n\
             upstream app {{ server {app}; keepalive 8; }}\n server {{\n listen 127.0.0.1:{port} ssl;\n\
             ssl_certificate {cert};\n ssl_certificate_key {key};\n location / {{ proxy_pass http://app;\n\
             proxy_http_version 1.1;\n proxy_set_header Connection \"\"; }}\n }}\n}}\n",
            pid = at("pid"),
            body = at("body"),
            cert = at("cert.pem"),
            key = at("key.pem"),
        );
        std::fs::write(folder.join("nginx.conf"), text).ok()?;
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"])
            .args(["/CN=localhost", "-keyout", &at("key.pem"), "-out", &at("cert.pem")])
            .stderr(Stdio::null())
            .status();
        let mut command = Command::new("nginx");
        command.args(["-p", &at(""), "-c", &at("nginx.conf")]);
        made.ok().filter(std::process::ExitStatus::success)?;
        Self::started(command, port, folder, "nginx")
    }

    fn started(mut command: Command, port: u16, folder: std::path::PathBuf, what: &str) -> Option<Self> {
        command.env("XDG_DATA_HOME", &folder).env("XDG_CONFIG_HOME", &folder);
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("NOT MEASURED: THERE IS NO {} ON THIS MACHINE", what.to_uppercase());
            return None;
        };
        let server = Self { child, port, folder };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            pause();
        }
        eprintln!("NOT MEASURED: {what} does not listen");
        None
    }

    /// Microseconds of processor time a request with so many bytes each way.
    pub(crate) fn requests(&self, bytes: usize) -> f64 {
        let body = self.folder.join("body.bin");
        std::fs::write(&body, vec![b'x'; bytes]).expect("a temporary file");
        least(3, || {
            let url = format!("https://localhost:{}/{bytes}?[1-{REQUESTS}]", self.port);
            let data = format!("@{}", body.display());
            self.cost(&["--data-binary", &data, "--header", "expect:", &url]) / f64::from(REQUESTS)
        })
    }

    /// Milliseconds of processor time for so many bytes to a client.
    pub(crate) fn download(&self, bytes: u64) -> f64 {
        let url = format!("https://localhost:{}/{bytes}", self.port);
        least(3, || self.cost(&[&url])) / 1000.0
    }

    fn cost(&self, arguments: &[&str]) -> f64 {
        let before = self.spent();
        let asked = Command::new("curl")
            .args(["--silent", "--fail", "--insecure", "--http1.1", "--output", "/dev/null"])
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(asked.is_ok_and(|status| status.success()), "curl asked in vain");
        self.spent() - before
    }

    /// Microseconds of processor time of all its threads so far (schedstat of proc(5)).
    fn spent(&self) -> f64 {
        let tasks = Path::new("/proc").join(self.child.id().to_string()).join("task");
        let threads = std::fs::read_dir(tasks).expect("it runs");
        let nanos = |thread: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        threads.filter_map(nanos).sum::<f64>() / 1000.0
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else says that a program of somebody else listens")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
