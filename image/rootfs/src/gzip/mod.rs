//! Deterministic gzip: the same input gives the same bytes on every machine and with any number of threads.
//!
//! The output is **one** gzip member: a kernel wants every member of an initramfs to end at a cpio trailer, and
//! people who look for gzip streams in an enclave image find exactly one per ramdisk. Inside it the input is cut
//! into blocks of 1 MiB, each compressed without knowledge of the others and ended with a sync flush, as pigz
//! does; so blocks can be compressed on several threads while the bytes depend on nothing but the input. A block
//! ends earlier where large files begin and end ([`Output::boundary`]), so that blocks inside such a file stay
//! what they are, whatever changes in front of it.

use crate::cpio::Output;
use crate::store::{Block, Store};
use caution_measure::Sha256Digest;
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
        Self::with_store(out, None)
    }

    /// A writer that takes blocks from a store where it has them, and keeps there what it compresses.
    pub fn with_store(out: W, store: Option<&Store>) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        Self::with_threads(out, threads, store)
    }

    /// A writer that compresses on `threads` threads, or on the caller's where that is 0 or 1.
    fn with_threads(mut out: W, threads: usize, store: Option<&Store>) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            block: Vec::with_capacity(BLOCK),
            crc: crc32fast::Hasher::new(),
            length: 0,
            workers: Workers::start(threads, store)?,
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

    fn emit(&mut self, done: &Block) -> io::Result<()> {
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(done.crc, done.length.into()));
        self.length += u64::from(done.length);
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

/// Threads that compress blocks. Block `n` goes to thread `n mod threads` and is fetched from there, so
/// results come back in input order without sorting.
struct Workers {
    threads: Vec<Worker>,
    submitted: usize,
    fetched: usize,
    /// The one result there can be where no threads are used.
    inline: Option<Block>,
    encoder: Option<Encoder>,
}

struct Worker {
    jobs: Option<SyncSender<Vec<u8>>>,
    results: Receiver<io::Result<Block>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    fn start(threads: usize, store: Option<&Store>) -> io::Result<Self> {
        let threads = if threads < 2 { 0 } else { threads };
        let threads = (0..threads).map(|_| Worker::start(store)).collect::<io::Result<Vec<_>>>()?;
        let encoder = threads.is_empty().then(|| Encoder::new(store));
        Ok(Self { threads, submitted: 0, fetched: 0, inline: None, encoder })
    }

    /// Whether a result must be fetched before the next block may be submitted.
    fn are_full(&self) -> bool {
        self.submitted - self.fetched >= QUEUE * self.threads.len().max(1)
            || (self.threads.is_empty() && self.inline.is_some())
    }

    fn submit(&mut self, block: Vec<u8>) -> io::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            self.inline = Some(encoder.block(&block)?);
        } else {
            let count = self.threads.len();
            let jobs = self.threads[self.submitted % count].jobs.as_ref();
            jobs.and_then(|jobs| jobs.send(block).ok()).ok_or_else(worker_gone)?;
        }
        self.submitted += 1;
        Ok(())
    }

    /// The oldest result that was not fetched yet; waits for it.
    fn next(&mut self) -> io::Result<Option<Block>> {
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
    fn start(store: Option<&Store>) -> io::Result<Self> {
        let mut encoder = Encoder::new(store);
        let (jobs, inbox) = sync_channel::<Vec<u8>>(QUEUE);
        let (outbox, results) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("gzip".to_owned()).spawn(move || {
            while let Ok(block) = inbox.recv() {
                if outbox.send(encoder.block(&block)).is_err() {
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

/// Makes compressed blocks, or finds them.
struct Encoder {
    compressor: Compress,
    store: Option<Store>,
}

impl Encoder {
    fn new(store: Option<&Store>) -> Self {
        Self { compressor: Compress::new(Compression::new(LEVEL), false), store: store.cloned() }
    }

    fn block(&mut self, content: &[u8]) -> io::Result<Block> {
        let Some(store) = self.store.clone() else { return self.compress(content) };
        let digest = Sha256Digest::of(content);
        if let Some(block) = store.block(&digest, content.len()) {
            return Ok(block);
        }
        let block = self.compress(content)?;
        store.keep_block(&digest, &block);
        Ok(block)
    }

    /// Compresses one block into deflate blocks that end on a byte boundary and are not the last.
    fn compress(&mut self, content: &[u8]) -> io::Result<Block> {
        let compressor = &mut self.compressor;
        compressor.reset();
        // Room for the worst case, so that one call does it all: how often the compressor is asked to go on must
        // not depend on an allocator's generosity.
        let mut bytes = Vec::with_capacity(content.len() + content.len() / 8 + 1024);
        compressor.compress_vec(content, &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        if compressor.total_in() != content.len() as u64 || !bytes.ends_with(&SYNC_MARK) {
            return Err(io::Error::other("the compressor did not finish a block"));
        }
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        Ok(Block { bytes, crc: crc32fast::hash(content), length })
    }
}

fn worker_gone() -> io::Error {
    io::Error::other("a compression thread ended early")
}

/// Part of the format: another value gives other bytes, and other PCRs.
const BLOCK: usize = 1024 * 1024;
/// Part of the format. Level 1 costs 8 % of size for 2.5 times the speed of level 6, and boots as fast.
const LEVEL: u32 = 1;
/// Names what encodes blocks by what it makes of a fixed input, which a test compares: another encoder has another
/// name, whatever changed, and its blocks are kept apart.
pub(crate) const ENCODER: &str = "3e6a90a5cc827b84f9cefa6b13acf47b9a9ff160803e13dea7d154aa860e0b62";
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
