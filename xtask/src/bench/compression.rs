//! What each level of gzip costs for ramdisk 1: the table by which the default was chosen (`specs/rootfs.md` §6).
//!
//! All with the encoder that builds use, in one stream and on one core. Builds cut the input into blocks.

use super::caution::{Caution, free_port};
use super::large::Large;
use super::{App, BenchError, HELLO_PORT};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Each image is booted this often, in turn; the best counts.
const ROUNDS: usize = 2;
/// Room for the archive, its content and the system.
const MEMORY_MIB: &str = "2048";

/// The levels of gzip that were considered. Level 0 stands for no compression: it stores. What is no gzip at all does
/// not start here (`specs/rootfs.md` §6).
const LEVELS: [u32; 5] = [0, 1, 2, 6, 9];

/// A row of the table, and a line of `target/bench.jsonl`.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    gzip_level: u32,
    ramdisk_mb: f64,
    compress_s: f64,
    boot_s: f64,
}

/// Compresses and boots with every level.
pub(crate) fn measure(caution: &Caution, app: &App, large: &Large) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    let mut images = Vec::new();
    for gzip_level in LEVELS {
        let started = Instant::now();
        let ramdisk = compressed(large, gzip_level)?;
        let compress_s = started.elapsed().as_secs_f64();
        let size = std::fs::metadata(&ramdisk).map_err(io)?.len();
        images.push(large.image(&format!("gzip-{gzip_level}"), &ramdisk)?);
        std::fs::remove_file(&ramdisk).map_err(io)?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let ramdisk_mb = size as f64 / 1e6;
        rows.push(Row { gzip_level, ramdisk_mb, compress_s, boot_s: f64::INFINITY });
    }
    for _ in 0..ROUNDS {
        for (row, image) in rows.iter_mut().zip(&images) {
            row.boot_s = row.boot_s.min(boot(caution, app, image)?);
        }
    }
    Ok(rows)
}

fn compressed(large: &Large, level: u32) -> Result<PathBuf, BenchError> {
    let path = large.ramdisk.with_extension(format!("{level}.gz"));
    let mut from = File::open(&large.ramdisk).map_err(io)?;
    let mut encoder = GzEncoder::new(File::create(&path).map_err(io)?, Compression::new(level));
    std::io::copy(&mut from, &mut encoder).and_then(|_| encoder.finish()).map_err(io)?;
    Ok(path)
}

/// Seconds from the start of the machine until the application is ready.
fn boot(caution: &Caution, app: &App, image: &Path) -> Result<f64, BenchError> {
    let name = format!("bench-{}", std::process::id());
    let published = format!("{}:{HELLO_PORT}", free_port()?);
    let (port, eif) = (free_port()?.to_string(), image.to_string_lossy());
    let arguments = ["apps", "run", "--detach", "--eif", &eif, "--name", &name, "--memory", MEMORY_MIB];
    let more = ["--publish", &published, "--attestation-port", &port];
    let running = caution.json(&app.folder, &[&arguments[..], &more].concat());
    caution.quietly(&app.folder, &["apps", "stop", &name]);
    Ok(running?.number("/boot_ms")? / 1000.0)
}

/// The rows as people read them.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from("\n  gzip level   ramdisk 1, MB   s to compress, 1 core   s to app ready\n");
    for Row { gzip_level, ramdisk_mb, compress_s, boot_s } in rows {
        let _ = writeln!(text, "  {gzip_level:<10}{ramdisk_mb:>16.1}{compress_s:>24.1}{boot_s:>17.1}");
    }
    text
}

fn io(error: std::io::Error) -> BenchError {
    BenchError::Io("Compressing 300 MB", error)
}
