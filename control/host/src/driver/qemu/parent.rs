//! What an emulated enclave finds on its parent beside the usual: the heartbeat's echo, and a security module.

use crate::config::Dirs;
use crate::driver::{Order, Services};
use crate::error::HostError;
use crate::files::eventlog::unix_ms;
use crate::run::Message;
use crate::run::services;
use caution_abi::nsm::MAX_REQUEST;
use caution_abi::ports::{HEARTBEAT_BYTE, PARENT_HEARTBEAT, PARENT_NSM};
use caution_devnsm::{DevNsm, DevRoot};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender};

/// Adds them to the services.
pub(super) fn start(order: &Order<'_>, services: &mut Services) -> Result<(), HostError> {
    let messages = order.messages.clone();
    let heartbeat = services::spawn("heartbeat", move |streams| serve_heartbeat(&streams, &messages))?;
    services.insert(PARENT_HEARTBEAT, heartbeat);
    let nsm = security_module(order)?;
    services.insert(PARENT_NSM, services::spawn("nsm", move |streams| serve_nsm(&streams, nsm))?);
    Ok(())
}

fn security_module(order: &Order<'_>) -> Result<DevNsm, HostError> {
    let module = format!("i-{0}-enc{0}", order.dir.id());
    DevNsm::new(&dev_root(order.dirs)?, order.image.pcrs, order.config.debug, module, unix_ms)
        .map_err(|cause| HostError::DevRoot { path: order.dirs.dev_root(), cause })
}

/// The development root; made on first use.
pub(crate) fn dev_root(dirs: &Dirs) -> Result<DevRoot, HostError> {
    let path = dirs.dev_root();
    DevRoot::load_or_create(&path).map_err(|cause| HostError::DevRoot { path, cause })
}

/// Echoes the one byte and reports it.
fn serve_heartbeat(streams: &Receiver<UnixStream>, messages: &SyncSender<Message>) {
    for mut stream in streams {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok()
            && byte == [HEARTBEAT_BYTE]
            && stream.write_all(&byte).is_ok()
            && messages.send(Message::Heartbeat).is_err()
        {
            return;
        }
    }
}

/// Answers length-prefixed requests, one connection at a time: the device has one opener.
fn serve_nsm(streams: &Receiver<UnixStream>, mut nsm: DevNsm) {
    for stream in streams {
        // An end in any form only means that the enclave closed the device.
        let _ = answer_requests(stream, &mut |request| nsm.handle(request));
    }
}

fn answer_requests(mut stream: UnixStream, handle: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_REQUEST {
            // The length of what follows cannot be trusted, so neither can the stream.
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut request = vec![0; length];
        stream.read_exact(&mut request)?;
        let response = handle(&request);
        let length = u32::try_from(response.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), response.as_slice()].concat())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heartbeat_is_echoed_and_nothing_else_is() {
        let (messages, received) = std::sync::mpsc::sync_channel(8);
        let heartbeat = services::spawn("t", move |streams| serve_heartbeat(&streams, &messages)).unwrap();
        for (sent, expected) in [(0x00, None), (HEARTBEAT_BYTE, Some(HEARTBEAT_BYTE))] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            heartbeat.send(ours).unwrap();
            theirs.write_all(&[sent]).unwrap();
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.first().copied(), expected);
        }
        assert!(matches!(received.recv(), Ok(Message::Heartbeat)));
        drop(heartbeat);
        assert!(received.recv().is_err());
    }

    #[test]
    fn security_module_requests_are_framed_and_limited() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            answer_requests(ours, &mut |request| request.iter().rev().copied().collect())
        });
        for request in [&b"abc"[..], b"", &[7; MAX_REQUEST]] {
            theirs.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
            theirs.write_all(request).unwrap();
            let mut length = [0; 4];
            theirs.read_exact(&mut length).unwrap();
            let mut response = vec![0; u32::from_be_bytes(length) as usize];
            theirs.read_exact(&mut response).unwrap();
            response.reverse();
            assert_eq!(response, request);
        }
        theirs.write_all(&u32::try_from(MAX_REQUEST + 1).unwrap().to_be_bytes()).unwrap();
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
        assert_eq!(server.join().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
