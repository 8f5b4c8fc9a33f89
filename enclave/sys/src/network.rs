//! The loopback interface, the only one an enclave has.

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
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

/// `IFF_UP | IFF_RUNNING` as the 16-bit field of `ifreq`.
#[expect(clippy::cast_possible_truncation, reason = "both flags are below 2^15")]
const UP: libc::c_short = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
