//! Where the application's container image comes from: a Containerfile of the commit, an image in the
//! commit, or one given on the command line.

mod warnings;

use crate::containerfile::{self, Containerfile, ImageUse};
use crate::engine::{self, BuildRequest, ContainerEngine, EngineError, Found, LineSink, PATIENCE};
use crate::error::BuildError;
use crate::layers;
use crate::pin::{self, Committed, Pin, Source};
use crate::process::find_program;
use crate::request::{Progress, Request};
use crate::stage::StageError;
use crate::trial::{Surroundings, Variation};
use caution_appspec::{AppSpec, excerpt};
use caution_assemble::Arguments;
use caution_measure::Sha256Digest;
use caution_rootfs::oci::{self, Image};
use caution_rootfs::{LayerStep, Limits};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use warnings::{unpinned, unpinned_frontend};

/// Where the container image comes from. What can be refused before a build is refused in finding it.
pub(crate) enum Origin {
    /// An engine builds it.
    Containerfile(Box<Chosen>, Found),
    /// It is a file of the commit, this many bytes long.
    Tarball { path: String, size: u64 },
    /// It lies on this machine; no commit has anything to do with it.
    Given(PathBuf),
}

impl Origin {
    /// The command line wins over the configuration, `oci_tarball` over a Containerfile.
    /// `committed` is the commit's `Containerfile.eif`; where a new one is being made (`pinning`) there is none.
    pub(crate) fn find(
        request: &Request<'_>,
        spec: &AppSpec,
        committed: Option<&Committed>,
        pinning: bool,
    ) -> Result<Self, BuildError> {
        if let Some(path) = request.image {
            open(path, &format!("`{}`", shown(path)), &request.limits)?;
            return Ok(Self::Given(path.to_owned()));
        }
        if let Some(path) = &spec.build.oci_tarball {
            if let Some(committed) = committed {
                committed.check_builds_nothing(&format!("`{}`", excerpt(path, 200)))?;
            }
            let (path, commit) = (path.clone(), request.commit.clone());
            return match request.repo.file_size(&commit, &path)? {
                Some(size) => Ok(Self::Tarball { path, size }),
                None => Err(BuildError::NoImage { commit, path }),
            };
        }
        let mut file = Chosen::find(request, spec)?;
        file.pinning = pinning;
        file.prepare(request, committed)?;
        let found = engine::find(request.engine, &local_images(&file.parsed), PATIENCE, find_program)?;
        Ok(Self::Containerfile(Box::new(file), found))
    }

    /// Whether the commit alone decides what the image holds, so that others can build it again.
    pub(crate) const fn is_of_commit(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// Takes what is needed out of the commit, below the folder `work`; says what that was.
    pub(crate) fn export(&self, request: &Request<'_>, work: &Path) -> Result<String, BuildError> {
        let short = request.commit.short();
        Ok(match self {
            Self::Containerfile(..) => {
                let files = request.repo.export(request.commit, &work.join(CONTEXT))?;
                let noun = if files == 1 { "file" } else { "files" };
                format!("commit {short} (clean export, {files} {noun})")
            }
            Self::Tarball { path, size } => {
                let (commit, path) = (request.commit.clone(), path.clone());
                if request.repo.export_file(&commit, &path, &work.join(IMAGE))?.is_none() {
                    return Err(BuildError::NoImage { commit, path });
                }
                format!("commit {short} ({}, {})", excerpt(&path, 60), crate::human_size(*size))
            }
            Self::Given(_) => format!("configuration of commit {short}"),
        })
    }

    /// The image, read and checked; what comes from an engine, and what is worth a line, goes to `sink`.
    pub(crate) fn container(
        &self,
        request: &Request<'_>,
        work: &Path,
        sink: &mut LineSink<'_>,
    ) -> Result<Container, BuildError> {
        let (path, name) = match self {
            Self::Containerfile(file, found) => return file.build(request, found, work, sink),
            Self::Tarball { path, .. } => (work.join(IMAGE), excerpt(path, 60)),
            Self::Given(path) => (path.clone(), shown(path)),
        };
        let image = open(&path, &format!("`{name}`"), &request.limits)?;
        let detail = format!("{name} · sha256:{}…, no engine", &image.digest.to_string()[..12]);
        sink(&format!("{name} · manifest sha256:{}", image.digest));
        Ok(Container { image, digests: Vec::new(), variations: Vec::new(), detail })
    }

    /// How many steps of the Containerfile could reach a network.
    pub(crate) fn networked_steps(&self) -> usize {
        match self {
            Self::Containerfile(file, _) => file.networked_steps(),
            Self::Tarball { .. } | Self::Given(_) => 0,
        }
    }

    /// What left each layer of the image that it gave.
    pub(crate) fn layer_steps(&self, image: &Image) -> Vec<LayerStep> {
        match self {
            Self::Containerfile(file, _) => layers::steps(image, Some((&file.name, &file.parsed))),
            Self::Tarball { .. } | Self::Given(_) => layers::steps(image, None),
        }
    }

    /// Refuses base images whose digest nobody knows.
    pub(crate) fn check_pinned(&self, container: &Container) -> Result<(), BuildError> {
        match self {
            Self::Containerfile(file, _) => file.check_pinned(None, &container.digests),
            Self::Tarball { .. } | Self::Given(_) => Ok(()),
        }
    }

    /// Whether the committed file's last stages make the enclave image that the commit gives.
    pub(crate) fn check_assembly(
        &self,
        committed: &Committed,
        container: &Container,
        arguments: Option<&Arguments>,
    ) -> Result<(), BuildError> {
        match self {
            Self::Containerfile(file, _) => {
                Ok(committed.check_assembly(file.source(&container.digests), arguments)?)
            }
            Self::Tarball { .. } | Self::Given(_) => Ok(()),
        }
    }

    /// The text of `Containerfile.eif`; `assembly` is the assembler and what it is told.
    pub(crate) fn pinned(
        &self,
        container: &Container,
        pin: &Pin,
        assembly: Option<(&Sha256Digest, &Arguments)>,
    ) -> String {
        match self {
            Self::Containerfile(file, _) => file.source(&container.digests).containerfile_eif(pin, assembly),
            Self::Tarball { path, .. } => {
                pin::without_build(&format!("`{}` of the same commit", excerpt(path, 200)), pin)
            }
            Self::Given(_) => pin::without_build("an image that no commit holds", pin),
        }
    }
}

/// A container image, ready to be unpacked.
pub(crate) struct Container {
    pub(crate) image: Image,
    /// What each base image resolved to, where it was not pinned.
    digests: Vec<Option<Sha256Digest>>,
    /// In a trial, what the engine was given that is different on purpose.
    pub(crate) variations: Vec<Variation>,
    /// How it came to be, in a few words.
    pub(crate) detail: String,
}

fn open(path: &Path, name: &str, limits: &Limits) -> Result<Image, BuildError> {
    let failed = |source| BuildError::Image { name: name.to_owned(), source };
    oci::open(path, limits).map_err(failed)
}

/// The image by its file's or folder's own name.
fn shown(path: &Path) -> String {
    excerpt(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy(), 60)
}

/// The Containerfile that is built.
pub(crate) struct Chosen {
    name: String,
    text: String,
    parsed: Containerfile,
    /// The digests that the commit's `Containerfile.eif` gives to its images, in order.
    fixed: Vec<Option<Sha256Digest>>,
    /// Whether this is about the digests: then nobody needs to be told that there are none yet.
    pinning: bool,
    no_cache: bool,
    no_network: bool,
}

impl Chosen {
    fn find(request: &Request<'_>, spec: &AppSpec) -> Result<Self, BuildError> {
        let configured = spec.build.containerfile.as_deref();
        for name in containerfile::containerfile_names(configured) {
            let bytes = request.repo.read_file(request.commit, name, containerfile::MAX_BYTES)?;
            if let Some(bytes) = bytes {
                let not_text = |_| BuildError::ContainerfileNotText(name.to_owned());
                let text = String::from_utf8(bytes).map_err(not_text)?;
                let parsed = containerfile::parse(&text);
                check_digests(name, &parsed)?;
                return Ok(Self {
                    name: name.to_owned(),
                    fixed: vec![None; parsed.images.len()],
                    pinning: false,
                    no_cache: request.no_cache || spec.build.no_cache,
                    no_network: request.no_network,
                    text,
                    parsed,
                });
            }
        }
        let (commit, named) = (request.commit.clone(), configured.map(str::to_owned));
        Err(BuildError::NoContainerfile { commit, named })
    }

    /// Puts the committed digests in, and refuses what can be before an engine starts.
    fn prepare(&mut self, request: &Request<'_>, committed: Option<&Committed>) -> Result<(), BuildError> {
        if let Some(committed) = committed {
            self.fixed = committed.digests(&self.name, &self.text, &self.parsed)?;
        }
        if request.strict {
            self.check_pinned(self.parsed.frontend.as_ref(), &self.fixed)?;
        }
        match request.output.to_str() {
            Some(_) => Ok(()),
            None => Err(BuildError::FolderName(request.output.to_owned())),
        }
    }

    /// Refuses images that have no digest, neither of their own nor among `digests`; a frontend can only have its own.
    fn check_pinned(
        &self,
        frontend: Option<&ImageUse>,
        digests: &[Option<Sha256Digest>],
    ) -> Result<(), BuildError> {
        let mut images = Vec::new();
        let frontend = frontend.map(|image| (image, &None));
        for (image, digest) in frontend.into_iter().chain(self.parsed.images.iter().zip(digests)) {
            if image.digest().is_none() && digest.is_none() {
                images.push((image.line, excerpt(&image.written, 200)));
            }
        }
        if images.is_empty() { Ok(()) } else { Err(BuildError::Unpinned { file: self.name.clone(), images }) }
    }

    fn source<'s>(&'s self, digests: &'s [Option<Sha256Digest>]) -> Source<'s> {
        Source { name: &self.name, text: &self.text, parsed: &self.parsed, digests }
    }

    /// The file the engine reads, as seen from the context, and its text: the Containerfile itself, or one beside the
    /// context, with the fixed digests put in or under a harmless name. In its place that would change what `COPY . .` copies.
    fn for_engine(&self, work: &Path) -> Result<(String, Cow<'_, str>), BuildError> {
        // buildah hands a file of such a name to the C preprocessor, which includes any file of this machine;
        // every engine takes `-` for its standard input.
        let misread = self.name.strip_suffix(".in").is_some() || self.name == "-";
        if self.fixed.iter().all(Option::is_none) && !misread {
            return Ok((self.name.clone(), Cow::Borrowed(&self.text)));
        }
        let text = self.source(&self.fixed).with_digests();
        let path = work.join(PINNED);
        std::fs::write(&path, &text).map_err(StageError::io(&path))?;
        Ok((format!("../{PINNED}"), Cow::Owned(text)))
    }

    fn networked_steps(&self) -> usize {
        if self.no_network { 0 } else { self.parsed.runs.iter().filter(|run| !run.is_offline()).count() }
    }

    fn build(
        &self,
        request: &Request<'_>,
        Found { engine, passed_over }: &Found,
        work: &Path,
        sink: &mut LineSink<'_>,
    ) -> Result<Container, BuildError> {
        if !passed_over.is_empty() {
            let (name, version) = (engine.name(), engine.version());
            let note = format!("  building with {name} {version}; passed over: {}", passed_over.join("; "));
            (request.progress)(Progress::Note(&note));
            sink(note.trim_start());
        }
        sink(&format!("{} {} · {} of commit {}", engine.name(), engine.version(), self.name, request.commit));
        let context = work.join(CONTEXT);
        let (containerfile, text) = self.for_engine(work)?;
        let mut surroundings = match request.trial {
            Some(trial) => Surroundings::of(trial, engine.name(), self.networked_steps() > 0, work)?,
            None => Surroundings::default(),
        };
        let built = surroundings.within(sink, |surroundings, sink| {
            let to_build = BuildRequest {
                context: &context,
                containerfile: &containerfile,
                text: &text,
                no_cache: self.no_cache,
                no_network: self.no_network,
                surroundings,
                scratch: work,
            };
            engine.build(&to_build, sink)
        });
        let built = built.map_err(|mut error| {
            // The lines are those of the user's own file.
            if let EngineError::TooOld { file, .. } = &mut error {
                file.clone_from(&self.name);
            }
            error
        })?;
        let exported = work.join(IMAGE);
        engine.export(&built, &exported, sink)?;
        let image = open(&exported, &format!("the image that {} made", engine.name()), &request.limits)?;
        let digests = self.resolved(request, engine.as_ref())?;
        let stages = self.parsed.stages;
        let noun = if stages == 1 { "stage" } else { "stages" };
        let detail = format!("{} · {} · {stages} {noun}", engine.name(), excerpt(&self.name, 60));
        Ok(Container { image, digests, variations: surroundings.into_variations(), detail })
    }

    /// The digest each base image resolved to, and a warning for each that is not pinned.
    fn resolved(
        &self,
        request: &Request<'_>,
        engine: &dyn ContainerEngine,
    ) -> Result<Vec<Option<Sha256Digest>>, EngineError> {
        if let Some(frontend) = self.parsed.frontend.as_ref().filter(|image| image.digest().is_none()) {
            (request.progress)(unpinned_frontend(&self.name, frontend));
        }
        let mut digests = Vec::new();
        for (image, fixed) in self.parsed.images.iter().zip(&self.fixed) {
            let digest = match (&image.reference, image.digest(), fixed) {
                (Some(name), None, None) => engine.resolved_digest(name)?,
                _ => *fixed,
            };
            let local = image.reference.as_deref().is_some_and(|name| name.starts_with(LOCAL));
            if image.digest().is_none() && fixed.is_none() && (local || !self.pinning) {
                (request.progress)(unpinned(&self.name, image, pin::replacement(image, digest)));
            }
            digests.push(digest);
        }
        Ok(digests)
    }
}

/// Base images that no registry gives: an engine has them or cannot build.
fn local_images(parsed: &Containerfile) -> Vec<&str> {
    let names = parsed.images.iter().filter_map(|image| image.reference.as_deref());
    names.filter(|name| name.starts_with(LOCAL)).collect()
}

/// Engines fail in words that do not say what is wrong with a digest.
fn check_digests(file: &str, parsed: &Containerfile) -> Result<(), BuildError> {
    let faulty = |image: &ImageUse| {
        let fault = image.digest_fault()?;
        let (file, image_name) = (file.to_owned(), excerpt(&image.written, 200));
        Some(BuildError::BaseDigest { file, line: image.line, image: image_name, fault })
    };
    parsed.frontend.iter().chain(&parsed.images).find_map(faulty).map_or(Ok(()), Err)
}

/// How names of images begin that no registry has.
const LOCAL: &str = "localhost/";
/// The Containerfile with digests put in, below the work folder.
const PINNED: &str = "Containerfile.pinned";
/// The build context, below the work folder.
const CONTEXT: &str = "source";
/// The image, below the work folder: a layout or an archive.
const IMAGE: &str = "image";
