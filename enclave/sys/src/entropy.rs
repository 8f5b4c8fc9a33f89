//! The kernel's random number generator.

use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// The most bytes one [`Pool::add`] takes.
pub const CHUNK: usize = 256;

/// Fills a buffer with random bytes of the kernel.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    // Up to 256 bytes come whole and at once, once the generator is seeded (getrandom(2)).
    for chunk in buffer.chunks_mut(CHUNK) {
        // SAFETY: writes at most `chunk.len()` bytes at its beginning.
        let filled = unsafe { libc::getrandom(chunk.as_mut_ptr().cast(), chunk.len(), 0) };
        if usize::try_from(filled) != Ok(chunk.len()) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// `/dev/random`, open for seeding.
#[derive(Debug)]
pub struct Pool(File);

/// `struct rand_pool_info` (random(4)) with a buffer of fixed length.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    buffer: [u8; CHUNK],
}

/// `_IOW('R', 0x03, int[2])` (random(4)).
const RNDADDENTROPY: libc::c_ulong =
    nix::request_code_write!(b'R', 0x03, size_of::<[libc::c_int; 2]>()) as libc::c_ulong;

impl Pool {
    /// Opens the device.
    pub fn open() -> io::Result<Self> {
        File::options().write(true).open("/dev/random").map(Self)
    }

    /// Mixes in at most [`CHUNK`] bytes (more are ignored) and counts eight bits of entropy for each.
    pub fn add(&self, seed: &[u8]) -> io::Result<()> {
        let length = seed.len().min(CHUNK);
        let mut info = PoolInfo { entropy_bits: 0, bytes: 0, buffer: [0; CHUNK] };
        info.buffer[..length].copy_from_slice(&seed[..length]);
        // At most 256 and 2048, so both always fit.
        info.bytes = libc::c_int::try_from(length).unwrap_or(0);
        info.entropy_bits = info.bytes * 8;
        // SAFETY: the request reads a `rand_pool_info` whose `buf_size` bytes lie inside `buffer`;
        // `info` lives across the call.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), RNDADDENTROPY, &raw const info) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
