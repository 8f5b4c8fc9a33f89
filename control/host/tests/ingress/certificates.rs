//! Certificates: of the local authority, and by ACME from Pebble.

use crate::support::{Answer, Place, Upstream, free_port};
use caution_host::ingress::{Acme, App, Certificate, IngressEvent, Routes, Settings};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DOMAIN: &str = "shop.example.com";

#[test]
fn a_declared_domain_is_certified_by_http_01() {
    certified(|settings| (settings.http_port, free_port()));
}

#[test]
fn a_declared_domain_is_certified_by_tls_alpn_01() {
    certified(|settings| (free_port(), settings.https_port));
}

/// Gets a certificate where the authority reaches the machine on these ports only, and keeps it.
fn certified(reached_on: fn(&Settings) -> (u16, u16)) {
    let mut pebble = None;
    let mut place = Place::with(|settings| {
        let started = Pebble::start(reached_on(settings));
        settings.acme = Some(started.acme());
        pebble = Some(started);
    });
    let mut pebble = pebble.unwrap();
    let (app, _upstream) = declared(&place);
    let routes = Routes { apps: vec![app] };
    place.ingress().apply(&routes).unwrap();
    await_certificate(&place);
    let root = place.root.path().join("pebble-root");
    std::fs::copy(pebble.root(), &root).unwrap();
    let answer = ask(&place, &root);
    assert_eq!(answer.status, Some(200), "{answer:?}");
    assert!(answer.head.contains("strict-transport-security: max-age=31536000"), "{answer:?}");
    assert_eq!(answer.head.matches("strict-transport-security").count(), 1, "{answer:?}");
    // The domain of nobody is not ordered by who connects.
    let stranger = Command::new("curl")
        .args(["-sk", "--resolve", &format!("other.example.com:{}:127.0.0.1", place.settings.https_port)])
        .arg(format!("https://other.example.com:{}/", place.settings.https_port))
        .status()
        .unwrap();
    assert_eq!(stranger.code(), Some(35), "no certificate, no handshake");

    // It outlives Caddy, and needs no authority then.
    let certificate = std::fs::read(certificate_file(&place).unwrap()).unwrap();
    pebble.end();
    place.ingress.take().unwrap().stop().unwrap();
    place.another_agent();
    place.ingress().apply(&routes).unwrap();
    let answer = ask(&place, &root);
    assert_eq!(answer.status, Some(200), "{answer:?}");
    assert_eq!(std::fs::read(certificate_file(&place).unwrap()).unwrap(), certificate);
}

#[test]
fn a_domain_that_cannot_be_certified_is_told_with_the_reason() {
    let mut pebble = None;
    let place = Place::with(|settings| {
        let started = Pebble::start((free_port(), free_port()));
        settings.acme = Some(started.acme());
        pebble = Some(started);
    });
    let (app, _upstream) = declared(&place);
    place.apply(&[&app]);
    let told = |event: &IngressEvent| matches!(event, IngressEvent::Domain { name, .. } if name == DOMAIN);
    let deadline = Instant::now() + Duration::from_mins(1);
    let failure = loop {
        if let Certificate::Failed(reason) = &place.ingress().state().domains[0].certificate {
            break reason.clone();
        }
        assert!(Instant::now() < deadline, "nothing was told");
        std::thread::yield_now();
    };
    assert!(failure.to_lowercase().contains("connect"), "{failure}");
    // Its name does not lead here: the authority's resolver is another one than this machine's.
    let event = place.events.iter().find(told).unwrap();
    assert!(event.to_string().contains("Set "), "{event}");
    assert_eq!(place.ingress().state().domains[0].dns.as_deref(), Some(event.to_string().as_str()));
    // The other names of the app are as they were.
    assert_eq!(place.curl("shop", "/", &[]).status, Some(200));
}

#[test]
fn the_local_authority_outlives_caddy_and_its_certificates_do_not_reach_further() {
    let mut place = Place::new();
    let (app, _upstream) = declared(&place);
    place.apply(&[&app]);
    assert_eq!(place.curl("shop", "/", &[]).status, Some(200));
    // Without ACME a declared domain has the local authority, and nothing that browsers keep.
    let root = place.settings.local_root();
    let answer = ask(&place, &root);
    assert_eq!(answer.status, Some(200), "{answer:?}");
    assert!(!answer.head.contains("strict-transport-security"), "{answer:?}");
    let before = std::fs::read(&root).unwrap();
    place.ingress.take().unwrap().stop().unwrap();
    place.another_agent();
    place.apply(&[&app]);
    assert_eq!(place.curl("shop", "/", &[]).status, Some(200));
    assert_eq!(std::fs::read(&root).unwrap(), before);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.settings.state.join("certificates")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "others could read the authority's key");
}

/// The app `shop` with its domain.
fn declared(place: &Place) -> (App, Upstream) {
    let (mut app, upstream) = place.app("shop");
    app.spec.http.as_mut().unwrap().domain = Some(DOMAIN.to_owned());
    (app, upstream)
}

fn await_certificate(place: &Place) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while place.ingress().state().domains[0].certificate != Certificate::Issued {
        assert!(Instant::now() < deadline, "{:?}", place.ingress().state());
        std::thread::yield_now();
    }
}

/// Asks the declared domain, trusting this root; waits until Caddy has loaded what it got.
fn ask(place: &Place, root: &Path) -> Answer {
    let port = place.settings.https_port;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = Command::new("curl")
            .args(["-si", "--max-time", "20", "--resolve", &format!("{DOMAIN}:{port}:127.0.0.1"), "--cacert"])
            .arg(root)
            .arg(format!("https://{DOMAIN}:{port}/"))
            .output()
            .unwrap();
        if output.status.success() || Instant::now() > deadline {
            return Answer::of(&output);
        }
    }
}

fn certificate_file(place: &Place) -> Option<PathBuf> {
    let issuers = std::fs::read_dir(place.settings.state.join("certificates/certificates")).unwrap();
    let mut files = issuers.map(|issuer| issuer.unwrap().path().join(DOMAIN).join(format!("{DOMAIN}.crt")));
    files.find(|file| file.exists())
}

/// An authority for tests, and the DNS server it believes.
struct Pebble {
    folder: TempDir,
    directory: u16,
    management: u16,
    children: Vec<Child>,
}

impl Pebble {
    /// One that reaches the machine on these ports, by http-01 and tls-alpn-01.
    fn start((http, https): (u16, u16)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (directory, management, dns) = (free_port(), free_port(), free_port());
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=pebble", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-keyout", &at("key"), "-out", &at("certificate")])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("certificate"),
            "privateKey": at("key"),
            "httpPort": http,
            "tlsPort": https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        std::fs::write(at("config"), config.to_string()).unwrap();
        let quiet =
            |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let names = quiet(
            Command::new("pebble-challtestsrv")
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""])
                .args(["-dns01", &format!("127.0.0.1:{dns}")])
                .args(["-management", &format!("127.0.0.1:{}", free_port())]),
        );
        let authority = quiet(
            Command::new("pebble")
                .args(["-config", &at("config"), "-dnsserver", &format!("127.0.0.1:{dns}")])
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]),
        );
        let pebble = Self { folder, directory, management, children: vec![names, authority] };
        pebble.root();
        pebble
    }

    fn acme(&self) -> Acme {
        Acme {
            directory: format!("https://127.0.0.1:{}/dir", self.directory),
            root: Some(self.folder.path().join("certificate")),
            email: None,
        }
    }

    /// The root of what it issues; waits until it answers.
    fn root(&self) -> PathBuf {
        let file = self.folder.path().join("root");
        let fetched = Command::new("curl")
            .args([
                "-s",
                "--retry",
                "100",
                "--retry-connrefused",
                "--retry-delay",
                "0",
                "--retry-max-time",
                "30",
            ])
            .arg("--cacert")
            .arg(self.folder.path().join("certificate"))
            .arg("--output")
            .arg(&file)
            .arg(format!("https://127.0.0.1:{}/roots/0", self.management))
            .status()
            .unwrap();
        assert!(fetched.success(), "Pebble did not start");
        file
    }
}

impl Pebble {
    fn end(&mut self) {
        for mut child in self.children.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
    }
}
