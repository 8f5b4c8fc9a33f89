//! Deterministic gzip: the same input gives the same bytes on every machine and with any number of threads.
//!
//! The output is **one** gzip member: a kernel wants every member of an initramfs to end at a cpio trailer, and
//! people who look for gzip streams in an enclave image find exactly one per ramdisk. Inside it the input is cut
//! into blocks of 1 MiB, each compressed without knowledge of the others and ended with a sync flush, as pigz
//! does; so blocks can be compressed on several threads while the bytes depend on nothing but the input. A block
//! ends earlier where large files begin and end ([`Output::boundary`]), so that blocks inside such a file stay
//! what they are, whatever changes in front of it.

use crate::cpio::Output;
use flate2::{Compress, Compression, FlushCompress};
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Compresses what is written into one gzip member.
///
/// Memory stays bounded: four blocks of input and output a thread. [`GzipWriter::finish`] ends the member; a
/// writer that is dropped without it leaves a truncated file.
pub struct GzipWriter<W: Write> {
    out: W,
    /// Input of the block at hand.
    block: Vec<u8>,
    crc: crc32fast::Hasher,
    length: u64,
    workers: Workers,
}

impl<W: Write> GzipWriter<W> {
    /// A writer that uses the processors at hand, eight at most.
    pub fn new(out: W) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        Self::with_threads(out, threads)
    }

    /// A writer that compresses on `threads` threads, or on the caller's where that is 0 or 1.
    fn with_threads(mut out: W, threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            block: Vec::with_capacity(BLOCK),
            crc: crc32fast::Hasher::new(),
            length: 0,
            workers: Workers::start(threads)?,
        })
    }

    /// Compresses what is left, ends the member and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        while let Some(done) = self.workers.next()? {
            self.emit(&done)?;
        }
        self.out.write_all(&LAST_BLOCK)?;
        self.out.write_all(&self.crc.clone().finalize().to_le_bytes())?;
        // RFC 1952: the length modulo 2^32.
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        self.out.write_all(&[a, b, c, d])?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Sends off what there is of a block.
    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        if self.workers.are_full()
            && let Some(done) = self.workers.next()?
        {
            self.emit(&done)?;
        }
        self.workers.submit(block)
    }

    fn emit(&mut self, done: &Compressed) -> io::Result<()> {
        self.crc.combine(&done.crc);
        self.length += done.length;
        self.out.write_all(&done.bytes)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.end_block()?;
        }
        Ok(taken)
    }

    /// Does nothing: a flush in the middle would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for GzipWriter<W> {
    fn boundary(&mut self) -> io::Result<()> {
        self.end_block()
    }
}

/// A block after compression.
struct Compressed {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    length: u64,
}

/// Threads that compress blocks. Block `n` goes to thread `n mod threads` and is fetched from there, so
/// results come back in input order without sorting.
struct Workers {
    threads: Vec<Worker>,
    submitted: usize,
    fetched: usize,
    /// The one result there can be where no threads are used.
    inline: Option<Compressed>,
    compressor: Option<Compress>,
}

struct Worker {
    jobs: Option<SyncSender<Vec<u8>>>,
    results: Receiver<io::Result<Compressed>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    fn start(threads: usize) -> io::Result<Self> {
        let threads = if threads < 2 { 0 } else { threads };
        let threads = (0..threads).map(|_| Worker::start()).collect::<io::Result<Vec<_>>>()?;
        let compressor = threads.is_empty().then(compressor);
        Ok(Self { threads, submitted: 0, fetched: 0, inline: None, compressor })
    }

    /// Whether a result must be fetched before the next block may be submitted.
    fn are_full(&self) -> bool {
        self.submitted - self.fetched >= QUEUE * self.threads.len().max(1)
            || (self.threads.is_empty() && self.inline.is_some())
    }

    fn submit(&mut self, block: Vec<u8>) -> io::Result<()> {
        if let Some(compressor) = &mut self.compressor {
            self.inline = Some(compress(compressor, &block)?);
        } else {
            let count = self.threads.len();
            let jobs = self.threads[self.submitted % count].jobs.as_ref();
            jobs.and_then(|jobs| jobs.send(block).ok()).ok_or_else(worker_gone)?;
        }
        self.submitted += 1;
        Ok(())
    }

    /// The oldest result that was not fetched yet; waits for it.
    fn next(&mut self) -> io::Result<Option<Compressed>> {
        if self.fetched == self.submitted {
            return Ok(None);
        }
        let done = if self.threads.is_empty() {
            self.inline.take().ok_or_else(worker_gone)?
        } else {
            let count = self.threads.len();
            self.threads[self.fetched % count].results.recv().map_err(|_| worker_gone())??
        };
        self.fetched += 1;
        Ok(Some(done))
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Vec<u8>>(QUEUE);
        let (outbox, results) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("gzip".to_owned()).spawn(move || {
            let mut compressor = compressor();
            while let Ok(block) = inbox.recv() {
                if outbox.send(compress(&mut compressor, &block)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { jobs: Some(jobs), results, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without its sender the thread ends after the blocks it still has, which fit its outbox.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in a worker has already surfaced as a missing result.
            drop(thread.join());
        }
    }
}

fn compressor() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// Compresses one block into deflate blocks that end on a byte boundary and are not the last.
fn compress(compressor: &mut Compress, block: &[u8]) -> io::Result<Compressed> {
    compressor.reset();
    // Room for the worst case, so that one call does it all: how often the compressor is asked to go on must
    // not depend on an allocator's generosity.
    let mut bytes = Vec::with_capacity(block.len() + block.len() / 8 + 1024);
    compressor.compress_vec(block, &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
    if compressor.total_in() != block.len() as u64 || !bytes.ends_with(&SYNC_MARK) {
        return Err(io::Error::other("the compressor did not finish a block"));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(block);
    Ok(Compressed { bytes, crc, length: block.len() as u64 })
}

fn worker_gone() -> io::Error {
    io::Error::other("a compression thread ended early")
}

/// Part of the format: another value gives other bytes, and other PCRs.
const BLOCK: usize = 1024 * 1024;
/// Part of the format. Level 1 costs 8 % of size for 2.5 times the speed of level 6, and boots as fast.
const LEVEL: u32 = 1;
/// RFC 1952: magic, deflate, no flags, no time, fastest compression, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// RFC 1951: a last block with fixed codes that holds nothing but its end.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// How a sync flush ends: length and its complement of an empty stored block.
const SYNC_MARK: [u8; 4] = [0, 0, 0xff, 0xff];
const MAX_THREADS: usize = 8;
/// Blocks that wait at a thread, and results that wait to be fetched from it.
const QUEUE: usize = 2;

#[cfg(test)]
mod tests;
