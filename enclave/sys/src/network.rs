//! Interfaces: loopback, which every enclave has, and the link that declared egress goes over.

use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// An interface without hardware: what the kernel sends there is read from a file, one packet a read,
/// and what is written into the file arrives.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Name, at most 15 bytes.
    pub name: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
    /// Bits of its network.
    pub prefix: u8,
    /// The largest packet.
    pub mtu: u16,
    /// Where everything goes that is for no network of ours.
    pub gateway: Ipv4Addr,
}

/// Brings `lo` up; the kernel then gives it 127.0.0.1/8 and ::1/128 by itself (`net/ipv4/devinet.c`,
/// `inetdev_event`).
pub fn loopback_up() -> io::Result<()> {
    interface_up(&control_socket()?, "lo")
}

/// Makes a link, for IPv4 alone. It goes when the file, which never blocks, is closed.
pub fn open_link(link: &Link) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = request_of(link.name);
    request.ifr_ifru.ifru_flags = BARE_PACKETS;
    // SAFETY: TUNSETIFF takes a pointer to an `ifreq`, which lives across the call; the kernel reads
    // name and flags of it and writes the name.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    fs::write(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", link.name), "1")?;
    let socket = control_socket()?;
    set_address(&socket, link.name, libc::SIOCSIFADDR, link.address)?;
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(link.prefix.into())).unwrap_or(0);
    set_address(&socket, link.name, libc::SIOCSIFNETMASK, mask.into())?;
    let mut request = request_of(link.name);
    request.ifr_ifru.ifru_mtu = link.mtu.into();
    // SAFETY: SIOCSIFMTU takes a pointer to an `ifreq`, which lives across the call; the kernel reads
    // the name and `ifru_mtu`, which was just written.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    interface_up(&socket, link.name)?;
    add_default_route(&socket, link.gateway)?;
    Ok(file.into())
}

/// Lets any user listen on ports below 1024, as container engines do: there is one app here and
/// nobody to protect the low ports from.
pub fn open_low_ports() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
}

/// Makes whoever connects while the app's queue is full ask again. With SYN cookies it would be told that it is
/// connected, of which the kernel remembers nothing: if it then waits for the app to speak first, it waits for ever.
/// Cookies are for floods from elsewhere, and on loopback there are none.
pub fn no_syn_cookies() -> io::Result<()> {
    match fs::write("/proc/sys/net/ipv4/tcp_syncookies", "0") {
        // A kernel that knows none.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn control_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

fn interface_up(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let mut request = request_of(name);
    // SAFETY: both requests take a pointer to an `ifreq`, which lives across the call; the kernel
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

/// `which` is SIOCSIFADDR or SIOCSIFNETMASK.
fn set_address(socket: &OwnedFd, name: &str, which: libc::Ioctl, address: Ipv4Addr) -> io::Result<()> {
    let mut request = request_of(name);
    request.ifr_ifru.ifru_addr = socket_address(address);
    // SAFETY: both requests take a pointer to an `ifreq`, which lives across the call; the kernel
    // reads the name and `ifru_addr` (`ifru_netmask` is the same bytes), which was just written.
    if unsafe { libc::ioctl(socket.as_raw_fd(), which, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Begins a connection to `port` of 127.0.0.1 and does not wait: the stream can be written to once it
/// is made, and any call on it fails once it has failed. One that is not answered fails within about
/// five seconds; one that the app's side gave up while it waited in a full queue, within about two minutes.
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
    setsockopt(&fd, sockopt::KeepAlive, &true)?;
    setsockopt(&fd, sockopt::TcpKeepIdle, &ASK_AFTER_SECONDS)?;
    let address = SockaddrIn::new(127, 0, 0, 1, port);
    match connect(fd.as_raw_fd(), &address) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(fd.into()),
        Err(e) => Err(e.into()),
    }
}

fn add_default_route(socket: &OwnedFd, gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: `rtentry` is plain data; all zero is a valid value, its pointer to a device name null.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: SIOCADDRT takes a pointer to an `rtentry`, which lives across the call and is only read.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw mut route) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn request_of(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request
}

/// `sockaddr_in` as the `sockaddr` that interface requests have: family, port, address.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed();
    }
    libc::sockaddr { sa_family: FAMILY, sa_data: data }
}

/// The kernel gives up a connection that the app does not accept after 63 s, and tells nobody.
const ASK_AFTER_SECONDS: u32 = 120;
#[expect(clippy::cast_possible_truncation, reason = "2")]
const FAMILY: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
/// `IFF_UP | IFF_RUNNING` as the 16-bit field of `ifreq`.
#[expect(clippy::cast_possible_truncation, reason = "both flags are below 2^15")]
const UP: libc::c_short = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
/// No Ethernet header, no protocol number before it.
#[expect(clippy::cast_possible_truncation, reason = "both flags are below 2^15")]
const BARE_PACKETS: libc::c_short = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_the_app_asks_whether_its_other_end_is_still_there() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect_loopback(listener.local_addr().unwrap().port()).unwrap();
        assert!(nix::sys::socket::getsockopt(&stream, sockopt::KeepAlive).unwrap());
        assert_eq!(nix::sys::socket::getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), ASK_AFTER_SECONDS);
    }

    #[test]
    fn names_and_addresses_have_the_kernels_form() {
        let request = request_of("a-name-that-is-too-long");
        assert_eq!(request.ifr_name[..3], [b'a', b'-', b'n'].map(u8::cast_signed));
        assert_eq!(request.ifr_name[libc::IFNAMSIZ - 1], 0);
        let address = socket_address(Ipv4Addr::new(192, 0, 0, 2));
        assert_eq!(address.sa_family, 2);
        assert_eq!(address.sa_data[..6], [0, 0, -64, 0, 0, 2]);
    }
}
