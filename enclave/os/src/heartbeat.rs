//! The heartbeat: by it the parent knows that the enclave's software runs.

use crate::{say, serve};
use caution_abi::ports::{HEARTBEAT_BYTE, PARENT_HEARTBEAT};
use caution_enclave_sys::vsock;
use std::io::{self, Read, Write};
use std::time::Duration;

/// Sends it from a thread of its own. A parent that does not answer is reported and nothing more:
/// the enclave owes it no obedience, and Nitro's own parent ends an enclave it has not heard of.
pub(crate) fn start(parent_cid: u32) {
    let beat = move || {
        if let Err(e) = connect(parent_cid) {
            say(&format!("The heartbeat on port {PARENT_HEARTBEAT} of the parent failed: {e}."));
        }
    };
    if let Err(e) = serve::spawn("heartbeat", beat) {
        say(&format!("The heartbeat could not be sent: {e}."));
    }
}

fn connect(parent_cid: u32) -> io::Result<()> {
    let mut stream = vsock::connect(parent_cid, PARENT_HEARTBEAT, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    beat(&mut stream)
}

/// One byte there and back.
fn beat(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&[HEARTBEAT_BYTE])?;
    let mut echo = [0];
    stream.read_exact(&mut echo)?;
    if echo == [HEARTBEAT_BYTE] {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the parent echoed another byte"))
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    struct Parent(u8);

    impl Read for Parent {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[0] = self.0;
            Ok(1)
        }
    }

    impl Write for Parent {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert_eq!(bytes, [0xB7]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_byte_must_come_back() {
        assert!(beat(&mut Parent(0xB7)).is_ok());
        assert_eq!(beat(&mut Parent(0)).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
