//! Why two builds of the same source differ: the closed list of causes, each with its way out.

use serde::{Serialize, Serializer};

/// A class of reasons. What fits none of them has no cause: nothing is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The moment of the build was written into a file.
    EmbeddedTime,
    /// The folder it was built in was written into a file.
    BuildPath,
    /// The name of the machine.
    HostName,
    /// The name or number of whoever built it, inside a file.
    UserName,
    /// Language settings: sorting, number and date formats, messages.
    Locale,
    /// The same moment in another time zone.
    TimeZone,
    /// Permission bits: another umask, or another `chmod`.
    Mode,
    /// Owner or group of a file.
    Owner,
    /// The same things in another order, as directories list them or hash tables give them.
    FileOrder,
    /// Random numbers, identifiers and key material made while building.
    Randomness,
    /// Only the linker's build id, or what names it, differs.
    BuildId,
    /// Another compiler, linker or interpreter version.
    Toolchain,
    /// Another version of the base image's operating system.
    BaseImage,
    /// Another version of a package.
    PackageVersion,
    /// Python byte code that carries its source's time.
    PycTime,
    /// The same content, compressed by other settings or another program.
    Compression,
    /// The order or split of work that ran in parallel.
    Parallelism,
    /// Code chosen for the processor it was built on, or built under emulation of another.
    Processor,
    /// The configuration of the app: a key of Procfile or caution.hcl.
    Config,
    /// Another EnclaveOS release.
    EnclaveOs,
}

/// A cause, with what shows it and what ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribution {
    /// The class.
    pub cause: Cause,
    /// What was found that shows it, with the values of both sides.
    pub evidence: String,
    /// What to change, in the user's terms.
    pub fix: String,
}

impl Cause {
    /// Every cause, in the order of this list.
    pub const ALL: [Self; 20] = [
        Self::EmbeddedTime,
        Self::BuildPath,
        Self::HostName,
        Self::UserName,
        Self::Locale,
        Self::TimeZone,
        Self::Mode,
        Self::Owner,
        Self::FileOrder,
        Self::Randomness,
        Self::BuildId,
        Self::Toolchain,
        Self::BaseImage,
        Self::PackageVersion,
        Self::PycTime,
        Self::Compression,
        Self::Parallelism,
        Self::Processor,
        Self::Config,
        Self::EnclaveOs,
    ];

    /// Its name in JSON, reports and documents: `embedded-time`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmbeddedTime => "embedded-time",
            Self::BuildPath => "build-path",
            Self::HostName => "host-name",
            Self::UserName => "user-name",
            Self::Locale => "locale",
            Self::TimeZone => "time-zone",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::FileOrder => "file-order",
            Self::Randomness => "randomness",
            Self::BuildId => "build-id",
            Self::Toolchain => "toolchain",
            Self::BaseImage => "base-image",
            Self::PackageVersion => "package-version",
            Self::PycTime => "pyc-time",
            Self::Compression => "compression",
            Self::Parallelism => "parallelism",
            Self::Processor => "processor",
            Self::Config => "config",
            Self::EnclaveOs => "enclaveos",
        }
    }

    /// What ends it where nothing more special is known.
    pub const fn usual_fix(self) -> &'static str {
        match self {
            Self::EmbeddedTime => {
                "print $SOURCE_DATE_EPOCH instead of the time of the build, or leave it out"
            }
            Self::BuildPath => {
                "build in one fixed WORKDIR, or map it away: -ffile-prefix-map, --remap-path-prefix, -trimpath"
            }
            Self::HostName => "leave the host name out, or set it to a constant",
            Self::UserName => "leave the builder's name out, or set it to a constant",
            Self::Locale => "ENV LC_ALL=C.UTF-8 before the step that writes it",
            Self::TimeZone => "ENV TZ=UTC before the step that writes it",
            Self::Mode => "RUN umask 022 && … in the step, or chmod the file explicitly (COPY --chmod)",
            Self::Owner => "chown the file explicitly (COPY --chown)",
            Self::FileOrder => {
                "sort the list before it is written, as in `find … | sort` or `tar --sort=name`"
            }
            Self::Randomness => {
                "derive the value from the source, give the tool a fixed seed, or make it at start"
            }
            Self::BuildId => {
                "-Wl,--build-id=none, or find what differs above it: the id is a digest of the rest"
            }
            Self::Toolchain => "pin the image that brings the compiler by digest: caution apps pin",
            Self::BaseImage => "pin the base image by digest: caution apps pin",
            Self::PackageVersion => "install exact versions from a snapshot or a lock file",
            Self::PycTime => {
                "PYTHONDONTWRITEBYTECODE=1, or `python -m compileall --invalidation-mode unchecked-hash`"
            }
            Self::Compression => {
                "write it by one program of one version with fixed settings, as in `gzip -n -9`"
            }
            Self::Parallelism => "build this step with one job, or sort what the jobs give",
            Self::Processor => {
                "name the target (-march=x86-64-v2, GOAMD64, target-cpu) and build without emulation"
            }
            Self::Config => "build both sides from the same Procfile or caution.hcl",
            Self::EnclaveOs => "build with the release that is pinned: caution apps pin",
        }
    }

    /// An attribution with the usual fix.
    pub fn shown_by(self, evidence: impl Into<String>) -> Attribution {
        Attribution { cause: self, evidence: evidence.into(), fix: self.usual_fix().into() }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;
    use std::collections::BTreeSet;

    #[test]
    fn every_cause_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
