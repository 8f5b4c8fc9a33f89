//! steved as a process of its own, on loopback and with evidence of a development root, for clients that are no Rust:
//! `loopback FOLDER LISTEN APP SUITE LIFETIME_S`. The root stays in the folder, so that the next one is vouched for as well.
//!
//! Prints a line of JSON when it answers: its address, the root (DER, hexadecimal) and the registers.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for tests")]

use caution_abi::nsm;
use caution_devnsm::{DevNsm, DevRoot};
use caution_sdk::{ImagePcrs, Measurements, Pcr};
use caution_steve::Suite;
use caution_steved::{Attested, Enclave, Epoch, Identity, Limits, Protocol, Settings, Steved};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

struct Signing {
    nsm: Mutex<DevNsm>,
    instance: [u8; 16],
}

impl Enclave for Signing {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested> {
        let identity =
            Identity { instance: self.instance, manifest_hash: [7; 32], plaintext_fallback: false };
        let claims = epoch.claims(&identity);
        let user_data = claims.to_bytes();
        let nonce = nonce.map(|nonce| &nonce[..]);
        let request = nsm::Request::Attestation { user_data: Some(&user_data), nonce, public_key: None };
        let answer = self.nsm.lock().unwrap_or_else(PoisonError::into_inner).handle(&request.to_bytes());
        match nsm::Response::from_bytes(&answer) {
            Ok(nsm::Response::Attestation { document }) => {
                Ok(Attested { document, not_after_ms: claims.not_after_ms })
            }
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn random(&self, buffer: &mut [u8]) {
        random(buffer);
    }
}

#[expect(clippy::disallowed_methods, reason = "what it is tested with reads the clock, too")]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    since.as_millis().try_into().expect("it is before the year 584556019")
}

fn random(buffer: &mut [u8]) {
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(buffer)).expect("random numbers");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, listen, app, suite, lifetime_s] = &arguments[..] else {
        panic!("loopback FOLDER LISTEN APP SUITE LIFETIME_S");
    };
    let root = DevRoot::load_or_create(Path::new(folder)).expect("a development root");
    let [pcr0, pcr1, pcr2] = [1, 2, 3].map(|byte| Pcr::new([byte; 48]));
    let image = ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8: None };
    let nsm = DevNsm::new(&root, image, false, "i-0dev-enc1", now_ms).expect("a security module");
    let mut instance = [0; 16];
    random(&mut instance);
    let suite = Suite::ALL.into_iter().find(|known| known.name() == suite).expect("a suite");
    let app = app.parse().expect("the app's address");
    let lifetime = Duration::from_secs(lifetime_s.parse().expect("a number of seconds"));
    let settings = Settings {
        suite,
        instance,
        app,
        protocol: Protocol::Http1,
        platform: app,
        origins: Vec::new(),
        plaintext_fallback: false,
        steve_v2: false,
        limits: Limits { lifetime, ..Limits::DEFAULT },
    };
    let steved = Steved::new(settings, Arc::new(Signing { nsm: Mutex::new(nsm), instance }));
    steved.start().await.expect("evidence");
    let listener = TcpListener::bind(listen).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let [first, second, third] = [1_u8, 2, 3].map(|byte| hex(&[byte; 48]));
    println!(
        r#"{{"address":"{address}","root":"{}","pcr0":"{first}","pcr1":"{second}","pcr2":"{third}"}}"#,
        hex(root.root_der())
    );
    let error = tokio::select! {
        error = steved.listen(listener) => error,
        error = steved.maintain() => error,
    };
    panic!("{error}");
}
