//! A platform with a listener of its own, two organisations, and somebody of each role.

use caution_host::Dirs;
use caution_measure::{Measurements, Pcr, Sha256Digest};
use caution_server::app::access::Role;
use caution_server::app::invitation;
use caution_server::app::reach::Reach;
use caution_server::app::session::csrf_token;
use caution_server::bell::Bell;
use caution_server::data::Data;
use caution_server::http::{self, Server};
use caution_server::job::phase::Event;
use caution_server::store::app::App;
use caution_server::store::invitation::{self as stored, NewInvitation};
use caution_server::store::job::{Held, NewJob, Work};
use caution_server::store::release::Made;
use caution_server::store::token::{NewToken, Scope};
use caution_server::store::{
    AccountId, AppId, InvitationId, OrganisationId, Store, account, app, device, event, job, release,
    session, token,
};
use caution_server::webauthn::RelyingParty;
use dropshot::HttpServer;
use serde_json::Value;
use sqlx::AnyConnection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Scene {
    dir: TempDir,
    site: Option<RelyingParty>,
    pub(crate) data: Arc<Data>,
    pub(crate) store: Store,
    pub(crate) organisation: OrganisationId,
    pub(crate) bell: Bell,
    listener: HttpServer<Arc<Server>>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// What our cookie was set to.
    pub(crate) cookie: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A browser in which somebody is signed in.
pub(crate) struct Browser {
    /// What the cookie holds.
    pub(crate) secret: String,
    /// The header's line.
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

impl Browser {
    /// From the answer that signed somebody in.
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 201);
        let browser = Self::with(&answer.cookie);
        assert_eq!(browser.csrf, answer.json()["csrf_token"]);
        browser
    }

    fn with(secret: &str) -> Self {
        let cookie = format!("Cookie: __Host-caution={secret}\r\n");
        Self { secret: secret.to_owned(), cookie, csrf: csrf_token(secret) }
    }
}

impl Scene {
    /// One for its machine's user.
    pub(crate) async fn new() -> Self {
        Self::build(None).await
    }

    /// One that people sign in to, as `https://caution.test`.
    pub(crate) async fn of_people() -> Self {
        Self::build(RelyingParty::of_url("https://caution.test")).await
    }

    /// One that people sign in to on this machine, where browsers make passkeys without HTTPS.
    pub(crate) async fn of_localhost() -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self::build(RelyingParty::of_url(&format!("http://localhost:{free}"))).await
    }

    async fn build(site: Option<RelyingParty>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::database::fresh(&dir.path().join("cautiond.db")).await;
        Self::with(dir, store, site).await
    }

    pub(crate) async fn with(dir: TempDir, store: Store, site: Option<RelyingParty>) -> Self {
        let data = Arc::new(Data::open(&dir.path().join("data")).unwrap());
        let mut change = store.change().await.unwrap();
        let organisation = account::create_organisation(&mut change, "acme").await.unwrap();
        change.commit().await.unwrap();
        let host = dir.path().join("host");
        let host = Dirs { state: host.join("s"), runtime: host.join("r"), cache: host.join("c") };
        let bell = Bell::new();
        let reach = Reach::new(([127, 0, 0, 1], 7222).into(), host);
        let site_of = site.clone();
        let port = site.as_ref().and_then(|site| site.authority().split_once(':')?.1.parse().ok());
        let server = Server::new(store.clone(), Arc::clone(&data), bell.clone(), reach, site);
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let listener = http::start(server, ([127, 0, 0, 1], port.unwrap_or_default()).into(), &log).unwrap();
        Self { site: site_of, dir, data, store, organisation, bell, listener }
    }

    /// The host agent's folders.
    pub(crate) fn host(&self) -> Dirs {
        let host = self.dir.path().join("host");
        Dirs { state: host.join("s"), runtime: host.join("r"), cache: host.join("c") }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Somebody of this role in the organisation, or in none of it; and their token.
    pub(crate) async fn somebody(&self, name: &str, role: Option<Role>, scope: Scope) -> (AccountId, String) {
        let secret = format!("caution_{:A>43}", name.replace(' ', "_"));
        let mut change = self.store.change().await.unwrap();
        let account = AccountId::new().unwrap();
        account::create(&mut change, account, name).await.unwrap();
        let organisation = match role {
            Some(_) => self.organisation,
            None => account::create_organisation(&mut change, name).await.unwrap(),
        };
        account::join(&mut change, organisation, account, role.unwrap_or(Role::Owner)).await.unwrap();
        let hash = Sha256Digest::of(secret.as_bytes());
        let new = NewToken { account, name: "test", scope, secret: hash, expires_ms: i64::MAX };
        token::create(&mut change, &new).await.unwrap();
        change.commit().await.unwrap();
        (account, secret)
    }

    /// A browser in which an account is signed in, and has shown its passkey.
    pub(crate) async fn browser(&self, account: AccountId) -> Browser {
        let secret = secret();
        let mut change = self.store.change().await.unwrap();
        session::create(&mut change, account, Sha256Digest::of(secret.as_bytes()), "test").await.unwrap();
        change.commit().await.unwrap();
        Browser::with(&secret)
    }

    /// As a page of ours asks.
    pub(crate) async fn browse(
        &self,
        browser: &Browser,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let Browser { cookie, csrf, .. } = browser;
        let head = format!("{cookie}Origin: https://caution.test\r\nX-CSRF-Token: {csrf}\r\n");
        self.ask_with(method, path, &head, body).await
    }

    /// What is printed at the first start: what stands behind `#`.
    pub(crate) async fn set_up_link(&self) -> Option<String> {
        let site = self.site.as_ref().unwrap();
        let mut change = self.store.change().await.unwrap();
        let link = invitation::set_up(&mut change, site).await.unwrap();
        change.commit().await.unwrap();
        link.map(|link| link.strip_prefix(&format!("{}/setup#", site.origin)).unwrap().to_owned())
    }

    /// The secret of an invitation to the organisation.
    pub(crate) async fn invitation(&self, role: Role) -> String {
        self.invited(role).await.1
    }

    /// Its id, too.
    pub(crate) async fn invited(&self, role: Role) -> (InvitationId, String) {
        let secret = secret();
        let new = NewInvitation {
            organisation: Some(self.organisation),
            role,
            made_by: None,
            secret: Sha256Digest::of(secret.as_bytes()),
            expires_ms: i64::MAX,
        };
        let made = stored::create(&mut self.store.read().await.unwrap(), &new).await.unwrap();
        (made.id, secret)
    }

    /// A program that waits to be let in, and shows this.
    pub(crate) async fn program(&self, user_code: &str) {
        let mut db = self.store.read().await.unwrap();
        let code = Sha256Digest::of(user_code.as_bytes());
        assert!(device::create(&mut db, code, user_code, "test", false).await.unwrap());
    }

    pub(crate) async fn sql(&self, text: &'static str) {
        sqlx::query(text).execute(&mut *self.store.read().await.unwrap()).await.unwrap();
    }

    /// An app with a release, its deployment in the queue, and an image.
    pub(crate) async fn app(&self, name: &str, made_by: AccountId) -> App {
        let mut change = self.store.change().await.unwrap();
        let app = app::create(&mut change, self.organisation, name, "main").await.unwrap();
        job::queue(&mut change, &NewJob { app: app.id, work: Work::Build("c".repeat(40)), made_by })
            .await
            .unwrap();
        change.commit().await.unwrap();
        let mut change = self.store.change().await.unwrap();
        let held = take(&mut change, app.id).await;
        job::advance(&mut change, &held, Event::Built).await.unwrap();
        let image = format!("image of {name}").into_bytes();
        let pcr = Pcr::new([7; 48]);
        let made = Made {
            commit: "c".repeat(40),
            plan: Sha256Digest::of(b"plan"),
            image: Sha256Digest::of(&image),
            image_bytes: image.len() as u64,
            measurements: Measurements { pcr0: pcr, pcr1: pcr, pcr2: pcr },
            enclaveos: "0.1.0".to_owned(),
            manifest: "{}".to_owned(),
        };
        release::write(&mut change, &held, &made).await.unwrap();
        event::add(&mut change, app.id, "built", "release 1 was built").await.unwrap();
        change.commit().await.unwrap();
        std::fs::write(self.data.image(&made.image.to_string()), image).unwrap();
        std::fs::write(self.data.log(held.job.id.uuid()), "one\ntwo\n").unwrap();
        app
    }

    /// Makes the app's deployment live.
    pub(crate) async fn deployed(&self, app: &App) {
        let mut change = self.store.change().await.unwrap();
        let held = take(&mut change, app.id).await;
        job::hand_over(&mut change, &held).await.unwrap();
        change.commit().await.unwrap();
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let authorization = format!("Authorization: Bearer {token}\r\n");
        let head = if token.is_empty() { "" } else { &authorization };
        self.ask_with(method, path, head, body).await
    }

    /// Opens a stream, and waits for its head.
    pub(crate) async fn stream(&self, path: &str, token: &str) -> TcpStream {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            self.address()
        );
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stream
    }

    /// With further header lines, each with its end.
    pub(crate) async fn ask_with(&self, method: &str, path: &str, head: &str, body: Option<Value>) -> Answer {
        let host =
            if head.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address()) };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        // Everybody comes from elsewhere, where a proxy says so.
        let from = if head.contains("X-Forwarded-For") {
            String::new()
        } else {
            let [a, b, c, d] = CLIENTS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            format!("X-Forwarded-For: {}.{b}.{c}.{d}\r\n", a | 64)
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{from}{head}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        loop {
            let read = stream.read_buf(&mut all).await.unwrap();
            let end = all.windows(4).position(|four| four == b"\r\n\r\n");
            let text = String::from_utf8_lossy(&all[..end.unwrap_or_default()]).into_owned();
            // A stream of events has no end.
            let endless = text.contains("text/event-stream") && all.ends_with(b"\n\n\r\n");
            if read == 0 || endless || (text.contains("text/event-stream") && !head.contains("Last-Event-ID"))
            {
                let end = end.expect("a head");
                let status = text[9..12].parse().unwrap();
                let cookie = text.split("__Host-caution=").nth(1).and_then(|rest| rest.split(';').next());
                let cookie = cookie.unwrap_or_default().to_owned();
                return Answer { status, head: text.to_lowercase(), body: all.split_off(end + 4), cookie };
            }
        }
    }
}

/// Of a cookie or link.
fn secret() -> String {
    let id = AccountId::new().unwrap().to_string();
    data_encoding::BASE64URL_NOPAD.encode(&id.as_bytes()[..32])
}

static CLIENTS: AtomicU32 = AtomicU32::new(0);

/// Takes an app's next job, and whatever waits before it.
async fn take(db: &mut AnyConnection, app: AppId) -> Held {
    loop {
        let held = job::take(&mut *db, 64).await.unwrap().expect("a job of the app");
        if held.job.app == app {
            return held;
        }
    }
}
