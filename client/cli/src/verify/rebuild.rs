//! Builds the reviewed commit again, or finds the image an earlier rebuild left.
//!
//! The cache is keyed by everything that decides the bytes, and what is read from it is the image
//! itself: measurements are computed from its bytes each time, never read from a note beside it.
//! A kept image can confirm an enclave and never accuse it: it may come from a builder of the same
//! version with other code, so a mismatch is told only after a fresh build.

use super::Request;
use super::origin::Found;
use super::source::Reviewed;
use crate::Context;
use crate::commands::apps::build::{Job, build_commit};
use crate::error::CliError;
use crate::terminal::Terminal;
use caution_abi::boot_plan::BootPlan;
use caution_build::git::{CommitId, Repository};
use caution_enclaveos::Release;
use caution_measure::{Measurements, Sha256Digest};
use std::fs::{self, File, TryLockError};
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

/// What the reviewed source builds.
pub(super) struct Rebuilt {
    /// Of the image's bytes.
    pub measurements: Measurements,
    /// The plan inside the image.
    pub boot_plan: BootPlan,
    /// Of the image's file.
    pub sha256: Sha256Digest,
    /// How it came to be, for the verdict: "rebuilt here in 43 s".
    pub how: String,
}

/// Rebuilds the reviewed commit on this release, unless an earlier rebuild of the same inputs left the image that is
/// attested.
pub(super) fn rebuild(
    context: &Context,
    reviewed: &Reviewed,
    release: &Release,
    attested: &Measurements,
    request: &Request,
) -> Result<Rebuilt, CliError> {
    let (engine, no_cache) = (request.engine, request.no_cache);
    let Reviewed { source: Found { repo, commit, .. }, .. } = reviewed;
    let folder = context.config.cache.join("reproductions/local").join(key(repo, commit, release)?);
    let parent = folder.parent().unwrap_or(&folder);
    fs::create_dir_all(parent).map_err(|e| CliError::io("The cache folder cannot be created", parent, &e))?;
    let _turn = turn(context.terminal, &folder.with_extension("lock"))?;
    if !no_cache && let Some(kept) = cached(&folder).filter(|kept| kept.measurements == *attested) {
        return Ok(kept);
    }
    context.terminal.note(&format!("rebuilding {} here", reviewed.source.what));
    let started = Instant::now();
    // Its registers decide; a signature would enter none of those that are compared.
    let job = Job {
        repo,
        commit,
        release,
        image: None,
        engine,
        signer: None,
        output: &folder,
        no_cache,
        strict: false,
        limits: request.limits,
    };
    let built = build_commit(context, &job)?;
    Ok(Rebuilt {
        measurements: built.measurements,
        boot_plan: built.boot_plan,
        sha256: built.sha256,
        how: format!("rebuilt here in {} s", started.elapsed().as_secs_f64().ceil()),
    })
}

/// The right to use a folder of the cache: whoever verifies the same commit at the same time waits
/// and finds the work done. Given back when dropped, by the system if need be.
fn turn(terminal: Terminal, path: &Path) -> Result<File, CliError> {
    let failed = |e: std::io::Error| CliError::io("The cache cannot be locked", path, &e);
    let file = File::create(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => terminal.note("waiting for another rebuild of the same commit"),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Names the inputs: the source tree, the EnclaveOS release, and this very program as the builder.
fn key(repo: &Repository, commit: &CommitId, release: &Release) -> Result<String, CliError> {
    let program = Path::new("/proc/self/exe");
    let program = fs::read(program).map_err(|e| CliError::io("This program cannot be read", program, &e))?;
    let inputs = format!(
        "caution reproduction 1\ntree {}\nenclaveos {}\nbuilder {}\n",
        repo.tree_id(commit)?,
        release.id(),
        Sha256Digest::of(&program),
    );
    Ok(Sha256Digest::of(inputs.as_bytes()).to_string())
}

/// Reads a complete earlier result, the image and nothing beside it; anything unreadable counts as
/// absent and is built again.
fn cached(folder: &Path) -> Option<Rebuilt> {
    let path = folder.join("output/enclave.eif");
    let file = File::open(&path).ok()?;
    let image = caution_eif::read(BufReader::new(file), &caution_eif::Limits::default()).ok()?;
    Some(Rebuilt {
        measurements: image.measurements,
        boot_plan: caution_build::boot_plan_of(&path).ok()?,
        sha256: image.sha256,
        how: "rebuilt here earlier, measured again".to_owned(),
    })
}
