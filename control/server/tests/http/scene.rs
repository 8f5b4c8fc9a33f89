//! A platform with a listener of its own, two organisations, and somebody of each role.

use caution_host::Dirs;
use caution_measure::{Measurements, Pcr, Sha256Digest};
use caution_server::app::access::Role;
use caution_server::app::reach::Reach;
use caution_server::bell::Bell;
use caution_server::data::Data;
use caution_server::http::{self, Server};
use caution_server::job::phase::Event;
use caution_server::store::app::App;
use caution_server::store::job::{Held, NewJob, Work};
use caution_server::store::release::Made;
use caution_server::store::token::{NewToken, Scope};
use caution_server::store::{
    AccountId, AppId, OrganisationId, Store, account, app, event, job, release, token,
};
use dropshot::HttpServer;
use serde_json::Value;
use sqlx::AnyConnection;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Scene {
    _dir: TempDir,
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
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::database::fresh(&dir.path().join("cautiond.db")).await;
        Self::with(dir, store).await
    }

    pub(crate) async fn with(dir: TempDir, store: Store) -> Self {
        let data = Arc::new(Data::open(&dir.path().join("data")).unwrap());
        let mut change = store.change().await.unwrap();
        let organisation = account::create_organisation(&mut change, "acme").await.unwrap();
        change.commit().await.unwrap();
        let host = dir.path().join("host");
        let host = Dirs { state: host.join("s"), runtime: host.join("r"), cache: host.join("c") };
        let bell = Bell::new();
        let reach = Reach::new(([127, 0, 0, 1], 7222).into(), host);
        let server = Server::new(store.clone(), Arc::clone(&data), bell.clone(), reach);
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let listener = http::start(server, ([127, 0, 0, 1], 0).into(), &log).unwrap();
        Self { _dir: dir, data, store, organisation, bell, listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Somebody of this role in the organisation, or in none of it; and their token.
    pub(crate) async fn somebody(&self, name: &str, role: Option<Role>, scope: Scope) -> (AccountId, String) {
        let secret = format!("caution_{:A>43}", name.replace(' ', "_"));
        let mut change = self.store.change().await.unwrap();
        let account = account::create(&mut change, name).await.unwrap();
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

    /// With further header lines, each with its end.
    pub(crate) async fn ask_with(&self, method: &str, path: &str, head: &str, body: Option<Value>) -> Answer {
        let host =
            if head.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address()) };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}{head}Connection: close\r\nContent-Type: application/json\r\n\
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
                return Answer { status, head: text.to_lowercase(), body: all.split_off(end + 4) };
            }
        }
    }
}

/// Takes an app's next job, and whatever waits before it.
async fn take(db: &mut AnyConnection, app: AppId) -> Held {
    loop {
        let held = job::take(&mut *db, 64).await.unwrap().expect("a job of the app");
        if held.job.app == app {
            return held;
        }
    }
}
