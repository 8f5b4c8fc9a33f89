//! The loopback interface, the only one an enclave has.

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

/// Brings `lo` up; the kernel then gives it 127.0.0.1/8 and ::1/128 by itself (`net/ipv4/devinet.c`,
/// `inetdev_event`).
pub fn loopback_up() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: both requests take a pointer to an `ifreq`, which lives across the calls; the kernel
    // reads the name and, for SIOCGIFFLAGS, writes `ifru_flags`, the member used here.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= UP;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Lets any user listen on ports below 1024, as container engines do: there is one app here and
/// nobody to protect the low ports from.
pub fn open_low_ports() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
}

/// Begins a connection to `port` of 127.0.0.1 and does not wait: the stream can be written to once it
/// is made, and any call on it fails once it has failed. One that is not answered fails within about
/// five seconds.
pub fn connect_loopback(port: u16) -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    let tries: libc::c_int = 4;
    let length = libc::socklen_t::try_from(size_of_val(&tries)).unwrap_or(0);
    // SAFETY: the option reads an int of `length` bytes, which lives across the call. A failure leaves
    // the kernel's longer patience.
    let _ = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SYNCNT,
            (&raw const tries).cast(),
            length,
        )
    };
    let address = SockaddrIn::new(127, 0, 0, 1, port);
    match connect(fd.as_raw_fd(), &address) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(fd.into()),
        Err(e) => Err(e.into()),
    }
}

/// `IFF_UP | IFF_RUNNING` as the 16-bit field of `ifreq`.
#[expect(clippy::cast_possible_truncation, reason = "both flags are below 2^15")]
const UP: libc::c_short = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
