//! The pages in a real Chromium, with an authenticator of its own.

use crate::scene::Scene;
use caution_server::app::access::Role;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn people_set_up_sign_in_let_programs_in_and_join() {
    let Some(program) = chromium() else { return };
    let scene = Scene::of_localhost().await;
    let origin = format!("http://localhost:{}", scene.address().port());
    let mut page = Page::open(&program);

    let link = scene.set_up_link().await.unwrap();
    page.visit(&format!("{origin}/setup#{link}"));
    page.until("!register.hidden");
    page.run("byName('register-name').value = 'alice'; byName('register-organisation').value = 'first'");
    page.run("document.querySelector('#register-form button').click()");
    page.until("status === 'The platform is yours.'");
    assert_eq!(page.run("document.cookie"), "", "scripts read the cookie");

    page.visit(&format!("{origin}/"));
    page.until("!sessions.hidden && sessions.textContent.includes('alice')");
    page.run("document.querySelector('#sessions-list button').click()");
    page.until("!byName('sign-in').hidden");
    page.run("byName('sign-in-button').click()");
    page.until("!sessions.hidden && sessions.textContent.includes('This browser')");

    let begun = scene.ask("POST", "/v1/device", "", Some(json!({ "name": "caution login" }))).await.json();
    let code = begun["user_code"].as_str().unwrap();
    // Long ago: the page asks for the passkey again.
    scene.sql("UPDATE session SET proved_ms = 1").await;
    assert_eq!(begun["url"], format!("{origin}/device#{code}"));
    page.visit(begun["url"].as_str().unwrap());
    page.until(&format!("!device.hidden && byName('device-code').textContent === '{code}'"));
    page.run("byName('device-approve').click()");
    page.until("status.startsWith('Approved.')");
    let asked = json!({ "device_code": begun["device_code"] });
    let token = scene.ask("POST", "/v1/device/token", "", Some(asked)).await.json();
    let token = token["made"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(scene.ask("GET", "/v1/me", &token, None).await.json()["account"]["name"], "alice");

    // Somebody else.
    page.ask("Network.clearBrowserCookies", &json!({}));
    let link = scene.invitation(Role::Member).await;
    page.visit(&format!("{origin}/join#{link}"));
    page.until("!register.hidden");
    page.run(
        "byName('register-name').value = 'bob'; document.querySelector('#register-form button').click()",
    );
    page.until("status === 'Welcome to acme.'");
    // The link was good once.
    page.ask("Network.clearBrowserCookies", &json!({}));
    page.visit(&format!("{origin}/join#{link}"));
    page.until("!register.hidden");
    page.run(
        "byName('register-name').value = 'eve'; document.querySelector('#register-form button').click()",
    );
    page.until("status.startsWith('This link is not known')");
}

/// Where Debian and others install it.
fn chromium() -> Option<PathBuf> {
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = places.map(PathBuf::from).into_iter().find(|path| path.exists());
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: no Chromium here (apt-get install chromium)");
    }
    found
}

/// A tab, driven by the DevTools protocol over two pipes: JSON, each with a zero byte behind it.
struct Page {
    browser: Child,
    _folder: TempDir,
    orders: File,
    answers: BufReader<File>,
    session: Option<String>,
    number: u64,
}

impl Page {
    fn open(program: &PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipes = ["orders", "answers"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        // Chromium's own sandbox does not start as root, and only our page is visited. A shell gives it the pipes by their numbers.
        let text = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe \
                    --user-data-dir=\"$1\" about:blank 3<\"$2\" 4>\"$3\"";
        let mut browser = Command::new("sh");
        browser.args(["-c", text]).arg(program).arg(folder.path().join("profile")).args(&pipes);
        let browser = browser.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let orders = OpenOptions::new().write(true).open(&pipes[0]).unwrap();
        let answers = BufReader::new(File::open(&pipes[1]).unwrap());
        let mut page = Self { browser, _folder: folder, orders, answers, session: None, number: 0 };
        let made = page.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = page.ask("Target.attachToTarget", &attach);
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        page.ask("Page.enable", &json!({}));
        page.ask("WebAuthn.enable", &json!({}));
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true, "automaticPresenceSimulation": true,
        });
        page.ask("WebAuthn.addVirtualAuthenticator", &json!({ "options": options }));
        page
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let said = self.next();
            if said["id"] == json!(self.number) {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
        }
    }

    fn next(&mut self) -> Value {
        let mut said = Vec::new();
        self.answers.read_until(0, &mut said).unwrap();
        assert_eq!(said.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&said).unwrap()
    }

    fn visit(&mut self, url: &str) {
        // From a page of nothing: one that differs behind `#` alone would not be loaded.
        for url in ["about:blank", url] {
            self.ask("Page.navigate", &json!({ "url": url }));
            while self.next()["method"] != "Page.loadEventFired" {}
        }
    }

    fn run(&mut self, script: &str) -> Value {
        let script = format!("{{ const byName = (id) => document.getElementById(id); {script} }}");
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let done = self.ask("Runtime.evaluate", &params);
        assert!(done["exceptionDetails"].is_null(), "{script}: {done}");
        done["result"]["value"].clone()
    }

    /// Waits until something is so; `status` is what the page says.
    fn until(&mut self, condition: &str) {
        let script = format!(
            "new Promise((done) => {{
                 const look = () => {{
                     const [register, device, sessions] = ['register', 'device', 'sessions'].map(byName);
                     const status = byName('status').textContent;
                     if ({condition}) done('');
                 }};
                 const kinds = {{ subtree: true, childList: true, attributes: true, characterData: true }};
                 new MutationObserver(look).observe(document, kinds);
                 setTimeout(() => done(document.body.innerText), {PATIENCE_MS});
                 look();
             }})"
        );
        let said = self.run(&script);
        assert_eq!(said, "", "not so: {condition}");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

/// How long something on a page may take.
const PATIENCE_MS: u32 = 60_000;
