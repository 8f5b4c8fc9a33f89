//! Builds the reviewed commit again, or finds the image an earlier rebuild left.
//!
//! The cache is keyed by everything that decides the bytes, and what is read from it is the image
//! itself: measurements are computed from its bytes each time, never read from a note beside it.
//! A kept image can confirm an enclave and never accuse it: it may come from a builder of the same
//! version with other code, so a mismatch is told only after a fresh build.

use crate::Context;
use crate::commands::apps::build::{Job, build_commit};
use crate::error::CliError;
use crate::terminal::Terminal;
use caution_abi::boot_plan::BootPlan;
use caution_build::git::{CommitId, Repository};
use caution_build::{EngineName, Limits};
use caution_enclaveos::Release;
use caution_measure::{Measurements, Sha256Digest};
use std::fs::{self, File, TryLockError};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the reviewed source builds.
pub(super) struct Rebuilt {
    /// The image, in the cache.
    pub eif: PathBuf,
    /// Of the image's bytes.
    pub measurements: Measurements,
    /// The plan inside the image.
    pub boot_plan: BootPlan,
    /// Of the image's file.
    pub sha256: Sha256Digest,
    /// How it came to be, for the verdict: "rebuilt here in 43 s".
    pub how: String,
}

/// A commit, and what decides the bytes that it builds.
pub(crate) struct Reproduction<'a> {
    pub(crate) repo: &'a Repository,
    pub(crate) commit: &'a CommitId,
    pub(crate) release: &'a Release,
    /// The engine that builds; the first that works when absent.
    pub(crate) engine: Option<EngineName>,
    /// Whether an earlier reproduction does not count.
    pub(crate) no_cache: bool,
    /// Whether no step of the Containerfile may have a network.
    pub(crate) no_network: bool,
    pub(crate) limits: Limits,
}

impl Reproduction<'_> {
    /// Builds the commit, unless an earlier build of the same inputs left the image that is attested.
    pub(super) fn confirm(
        &self,
        context: &Context,
        what: &str,
        attested: &Measurements,
    ) -> Result<Rebuilt, CliError> {
        self.make(context, what, |kept| kept.measurements == *attested)
    }

    /// The image that the commit builds, as an earlier build left it or as it is built now.
    pub(crate) fn image(&self, context: &Context) -> Result<PathBuf, CliError> {
        let what = format!("commit {}", self.commit.short());
        Ok(self.make(context, &what, |_| true)?.eif)
    }

    /// `suffices` says whether what an earlier build left is enough.
    fn make(
        &self,
        context: &Context,
        what: &str,
        suffices: impl Fn(&Rebuilt) -> bool,
    ) -> Result<Rebuilt, CliError> {
        let folder = context.config.cache.join("reproductions/local").join(self.key()?);
        let parent = folder.parent().unwrap_or(&folder);
        fs::create_dir_all(parent)
            .map_err(|e| CliError::io("The cache folder cannot be created", parent, &e))?;
        let _turn = turn(context.terminal, &folder.with_extension("lock"))?;
        let eif = folder.join("output/enclave.eif");
        if !self.no_cache
            && let Some(kept) = cached(&eif).filter(|kept| suffices(kept))
        {
            return Ok(kept);
        }
        context.terminal.note(&format!("rebuilding {what} here"));
        let started = Instant::now();
        // Its registers decide; a signature would enter none of those that are compared.
        let job = Job {
            repo: self.repo,
            commit: self.commit,
            release: self.release,
            image: None,
            engine: self.engine,
            signer: None,
            output: &folder,
            no_cache: self.no_cache,
            no_network: self.no_network,
            trial: None,
            strict: false,
            limits: self.limits,
        };
        let built = build_commit(context, &job)?;
        Ok(Rebuilt {
            eif,
            measurements: built.measurements,
            boot_plan: built.boot_plan,
            sha256: built.sha256,
            how: how(started.elapsed(), built.networked_steps),
        })
    }

    /// Names the inputs: the source tree, the EnclaveOS release, and this very program as the builder.
    fn key(&self) -> Result<String, CliError> {
        let program = Path::new("/proc/self/exe");
        let program =
            fs::read(program).map_err(|e| CliError::io("This program cannot be read", program, &e))?;
        let inputs = format!(
            "caution reproduction 1\ntree {}\nenclaveos {}\nbuilder {}\nno network {}\n",
            self.repo.tree_id(self.commit)?,
            self.release.id(),
            Sha256Digest::of(&program),
            self.no_network,
        );
        Ok(Sha256Digest::of(inputs.as_bytes()).to_string())
    }
}

fn how(elapsed: Duration, networked_steps: usize) -> String {
    let network = match networked_steps {
        0 => String::new(),
        1 => " (one step of it could reach the network)".to_owned(),
        steps => format!(" ({steps} steps of it could reach the network)"),
    };
    format!("rebuilt here in {} s{network}", elapsed.as_secs_f64().ceil())
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

/// Reads a complete earlier result, the image and nothing beside it; anything unreadable counts as
/// absent and is built again.
fn cached(eif: &Path) -> Option<Rebuilt> {
    let file = File::open(eif).ok()?;
    let image = caution_eif::read(BufReader::new(file), &caution_eif::Limits::default()).ok()?;
    Some(Rebuilt {
        eif: eif.to_owned(),
        measurements: image.measurements,
        boot_plan: caution_build::boot_plan_of(eif).ok()?,
        sha256: image.sha256,
        how: "rebuilt here earlier, measured again".to_owned(),
    })
}
