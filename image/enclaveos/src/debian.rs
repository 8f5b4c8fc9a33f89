//! The kernel's source package: from the cache, or from the archive that this machine's apt uses.

use crate::error::EnclaveOsError;
use crate::files::{self, FileError, PartialDir};
use crate::lock::{self, KERNEL_LOCK, KernelLock, LockError};
use crate::tools::{Environment, Run, Tool, ToolError};
use caution_measure::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Why the kernel's source is not at hand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A tool is missing or fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The archive does not have the locked version any more.
    #[error(
        "The kernel source {package} {version}, which {KERNEL_LOCK} names, cannot be had from this machine's Debian archive \
         (it offers {}).",
        shown(offered)
    )]
    Gone {
        /// Package of the lock.
        package: String,
        /// Version of the lock.
        version: String,
        /// Versions that the archive offers.
        offered: Vec<String>,
        /// Where the package may be placed by hand.
        place: PathBuf,
    },
    /// The package has other bytes than the lock says.
    #[error(
        "{} has the SHA-256 {actual}, but {KERNEL_LOCK} says {expected}; it was not used.",
        path.display()
    )]
    Digest {
        /// The package file.
        path: PathBuf,
        /// SHA-256 of the lock.
        expected: Sha256Digest,
        /// SHA-256 of the file.
        actual: Sha256Digest,
    },
    /// apt downloaded something else than one package.
    #[error("`apt-get download` left {0} packages instead of one.")]
    Download(usize),
    /// The archive does not describe the package in a usable way.
    #[error(
        "This machine's Debian archive does not offer {package} with a version and a SHA-256 (kernel sources that it \
         offers: {}).",
        shown(offered)
    )]
    NotOffered {
        /// The package.
        package: String,
        /// Kernel source packages of the archive.
        offered: Vec<String>,
    },
}

impl SourceError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.fix(),
            Self::Gone { place, .. } => Some(format!(
                "caution enclaveos lock      (moves on to the version offered today; commit the changed lock, PCR1 changes with it)\n\
                 or, to build exactly this release, place the package of Debian's snapshot archive at {}",
                place.display()
            )),
            Self::Digest { path, .. } => {
                Some(format!("rm {}      (then take the package from a source you trust)", path.display()))
            }
            Self::NotOffered { .. } => {
                Some("look at this machine's apt sources (/etc/apt) and at what `apt-get update` says".into())
            }
            _ => None,
        }
    }
}

/// The locked package in the cache, with its SHA-256 checked just now; downloads it if needed.
///
/// This machine's package lists are tried first. Where they are too old or absent, as on a fresh
/// machine, new ones are fetched for this download alone.
pub(crate) fn fetch(
    environment: &Environment,
    cache: &Path,
    lock: &KernelLock,
    notify: &dyn Fn(&str),
) -> Result<PathBuf, SourceError> {
    let sources = cache.join("sources");
    let place = sources.join(format!("{}.deb", lock.sha256));
    if !place.is_file() {
        notify(&format!("kernel: downloading {} {}", lock.package, lock.version));
        files::remove_partial(&sources)?;
        let download = PartialDir::new(&sources)?;
        if !Archive::as_known(environment).download(lock, download.path(), cache)? {
            notify("kernel: this machine's package lists do not have it; fetching new ones");
            let archive = Archive::as_of_now(environment, cache)?;
            if !archive.download(lock, download.path(), cache)? {
                return Err(SourceError::Gone {
                    package: lock.package.clone(),
                    version: lock.version.clone(),
                    offered: archive.versions(&lock.package)?,
                    place,
                });
            }
        }
        let package = only_package(download.path())?;
        verify(&package, lock.sha256)?;
        fs::rename(&package, &place).map_err(FileError::write(&place))?;
    }
    verify(&place, lock.sha256)?;
    Ok(place)
}

/// Asks the archive that this machine's apt uses which kernel source it offers today and writes the lock anew.
///
/// The series of the lock stays. The SHA-256 comes from the package index, whose signature apt checked.
/// `cache` is the work folder, which holds the package lists while they are read.
pub fn relock_kernel(source: &Path, cache: &Path) -> Result<KernelLock, EnclaveOsError> {
    let old = KernelLock::read(source)?;
    let environment = Environment::of_this_process();
    let archive = Archive::as_of_now(&environment, cache)?;
    let Some(lock) = archive.newest(&old.package)? else {
        return Err(SourceError::NotOffered { offered: archive.kernels()?, package: old.package }.into());
    };
    let path = source.join(KERNEL_LOCK);
    files::write_atomic(&path, lock.to_text().as_bytes()).map_err(LockError::from)?;
    Ok(lock)
}

/// The archive that this machine's apt is configured for, by some package lists.
struct Archive<'a> {
    environment: &'a Environment,
    /// Lists of our own; without them, the machine's.
    lists: Option<PartialDir>,
}

impl<'a> Archive<'a> {
    fn as_known(environment: &'a Environment) -> Self {
        Self { environment, lists: None }
    }

    /// With lists fetched just now. The machine's stay as they are, so no privilege is needed.
    fn as_of_now(environment: &'a Environment, cache: &Path) -> Result<Self, SourceError> {
        let lists = PartialDir::new(&cache.join("sources"))?;
        for folder in ["lists/partial", "cache/archives/partial"] {
            files::create_dir(&lists.path().join(folder))?;
        }
        let archive = Self { environment, lists: Some(lists) };
        match archive.run(APT_GET, &["-q", "update"])?.logged(&cache.join("logs/package-lists.log")) {
            // One source of several may be away; whether another has the package is seen when it is asked for.
            Ok(()) | Err(ToolError::Failed { .. }) => Ok(archive),
            Err(error) => Err(error.into()),
        }
    }

    fn run(&self, tool: Tool, arguments: &[&str]) -> Result<Run, ToolError> {
        let run = Run::new(self.environment, tool)?;
        let Some(lists) = &self.lists else { return Ok(run.with(|c| c.args(arguments))) };
        let option = |name: &str, folder: &str| format!("{name}={}", lists.path().join(folder).display());
        // As root, apt would fetch as a user who may not write here.
        let ours = [
            option("Dir::State::lists", "lists"),
            option("Dir::Cache", "cache"),
            "APT::Sandbox::User=root".into(),
        ];
        Ok(run.with(|c| c.args(ours.iter().flat_map(|option| ["-o", option])).args(arguments)))
    }

    /// Downloads the locked version into a folder; false where it is not to be had.
    fn download(&self, lock: &KernelLock, folder: &Path, cache: &Path) -> Result<bool, ToolError> {
        let package = format!("{}={}", lock.package, lock.version);
        let run = self.run(APT_GET, &["-q", "download", &package])?.with(|c| c.current_dir(folder));
        match run.logged(&cache.join("logs/kernel-download.log")) {
            Ok(()) => Ok(true),
            Err(ToolError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The newest version of a package, as its index describes it.
    fn newest(&self, package: &str) -> Result<Option<KernelLock>, ToolError> {
        let answer = self.run(APT_CACHE, &["--no-all-versions", "show", package])?.answer()?;
        Ok(parse_record(&answer.unwrap_or_default(), package))
    }

    /// Versions of a package, as `apt-cache madison` lists them.
    fn versions(&self, package: &str) -> Result<Vec<String>, ToolError> {
        let answer = self.run(APT_CACHE, &["madison", package])?.answer()?.unwrap_or_default();
        let mut versions: Vec<String> = answer
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(|version| version.trim().to_owned())
            .filter(|version| lock::is_debian_version(version))
            .collect();
        versions.dedup();
        Ok(versions)
    }

    /// Names of kernel source packages.
    fn kernels(&self) -> Result<Vec<String>, ToolError> {
        let answer = self.run(APT_CACHE, &["pkgnames", "linux-source-"])?.answer()?.unwrap_or_default();
        let mut names: Vec<String> =
            answer.lines().filter(|name| lock::is_kernel_package(name)).map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// Reads the package's record in the form of `apt-cache show`.
fn parse_record(text: &str, package: &str) -> Option<KernelLock> {
    // Records of several versions are parted by an empty line.
    let record = text.split("\n\n").next()?;
    let field = |name: &str| {
        record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let version = field("Version").filter(|version| lock::is_debian_version(version))?;
    let sha256 = field("SHA256")?.parse().ok()?;
    (field("Package")? == package).then(|| KernelLock {
        package: package.to_owned(),
        version: version.to_owned(),
        sha256,
    })
}

fn only_package(folder: &Path) -> Result<PathBuf, SourceError> {
    let entries = fs::read_dir(folder).map_err(FileError::read(folder))?;
    let mut packages: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    match (packages.pop(), packages.len()) {
        (Some(package), 0) => Ok(package),
        (None, _) => Err(SourceError::Download(0)),
        (Some(_), more) => Err(SourceError::Download(more + 1)),
    }
}

fn verify(path: &Path, expected: Sha256Digest) -> Result<(), SourceError> {
    let mut file = fs::File::open(path).map_err(FileError::read(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(FileError::read(path))? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    let actual = Sha256Digest::new(hasher.finalize().into());
    if actual == expected {
        Ok(())
    } else {
        Err(SourceError::Digest { path: path.to_owned(), expected, actual })
    }
}

fn shown(offered: &[String]) -> String {
    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
}

const APT_GET: Tool =
    Tool { program: "apt-get", fix: "build on Debian: the kernel's source comes from its archive" };
const APT_CACHE: Tool =
    Tool { program: "apt-cache", fix: "build on Debian: the kernel's source comes from its archive" };

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "Package: linux-source-6.12\nSource: linux\nVersion: 6.12.9-1\nSHA256: \
        e849faf31ca3555757f3a8877cb01af92122f744f75d1f3102734651c4e14703\nDescription: x\n Version: 7\n";

    #[test]
    fn a_package_record_becomes_a_lock() {
        let lock = parse_record(RECORD, "linux-source-6.12").unwrap();
        assert_eq!(lock.version, "6.12.9-1");
        assert!(lock.sha256.to_string().starts_with("e849faf3"));
    }

    #[test]
    fn unusable_records_give_none() {
        assert!(parse_record("", "linux-source-6.12").is_none());
        assert!(parse_record(RECORD, "linux-source-6.1").is_none());
        assert!(parse_record(&RECORD.replace("6.12.9-1", "; rm"), "linux-source-6.12").is_none());
        assert!(parse_record(&RECORD.replace("SHA256", "MD5sum"), "linux-source-6.12").is_none());
    }

    fn lock_of(bytes: &[u8]) -> KernelLock {
        KernelLock {
            package: "linux-source-0.0".into(),
            version: "0.0.0-1~caution".into(),
            sha256: Sha256Digest::of(bytes),
        }
    }

    #[test]
    fn a_package_placed_by_hand_is_used_if_its_digest_fits() {
        let cache = tempfile::tempdir().unwrap();
        let environment = Environment::of_this_process();
        let lock = lock_of(b"package");
        let place = cache.path().join("sources").join(format!("{}.deb", lock.sha256));
        fs::create_dir(cache.path().join("sources")).unwrap();
        fs::write(&place, b"package").unwrap();
        assert_eq!(fetch(&environment, cache.path(), &lock, &|_| ()).unwrap(), place);
        fs::write(&place, b"another").unwrap();
        let error = fetch(&environment, cache.path(), &lock, &|_| ()).unwrap_err();
        assert!(matches!(error, SourceError::Digest { .. }), "{error}");
    }

    #[test]
    fn a_version_that_left_the_archive_is_named_with_the_way_out() {
        let cache = tempfile::tempdir().unwrap();
        let error =
            fetch(&Environment::of_this_process(), cache.path(), &lock_of(b"gone"), &|_| ()).unwrap_err();
        assert!(matches!(error, SourceError::Gone { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("linux-source-0.0 0.0.0-1~caution"), "{text}");
        assert!(text.contains("it offers none"), "{text}");
        let fix = error.fix().unwrap();
        assert!(fix.contains("caution enclaveos lock") && fix.contains(".deb"), "{fix}");
        assert_eq!(fs::read_dir(cache.path().join("sources")).unwrap().count(), 0);
    }
}
