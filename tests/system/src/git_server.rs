//! Servers of git repositories on this machine: https with an authority of their own, and ssh.

use crate::command::free_port;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running pair of servers, and the user that knows them. Dropping it ends both.
pub struct GitServer {
    https: Child,
    ssh: Child,
    https_port: u16,
    ssh_port: u16,
    folder: TempDir,
}

impl GitServer {
    /// Starts both; they serve what lies in [`GitServer::folder`].
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("repositories")).expect("a new folder");
        certificates(folder.path());
        let (https, https_port) = https(folder.path());
        let (ssh, ssh_port) = sshd(folder.path());
        let server = Self { https, ssh, https_port, ssh_port, folder };
        server.configure("");
        server
    }

    /// Where repositories and files lie that are served.
    pub fn folder(&self) -> PathBuf {
        self.path("repositories")
    }

    /// The address of `<area>/<name>`: `git`, `private` (reader, secret), `old` (first protocol) or `files`.
    pub fn https_url(&self, area: &str, name: &str) -> String {
        format!("https://127.0.0.1:{}/{area}/{name}", self.https_port)
    }

    /// The address of a repository over ssh.
    pub fn ssh_url(&self, name: &str) -> String {
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8_lossy(&user);
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.ssh_port, self.folder().join(name).display())
    }

    /// Makes this the user's configuration of git, beside the authority that it trusts.
    pub fn configure(&self, more: &str) {
        let authority = self.path("ca.pem");
        let text = format!("[http]\n\tsslCAInfo = {}\n{more}", authority.display());
        fs::write(self.path("gitconfig"), text).expect("a writable file");
    }

    /// Lets a command run as the user who has this configuration, key and list of known hosts.
    pub fn lend(&self, command: &mut Command) {
        let ssh = format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none",
            self.path("key").display(),
            self.path("known_hosts").display()
        );
        // What this machine needs on its way to others.
        for name in ["GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name);
        }
        command
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.path("gitconfig"))
            .env("GIT_SSH_COMMAND", ssh);
    }

    /// The file of hosts that the user knows.
    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        for server in [&mut self.https, &mut self.ssh] {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// An authority and a certificate for 127.0.0.1 under it.
fn certificates(folder: &Path) {
    let script = "
        new() { openssl ecparam -name prime256v1 -genkey -noout -out \"$1\"; }
        new ca.key; new server.key
        openssl req -x509 -new -key ca.key -subj /CN=test-authority -days 2 -out ca.pem
        openssl req -new -key server.key -subj /CN=127.0.0.1 -out server.csr
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem";
    shell(folder, script);
}

fn https(folder: &Path) -> (Child, u16) {
    let mut child = Command::new("python3")
        .args(["-c", include_str!("git_https.py")])
        .arg(folder.join("repositories"))
        .args([folder.join("server.pem"), folder.join("server.key")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("a pipe was asked for");
    BufReader::new(out).read_line(&mut line).expect("the server says its port");
    (child, line.trim().parse().expect("a port"))
}

fn sshd(folder: &Path) -> (Child, u16) {
    shell(
        folder,
        "ssh-keygen -q -t ed25519 -N '' -f host_key; ssh-keygen -q -t ed25519 -N '' -f key; cp key.pub authorized_keys",
    );
    // Where it gives up its privileges; a machine that never ran it as a service has none.
    let separation = Path::new("/run/sshd");
    assert!(
        separation.is_dir() || fs::create_dir(separation).is_ok(),
        "sshd needs root once: mkdir /run/sshd"
    );
    let port = free_port();
    let at = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n",
        at("host_key"),
        at("authorized_keys"),
    );
    fs::write(folder.join("sshd_config"), text).expect("a writable file");
    let host = fs::read_to_string(folder.join("host_key.pub")).expect("a key");
    fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {host}")).expect("a writable file");
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &at("sshd_config")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe was asked for")).lines();
    let listens = said.by_ref().map_while(Result::ok).any(|line| line.contains("Server listening"));
    assert!(listens, "sshd ended early");
    // A full pipe would stop it.
    std::thread::spawn(move || said.for_each(drop));
    (child, port)
}

fn shell(folder: &Path, script: &str) {
    let output =
        Command::new("bash").args(["-euc", script]).current_dir(folder).output().expect("bash starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
