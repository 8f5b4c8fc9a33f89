//! The bytes of a packet where the guest has them: moved between its memory and a stream without a stop in
//! between. The guest may change them at any time, so they are only ever copied, never looked at twice.

use crate::driver::HostStream;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use virtio_queue::DescriptorChain;
use vm_memory::{
    GuestMemory, GuestMemoryLoadGuard, GuestMemoryMmap, Permissions, ReadVolatile as _, VolatileMemoryError,
    VolatileSlice, WriteVolatile as _,
};

/// A packet's buffers in the guest's memory.
pub(super) type Chain = DescriptorChain<GuestMemoryLoadGuard<GuestMemoryMmap>>;

/// Pieces of memory in a row.
pub(super) struct Slices<'a>(VecDeque<VolatileSlice<'a>>);

impl<'a> Slices<'a> {
    /// What the guest wrote. None where a buffer is not in its memory.
    pub(super) fn readable(chain: Chain, memory: &'a GuestMemoryMmap) -> Option<Self> {
        Self::of(chain.readable().map(|part| (part.addr(), part.len())), memory, Permissions::Read)
    }

    /// What may be written for the guest. None where a buffer is not in its memory.
    pub(super) fn writable(chain: Chain, memory: &'a GuestMemoryMmap) -> Option<Self> {
        Self::of(chain.writable().map(|part| (part.addr(), part.len())), memory, Permissions::Write)
    }

    fn of(
        parts: impl Iterator<Item = (vm_memory::GuestAddress, u32)>,
        memory: &'a GuestMemoryMmap,
        access: Permissions,
    ) -> Option<Self> {
        let mut slices = VecDeque::new();
        for (address, length) in parts {
            let length = usize::try_from(length).ok()?;
            for slice in GuestMemory::get_slices(memory, address, length, access).ok()? {
                let slice = slice.ok()?;
                // An empty one would read like an end, and never be written.
                if !slice.is_empty() {
                    slices.push_back(slice);
                }
            }
        }
        Some(Self(slices))
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(VolatileSlice::len).sum()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(VolatileSlice::is_empty)
    }

    /// Takes the first `count` bytes off. None where there are fewer.
    pub(super) fn split_off_front(&mut self, count: usize) -> Option<Self> {
        let (mut front, mut left) = (VecDeque::new(), count);
        while left > 0 {
            let slice = self.0.pop_front()?;
            let (taken, rest) = slice.split_at(left.min(slice.len())).ok()?;
            left -= taken.len();
            front.push_back(taken);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Some(Self(front))
    }

    /// Copies as many bytes out as there are in both.
    pub(super) fn copy_to(&self, bytes: &mut [u8]) {
        let mut at = 0;
        for slice in &self.0 {
            at += slice.copy_to(&mut bytes[at..]);
        }
    }

    /// Copies as many bytes in as there are in both.
    pub(super) fn copy_from(&self, bytes: &[u8]) {
        let mut at = 0;
        for slice in &self.0 {
            let length = slice.len().min(bytes.len() - at);
            slice.copy_from(&bytes[at..at + length]);
            at += length;
        }
    }

    /// Reads from a stream what comes at once, at most `limit` bytes; zero is its end.
    pub(super) fn read_from(&self, stream: &mut HostStream, limit: usize) -> io::Result<usize> {
        let mut total = 0;
        for slice in &self.0 {
            let length = slice.len().min(limit - total);
            let mut slice = slice.subslice(0, length).map_err(io_error)?;
            let read = match stream {
                HostStream::Announced { before, .. } if !before.is_empty() => {
                    let front: Vec<u8> = before.drain(..before.len().min(length)).collect();
                    slice.copy_from(&front);
                    Ok(front.len())
                }
                HostStream::Tcp(stream) | HostStream::Announced { stream, .. } => {
                    stream.read_volatile(&mut slice)
                }
                HostStream::Unix(stream) => stream.read_volatile(&mut slice),
            };
            let read = match read.map_err(io_error) {
                Ok(read) => read,
                Err(_) if total > 0 => break,
                Err(e) => return Err(e),
            };
            total += read;
            // What comes after less than the slice takes would leave a gap.
            if read < length || total == limit {
                break;
            }
        }
        Ok(total)
    }

    /// Writes to a stream what it takes at once, and takes that off.
    pub(super) fn write_to(&mut self, stream: &mut HostStream) -> io::Result<usize> {
        let Some(slice) = self.0.front() else { return Ok(0) };
        let written = match stream {
            HostStream::Tcp(stream) | HostStream::Announced { stream, .. } => stream.write_volatile(slice),
            HostStream::Unix(stream) => stream.write_volatile(slice),
        };
        let written = written.map_err(io_error)?;
        self.split_off_front(written);
        Ok(written)
    }

    /// Copies everything to the end of a buffer of ours.
    pub(super) fn append_to(self, buffer: &mut VecDeque<u8>) {
        let mut bytes = vec![0; self.len()];
        self.copy_to(&mut bytes);
        buffer.extend(bytes);
    }
}

/// Memory of a guest that the tests play.
#[cfg(test)]
impl<'a> From<&'a mut [u8]> for Slices<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self(VecDeque::from([bytes.into()]))
    }
}

fn io_error(error: VolatileMemoryError) -> io::Error {
    match error {
        VolatileMemoryError::IOError(error) => error,
        other => io::Error::new(ErrorKind::InvalidData, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_pass_between_pieces_and_streams_in_order() {
        let (mut ours, mut theirs) = HostStream::pair().unwrap();
        let mut memory = [*b"abcdefgh", *b"ijklmnop", *b"qrstuvwx"];
        let mut pieces = Slices(memory.iter_mut().map(|part| part.as_mut_slice().into()).collect());
        let mut head = [0; 10];
        pieces.split_off_front(10).unwrap().copy_to(&mut head);
        assert_eq!(&head, b"abcdefghij");
        assert_eq!(pieces.len(), 14);
        while !pieces.is_empty() {
            assert_ne!(pieces.write_to(&mut ours).unwrap(), 0);
        }
        let mut rest = [0; 14];
        theirs.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"klmnopqrstuvwx");
        assert!(pieces.split_off_front(1).is_none());

        theirs.write_all(b"0123456789AB").unwrap();
        let pieces = Slices(memory.iter_mut().map(|part| part.as_mut_slice().into()).collect());
        assert_eq!(pieces.read_from(&mut ours, 99).unwrap(), 12);
        assert_eq!(pieces.read_from(&mut ours, 99).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut copy = VecDeque::new();
        pieces.append_to(&mut copy);
        assert_eq!(copy.make_contiguous(), b"0123456789ABmnopqrstuvwx");
        drop(theirs);
        let mut space = [0; 4];
        assert_eq!(Slices::from(space.as_mut_slice()).read_from(&mut ours, 4).unwrap(), 0);
    }
}
