//! The app's system call filter.
//!
//! It has one purpose: the app must not reach the parent by itself. Over vsock it could ask QEMU's
//! NSM emulator for a document with a `user_data` of its own choice, and on every machine it could
//! talk past the declared ports. io_uring can open sockets that no filter sees, so it goes too.

use nix::errno::Errno;
use nix::libc::{self, sock_filter};

/// Installs the filter for the calling thread and what it starts. Needs CAP_SYS_ADMIN or
/// no_new_privs. Async-signal-safe.
pub(crate) fn install() -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: LENGTH,
        // The kernel only reads it.
        filter: FILTER.as_ptr().cast_mut(),
    };
    // SAFETY: the call reads `len` instructions from `filter`, a static of that length.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
        .map(drop)
}

/// Offsets in `struct seccomp_data` (`linux/seccomp.h`); the low half of the first argument, which
/// is all the kernel looks at for an `int`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_0: u32 = 16;
/// `AUDIT_ARCH_X86_64` (`linux/audit.h`).
const X86_64: u32 = 0xC000_003E;
/// Calls of the x32 table have this bit.
const X32_BIT: u32 = 0x4000_0000;

static FILTER: [sock_filter; 14] = [
    /*  0 */ load(ARCHITECTURE),
    /*  1 */ jump(libc::BPF_JEQ, X86_64, 1, 0),
    /*  2 */ refuse(libc::ENOSYS),
    /*  3 */ load(NUMBER),
    /*  4 */ jump(libc::BPF_JGE, X32_BIT, 4, 0),
    /*  5 */ jump(libc::BPF_JEQ, number(libc::SYS_io_uring_setup), 3, 0),
    /*  6 */ jump(libc::BPF_JEQ, number(libc::SYS_socket), 3, 0),
    /*  7 */ jump(libc::BPF_JEQ, number(libc::SYS_socketpair), 2, 0),
    /*  8 */ give(libc::SECCOMP_RET_ALLOW),
    /*  9 */ refuse(libc::ENOSYS),
    /* 10 */ load(ARGUMENT_0),
    /* 11 */ jump(libc::BPF_JEQ, libc::AF_VSOCK.cast_unsigned(), 0, 1),
    /* 12 */ refuse(libc::EAFNOSUPPORT),
    /* 13 */ give(libc::SECCOMP_RET_ALLOW),
];
const LENGTH: u16 = 14;

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), jt: 0, jf: 0, k: offset }
}

const fn jump(test: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code: code(libc::BPF_JMP | test | libc::BPF_K), jt: if_true, jf: if_false, k: value }
}

const fn give(result: u32) -> sock_filter {
    sock_filter { code: code(libc::BPF_RET | libc::BPF_K), jt: 0, jf: 0, k: result }
}

const fn refuse(error: libc::c_int) -> sock_filter {
    give(libc::SECCOMP_RET_ERRNO | error.cast_unsigned())
}

#[expect(clippy::cast_possible_truncation, reason = "every BPF code is below 256")]
const fn code(code: u32) -> u16 {
    code as u16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "call numbers are below 512")]
const fn number(call: libc::c_long) -> u32 {
    call as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::Error;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket, socketpair};

    /// A filter is the calling thread's own, so it ends with this thread.
    fn filtered<T: Send + 'static>(body: fn() -> T) -> T {
        std::thread::spawn(move || {
            // SAFETY: takes only integers.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
            install().unwrap();
            body()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn the_app_has_no_vsock() {
        let open = || socket(AddressFamily::Vsock, SockType::Stream, SockFlag::empty(), None).map(drop);
        assert_eq!(filtered(open), Err(Error::EAFNOSUPPORT));
    }

    #[test]
    fn the_app_has_no_vsock_by_a_widened_argument_either() {
        let open = || {
            // SAFETY: takes only integers; fails before a descriptor exists.
            let fd = unsafe { libc::syscall(libc::SYS_socket, 0x1_0000_0028_i64, libc::SOCK_STREAM, 0) };
            (fd, Error::last())
        };
        assert_eq!(filtered(open), (-1, Error::EAFNOSUPPORT));
    }

    #[test]
    fn the_app_has_no_io_uring() {
        // SAFETY: a null parameter block is refused by the kernel, and before it by the filter.
        let open = || (unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) }, Error::last());
        assert_eq!(filtered(open), (-1, Error::ENOSYS));
    }

    #[test]
    fn x32_calls_are_unknown() {
        // SAFETY: takes no pointers; x32's getpid.
        let call = || (unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) }, Error::last());
        assert_eq!(filtered(call), (-1, Error::ENOSYS));
    }

    #[test]
    fn everything_else_is_untouched() {
        let open = || {
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
            socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::empty(), None)?;
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).map(drop)
        };
        assert_eq!(filtered(open), Ok(()));
    }
}
