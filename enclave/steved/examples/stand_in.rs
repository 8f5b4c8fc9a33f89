//! scratch, not committed
use caution_abi::nsm;
use caution_devnsm::{DevNsm, DevRoot};
use caution_sdk::{ImagePcrs, Measurements, Pcr};
use caution_steve::{EpochClaims, Flags, Suite};
use caution_steved::{Enclave, Epoch, Limits, Protocol, Settings, Steved};
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

struct Signing { nsm: Mutex<DevNsm>, instance: [u8; 16] }
fn now() -> u64 { u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap() }
impl Enclave for Signing {
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Vec<u8>> {
        let claims = EpochClaims { key_configs_hash: epoch.key_configs_hash, instance: self.instance,
            not_before_ms: epoch.not_before_ms, not_after_ms: epoch.not_after_ms, manifest_hash: [7; 32], tls_key_hash: None,
            flags: Flags { plaintext_fallback: false, public_assets: true } };
        let user_data = claims.to_bytes();
        let nonce = nonce.map(|nonce| &nonce[..]);
        let request = nsm::Request::Attestation { user_data: Some(&user_data), nonce, public_key: None };
        let answer = self.nsm.lock().unwrap().handle(&request.to_bytes());
        match nsm::Response::from_bytes(&answer).unwrap() {
            nsm::Response::Attestation { document } => Ok(document),
            _ => Err(io::Error::other("no document")),
        }
    }
    fn now_ms(&self) -> u64 { now() }
    fn random(&self, buffer: &mut [u8]) { std::fs::File::open("/dev/urandom").unwrap().read_exact(buffer).unwrap(); }
}
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let folder = std::path::PathBuf::from(&args[1]);
    let root = DevRoot::load_or_create(&folder).unwrap();
    let [pcr0, pcr1, pcr2] = [1, 2, 3].map(|byte| Pcr::new([byte; 48]));
    let image = ImagePcrs { measurements: Measurements { pcr0, pcr1, pcr2 }, pcr8: None };
    let mut instance = [0; 16];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut instance).unwrap();
    let enclave = Arc::new(Signing { nsm: Mutex::new(DevNsm::new(&root, image, false, "i-0dev-enc1", now).unwrap()), instance });
    let app = args[3].parse().unwrap();
    let origins = args.get(4).map(|o| o.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let settings = Settings { suite: Suite::XWing, instance, app, protocol: Protocol::Http1, platform: app, origins, plaintext_fallback: false, limits: Limits::DEFAULT };
    let steved = Steved::new(settings, enclave);
    steved.start().await.unwrap();
    let listener = TcpListener::bind(args[2].as_str()).await.unwrap();
    let other = steved.clone();
    tokio::spawn(async move { other.maintain().await });
    println!("up");
    let _ = steved.listen(listener).await;
}
