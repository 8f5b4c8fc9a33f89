//! The Nitro Security Module: `/dev/nsm` on Nitro, the host's emulator over vsock elsewhere.

use crate::vsock;
use caution_abi::evidence::UserData;
use caution_abi::nsm::{MAX_REQUEST, MAX_RESPONSE, Request, Response, document_time_ms};
use caution_abi::ports::{PARENT_CID_NITRO, PARENT_CID_QEMU, PARENT_NSM};
use caution_measure::{Nonce, Pcr};
use caution_steve::EpochClaims;
use caution_steve::v2::Claims as SessionClaims;
use nix::libc;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the kernel's driver puts the device.
pub const DEVICE: &str = "/dev/nsm";

/// A security module.
///
/// The callers of [`Nsm::attest`], [`Nsm::attest_epoch`] and [`Nsm::attest_session`] choose types, not bytes:
/// `user_data` can only be one of EnclaveOS' own forms, none of which can be read as another, and `public_key` is
/// absent, so no path through here yields a document about anything else.
pub trait Nsm: Send + Sync {
    /// Sends one CBOR request and gives the CBOR response.
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, NsmError>;

    /// A signed attestation document: COSE_Sign1 bytes.
    fn attest(&self, user_data: &UserData, nonce: &Nonce) -> Result<Vec<u8>, NsmError> {
        document(self, &user_data.to_bytes(), Some(nonce))
    }

    /// The same about the keys of an epoch of end-to-end encryption; a nonce is its caller's, where there is one.
    fn attest_epoch(&self, claims: &EpochClaims, nonce: Option<&Nonce>) -> Result<Vec<u8>, NsmError> {
        document(self, &claims.to_bytes(), nonce)
    }

    /// The same about one session of version 2 of it, with its client's nonce.
    fn attest_session(&self, claims: &SessionClaims, nonce: &Nonce) -> Result<Vec<u8>, NsmError> {
        document(self, &claims.to_bytes(), Some(nonce))
    }

    /// The value of register `index`, 0 to 31.
    fn describe_pcr(&self, index: u16) -> Result<Pcr, NsmError> {
        match call(self, &Request::DescribePcr { index })? {
            Response::DescribePcr { data, .. } => {
                Pcr::try_from(data.as_slice()).map_err(|_| NsmError::Unexpected)
            }
            _ => Err(NsmError::Unexpected),
        }
    }

    /// 1 to 256 random bytes.
    fn random(&self) -> Result<Vec<u8>, NsmError> {
        match call(self, &Request::GetRandom)? {
            Response::GetRandom { random } if (1..=256).contains(&random.len()) => Ok(random),
            _ => Err(NsmError::Unexpected),
        }
    }

    /// The module's time, in milliseconds since the Unix epoch: of a document about nothing.
    fn time_ms(&self) -> Result<u64, NsmError> {
        match call(self, &Request::Attestation { user_data: None, nonce: None, public_key: None })? {
            Response::Attestation { document } => {
                document_time_ms(&document).map_err(|_| NsmError::Malformed)
            }
            _ => Err(NsmError::Unexpected),
        }
    }
}

// Not the trait's own, whose methods everybody can call: here `user_data` are bytes.
fn document<N: Nsm + ?Sized>(nsm: &N, user_data: &[u8], nonce: Option<&Nonce>) -> Result<Vec<u8>, NsmError> {
    let nonce = nonce.map(|nonce| &nonce.as_bytes()[..]);
    let request = Request::Attestation { user_data: Some(user_data), nonce, public_key: None };
    match call(nsm, &request)? {
        Response::Attestation { document } => Ok(document),
        _ => Err(NsmError::Unexpected),
    }
}

fn call<N: Nsm + ?Sized>(nsm: &N, request: &Request<'_>) -> Result<Response, NsmError> {
    let response = nsm.exchange(&request.to_bytes())?;
    match Response::from_bytes(&response).map_err(|_| NsmError::Malformed)? {
        Response::Error(code) => Err(NsmError::Refused(code)),
        response => Ok(response),
    }
}

/// Why a security module gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NsmError {
    /// The device could not be opened.
    #[error("the security module {DEVICE} could not be opened")]
    Open(#[source] io::Error),
    /// No emulator where there is no device.
    #[error("there is no {DEVICE}, and no emulator answers on port {PARENT_NSM} of the parent")]
    Connect(#[source] io::Error),
    /// The exchange broke.
    #[error("the exchange with the security module failed")]
    Io(#[from] io::Error),
    /// More bytes than a request or response may have.
    #[error("a message to or from the security module has {0} bytes, which is too many")]
    TooLong(usize),
    /// Not a response.
    #[error("the security module's answer is malformed")]
    Malformed,
    /// An answer to another question.
    #[error("the security module answered something else than what was asked")]
    Unexpected,
    /// The module's own refusal.
    #[error("the security module refused: {0}")]
    Refused(String),
}

/// The module of this machine.
pub fn open() -> Result<Arc<dyn Nsm>, NsmError> {
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(file) => Ok(Arc::new(Device(file))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let emulator = Emulator(Mutex::new(None));
            emulator.with_connection(|_| Ok(()))?;
            Ok(Arc::new(emulator))
        }
        Err(e) => Err(NsmError::Open(e)),
    }
}

/// The parent's context id, which goes with the kind of module.
pub fn parent_cid() -> u32 {
    if std::path::Path::new(DEVICE).exists() { PARENT_CID_NITRO } else { PARENT_CID_QEMU }
}

/// The kernel's driver.
struct Device(File);

/// `struct nsm_iovec` and `struct nsm_raw` (`linux/nsm.h`).
#[repr(C)]
struct IoVec {
    address: u64,
    length: u64,
}
#[repr(C)]
struct Raw {
    request: IoVec,
    response: IoVec,
}

/// `_IOWR(0x0A, 0x0, struct nsm_raw)` (`linux/nsm.h`).
const NSM_IOCTL_RAW: libc::c_ulong = nix::request_code_readwrite!(0x0A, 0, size_of::<Raw>()) as libc::c_ulong;

impl Nsm for Device {
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, NsmError> {
        if request.len() > MAX_REQUEST {
            return Err(NsmError::TooLong(request.len()));
        }
        let mut response = vec![0_u8; MAX_RESPONSE];
        let mut raw = Raw {
            request: IoVec { address: request.as_ptr() as u64, length: request.len() as u64 },
            response: IoVec { address: response.as_mut_ptr() as u64, length: response.len() as u64 },
        };
        // SAFETY: the request reads `request.length` bytes at `request.address` and writes at most
        // `response.length` bytes at `response.address`; both buffers and `raw` live across the call.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), NSM_IOCTL_RAW, &raw mut raw) } < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // The driver leaves the length it wrote.
        match usize::try_from(raw.response.length) {
            Ok(length) if length <= response.len() => response.truncate(length),
            other => return Err(NsmError::TooLong(other.unwrap_or(usize::MAX))),
        }
        Ok(response)
    }
}

/// The host's emulator: one connection, kept; opened anew after a broken exchange.
struct Emulator(Mutex<Option<TcpStream>>);

impl Emulator {
    fn with_connection<T>(
        &self,
        body: impl FnOnce(&mut TcpStream) -> Result<T, NsmError>,
    ) -> Result<T, NsmError> {
        // A poisoned lock cannot be: panics abort. A connection is only put back after success.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match slot.take() {
            Some(stream) => stream,
            None => connect_emulator().map_err(NsmError::Connect)?,
        };
        let value = body(&mut stream)?;
        *slot = Some(stream);
        Ok(value)
    }
}

impl Nsm for Emulator {
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, NsmError> {
        self.with_connection(|stream| exchange_framed(stream, request))
    }
}

fn connect_emulator() -> io::Result<TcpStream> {
    let stream = vsock::connect(PARENT_CID_QEMU, PARENT_NSM, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// One exchange in the emulator's framing: each message after its length, `u32` big-endian.
fn exchange_framed(stream: &mut (impl Read + Write), request: &[u8]) -> Result<Vec<u8>, NsmError> {
    let length = u32::try_from(request.len())
        .ok()
        .filter(|_| request.len() <= MAX_REQUEST)
        .ok_or(NsmError::TooLong(request.len()))?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(request);
    stream.write_all(&message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_RESPONSE {
        return Err(NsmError::TooLong(length));
    }
    let mut response = vec![0; length];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// An emulator signs in milliseconds; this is for one that hangs.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<u8>);

    impl Nsm for Fixed {
        fn exchange(&self, _request: &[u8]) -> Result<Vec<u8>, NsmError> {
            Ok(self.0.clone())
        }
    }

    fn fixed(response: &Response) -> Fixed {
        Fixed(response.to_bytes())
    }

    /// A stream that answers `input` and keeps what is sent.
    struct Pair {
        input: io::Cursor<Vec<u8>>,
        output: Vec<u8>,
    }

    impl Read for Pair {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.input.read(buffer)
        }
    }

    impl Write for Pair {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pair(input: &[u8]) -> Pair {
        Pair { input: io::Cursor::new(input.to_vec()), output: Vec::new() }
    }

    #[test]
    fn the_ioctl_number_is_the_kernels() {
        assert_eq!(NSM_IOCTL_RAW, 0xC020_0A00);
    }

    #[test]
    fn frames_carry_their_length() {
        let mut stream = pair(b"\0\0\0\x02hi");
        assert_eq!(exchange_framed(&mut stream, b"abc").unwrap(), b"hi");
        assert_eq!(stream.output, b"\0\0\0\x03abc");
    }

    #[test]
    fn frames_that_are_too_long_are_refused_before_they_are_read() {
        let announced = exchange_framed(&mut pair(b"\xff\xff\xff\xff"), b"x");
        assert!(matches!(announced, Err(NsmError::TooLong(0xffff_ffff))));
        let sent = exchange_framed(&mut pair(b""), &[0; MAX_REQUEST + 1]);
        assert!(matches!(sent, Err(NsmError::TooLong(4097))));
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        assert!(matches!(exchange_framed(&mut pair(b"\0\0\0\x02h"), b"x"), Err(NsmError::Io(_))));
    }

    #[test]
    fn answers_are_checked() {
        let random = Response::GetRandom { random: vec![7; 3] };
        assert_eq!(fixed(&random).random().unwrap(), [7; 3]);
        assert!(matches!(fixed(&random).describe_pcr(0), Err(NsmError::Unexpected)));
        let empty = Response::GetRandom { random: Vec::new() };
        assert!(matches!(fixed(&empty).random(), Err(NsmError::Unexpected)));
        let short = Response::DescribePcr { lock: true, data: vec![0; 47] };
        assert!(matches!(fixed(&short).describe_pcr(0), Err(NsmError::Unexpected)));
        let refused = Response::Error("InvalidIndex".into());
        assert!(
            matches!(fixed(&refused).describe_pcr(40), Err(NsmError::Refused(code)) if code == "InvalidIndex")
        );
        let document = Response::Attestation { document: b"\x80".to_vec() };
        assert!(matches!(fixed(&document).time_ms(), Err(NsmError::Malformed)));
        assert!(matches!(Fixed(b"\xff".to_vec()).random(), Err(NsmError::Malformed)));
    }
}
