//! `cautiond` in a process of its own, that can be killed at any moment. What it asks of a builder and of a provider is
//! done by a script and in files: what is there then outlives it, as enclaves do.

use crate::database;
use crate::support::{git, image_file, pipe};
use caution_server::config::Config;
use caution_server::job::builder::Builder;
use caution_server::provider::{Observed, Placement, Provider, Running};
use caution_server::serve::serve_with;
use caution_server::store::job::Failure;
use caution_server::store::{AppId, OrganisationId, Store, account};
use serde_json::{Value, json};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Not a test: the process that others start and kill.
#[test]
fn a_server_for_the_tests_of_this_file() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test that starts this process says so by its environment"
    )]
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config = Config::read(Some(&folder.join("cautiond.toml"))).unwrap();
    let builder = Builder::of(&folder.join("builder"), Duration::from_mins(1));
    let provider = Arc::new(Files { folder });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve_with(&config, provider, builder)).unwrap();
}

/// A provider whose enclaves are files.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
}

impl Files {
    /// Notes what was asked for.
    fn note(&self, what: &str) {
        let mut journal =
            OpenOptions::new().create(true).append(true).open(self.folder.join("journal")).unwrap();
        journal.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    /// Waits where a pipe of this name is.
    fn pass(&self, name: &str) {
        let _ = fs::read(self.folder.join(name));
    }

    fn file(&self, label: &str) -> PathBuf {
        self.folder.join(format!("running-{label}"))
    }
}

impl Provider for Files {
    fn apply(&self, want: &Placement, say: &mut dyn FnMut(&str)) -> Result<Running, Failure> {
        self.note("apply");
        self.pass("before-apply");
        let new = self.folder.join("running.new");
        fs::write(&new, &want.manifest).unwrap();
        fs::rename(new, self.file(&want.label)).unwrap();
        self.pass("after-apply");
        say("boot      in a file");
        let (image_sha256, measurements) = (want.image_sha256, want.measurements);
        Ok(Running { image_sha256, measurements, urls: Vec::new(), attestation_url: "none".to_owned() })
    }

    fn observe(&self, label: &str) -> Result<Observed, Failure> {
        if self.file(label).exists() {
            return Ok(Observed::Busy);
        }
        Ok(Observed::Gone("There is no such file.".to_owned()))
    }

    fn destroy(&self, label: &str) -> Result<(), Failure> {
        self.note("destroy");
        self.pass("before-destroy");
        let _ = fs::remove_file(self.file(label));
        self.pass("after-destroy");
        Ok(())
    }
}

/// A server, its data folder, and somebody who pushes to it.
pub(crate) struct Platform {
    pub(crate) store: Store,
    pub(crate) organisation: OrganisationId,
    folder: TempDir,
    child: Child,
}

impl Platform {
    pub(crate) async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    /// In a folder of this one's own.
    pub(crate) async fn within(folder: TempDir) -> Self {
        let path = |name: &str| folder.path().join(name);
        let database = database::text().await.map(|text| format!("database = '{text}'\n"));
        let settings = format!(
            "data = '{}'\n{}[http]\nlisten = '127.0.0.1:0'\n[git]\nlisten = '127.0.0.1:0'\n",
            path("data").display(),
            database.clone().unwrap_or_default()
        );
        fs::write(path("cautiond.toml"), settings).unwrap();
        builder(folder.path());
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path("key"))
            .status();
        assert!(made.unwrap().success());
        let child = start(folder.path());
        let config = Config::read(Some(&path("cautiond.toml"))).unwrap();
        let store = match &config.database {
            Some(address) => Store::postgres(address).await.unwrap(),
            None => Store::sqlite(&config.data.join("cautiond.db")).await.unwrap(),
        };
        let mut db = store.read().await.unwrap();
        let me = account::named(&mut db, "local").await.unwrap().unwrap();
        let organisation = account::memberships(&mut db, me).await.unwrap()[0].organisation;
        drop(db);
        let platform = Self { store, organisation, folder, child };
        let key = fs::read_to_string(platform.path("key.pub")).unwrap();
        platform.ask("POST", "/v1/me/ssh-keys", Some(json!({ "name": "k", "public_key": key })));
        let checkout = platform.path("checkout");
        fs::create_dir(&checkout).unwrap();
        fs::write(checkout.join("Procfile"), "run: /hello\n").unwrap();
        git(&checkout, &["init", "-q", "-b", "main"]);
        platform
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends the process as nothing else does, whatever it is doing, and what goes on without it is waited for by nobody.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn start(&mut self) {
        self.child = start(self.folder.path());
    }

    pub(crate) fn app(&self, name: &str) -> AppId {
        let body = json!({ "name": name, "organisation": self.organisation.uuid() });
        self.ask("POST", "/v1/apps", Some(body))["id"].as_str().unwrap().parse().unwrap()
    }

    /// Asks the API, which does it.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.answer(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Asks the API; the status, and what it says.
    pub(crate) fn answer(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let local = self.local();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "\n%{http_code}", "--request", method]);
        curl.args(["--header", &format!("authorization: Bearer {}", local["token"].as_str().unwrap())]);
        if let Some(body) = body {
            curl.args(["--header", "content-type: application/json", "--data", &body.to_string()]);
        }
        let output = curl.arg(format!("{}{path}", local["api"].as_str().unwrap())).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    /// Makes a commit.
    pub(crate) fn commit(&self, text: &str) -> String {
        let checkout = self.path("checkout");
        fs::write(checkout.join("text"), text).unwrap();
        git(&checkout, &["add", "-A"]);
        git(&checkout, &["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "a change"]);
        git(&checkout, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Pushes what was committed last.
    pub(crate) fn push(&self, app: AppId) -> Child {
        self.push_commit(app, "main")
    }

    /// Pushes this commit.
    pub(crate) fn push_commit(&self, app: AppId, commit: &str) -> Child {
        let key = self.path("key");
        let options =
            "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes";
        let ssh = format!("ssh -F /dev/null {options} -i {}", key.display());
        let url = format!("ssh://git@{}/{app}.git", self.local()["git"].as_str().unwrap());
        let mut push = Command::new("git");
        push.args(["push", "--force", &url, &format!("{commit}:refs/heads/main")])
            .current_dir(self.path("checkout"))
            .env("GIT_SSH_COMMAND", ssh);
        push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Where the deploy branch of an app is.
    pub(crate) fn head(&self, app: AppId) -> String {
        let repository = self.path(&format!("data/git/{app}.git"));
        git(&repository, &["rev-parse", "refs/heads/main"]).trim().to_owned()
    }

    /// What the provider runs of an app, by the commit in its manifest.
    pub(crate) fn running(&self, label: &str) -> Option<String> {
        let manifest = fs::read(self.path(&format!("running-{label}"))).ok()?;
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["commit"].as_str().map(str::to_owned)
    }

    /// How often the provider was asked for this.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let journal = fs::read_to_string(self.path("journal")).unwrap_or_default();
        journal.lines().filter(|line| *line == what).count()
    }

    fn local(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("data/local.json")).unwrap()).unwrap()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A place where something waits until it is let through.
pub(crate) struct Gate(PathBuf);

/// Something waits there.
pub(crate) struct Reached {
    path: PathBuf,
    _held: File,
}

impl Gate {
    pub(crate) fn new(path: PathBuf) -> Self {
        pipe(&path);
        Self(path)
    }

    /// One that somebody else makes.
    pub(crate) fn there(path: PathBuf) -> Self {
        Self(path)
    }

    /// Waits for somebody who waits there.
    pub(crate) fn reached(self) -> Reached {
        let held = OpenOptions::new().write(true).open(&self.0).unwrap();
        Reached { path: self.0, _held: held }
    }
}

impl Reached {
    /// Nobody waits there from now on, but who waits there goes on waiting until this is dropped.
    pub(crate) fn close(self) -> Self {
        fs::remove_file(&self.path).unwrap();
        self
    }
}

pub(crate) fn said(push: Child) -> (bool, String) {
    let Output { status, stderr, .. } = push.wait_with_output().unwrap();
    (status.success(), String::from_utf8_lossy(&stderr).into_owned())
}

fn start(folder: &Path) -> Child {
    let mut server = Command::new(env::current_exe().unwrap());
    server.args(["--exact", "process::a_server_for_the_tests_of_this_file", "--nocapture"]);
    let mut child =
        server.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.starts_with("cautiond serves at"));
    assert!(ready, "it did not start: {:?}", child.wait());
    child
}

/// A builder that answers with an image which is there. With a file `hang` it builds until nobody waits for it; with a file
/// `slow` its image is a pipe.
fn builder(folder: &Path) {
    let (bytes, written) = image_file();
    fs::write(folder.join("image.eif"), bytes).unwrap();
    let answer = json!({ "built": {
        "eif": "EIF", "sha256": written.sha256, "size": written.size, "measurements": written.measurements,
        "enclaveos": "0.1.0", "manifest": "{\"commit\":\"COMMIT\"}",
    }});
    fs::write(folder.join("answer"), format!("{answer}\n")).unwrap();
    let script = r#"#!/bin/sh
set -eu
here=$(dirname "$0")
read -r order
out=$(printf %s "$order" | sed 's/.*"output":"\([^"]*\)".*/\1/')
commit=$(printf %s "$order" | sed 's/.*"commit":"\([^"]*\)".*/\1/')
echo $$ >"$here/builder.pid"
if [ -e "$here/hang" ]; then cat "$here/hang" >/dev/null; read -r forever || exit 1; fi
mkdir -p "$out"
if [ -e "$here/slow" ]; then mkfifo "$out/enclave.eif"; else cp "$here/image.eif" "$out/enclave.eif"; fi
sed "s|EIF|$out/enclave.eif|;s|COMMIT|$commit|" "$here/answer"
"#;
    fs::write(folder.join("builder"), script).unwrap();
    fs::set_permissions(folder.join("builder"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Where the server that is started finds everything.
const FOLDER: &str = "CAUTION_TEST_PLATFORM";
