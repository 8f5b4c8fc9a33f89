//! What every enclave finds on its parent: the manifest, and the network where it declares one.

use crate::driver::{MAX_WAITING, Services};
use crate::error::HostError;
use crate::run::Message;
use crate::run::egress::{self, Network};
use caution_abi::ports::{PARENT_EGRESS, PARENT_MANIFEST};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Starts the services; their threads end with the map of them.
///
/// Without a manifest nobody listens on its port, which is how the enclave learns that there is none.
pub(crate) fn start(
    manifest: Option<Vec<u8>>,
    network: Network,
    messages: SyncSender<Message>,
) -> Result<Services, HostError> {
    let mut services = Services::new();
    let egress = spawn("egress", move |streams| egress::serve(&streams, &network, &messages))?;
    services.insert(PARENT_EGRESS, egress);
    if let Some(bytes) = manifest {
        let manifest = spawn("manifest", move |streams| serve_manifest(&streams, &bytes))?;
        services.insert(PARENT_MANIFEST, manifest);
    }
    Ok(services)
}

/// A service of one thread, which ends when nobody can send it anything.
pub(crate) fn spawn(
    name: &'static str,
    serve: impl FnOnce(Receiver<UnixStream>) + Send + 'static,
) -> Result<SyncSender<UnixStream>, HostError> {
    let (sender, streams) = sync_channel(MAX_WAITING);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || serve(streams))
        .map_err(|cause| HostError::System { doing: "Starting a thread", cause })?;
    Ok(sender)
}

fn serve_manifest(streams: &Receiver<UnixStream>, manifest: &[u8]) {
    for mut stream in streams {
        // An enclave that does not take it all says so itself.
        let _ = stream.write_all(manifest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_manifest_is_sent_whole_to_everyone_who_asks() {
        let manifest = vec![b'x'; 60_000];
        let expected = manifest.clone();
        let service = spawn("t", move |streams| serve_manifest(&streams, &manifest)).unwrap();
        for _ in 0..2 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            service.send(ours).unwrap();
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, expected);
        }
    }
}
