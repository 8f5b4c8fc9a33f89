//! From a commit to `eif-stage/`.

use crate::config::load_config;
use crate::containerfile::{self, Containerfile, ImageUse};
use crate::engine::{self, BuildRequest, ContainerEngine, EngineError};
use crate::error::BuildError;
use crate::log::Log;
use crate::packing::pack;
use crate::pin::{self, Committed, Moved, Pin};
use crate::request::{Built, Progress, Request, Step};
use crate::stage::{Stage, StageError};
use caution_abi::boot_plan::BootPlan;
use caution_appspec::{AppSpec, excerpt};
use caution_measure::Sha256Digest;
use caution_plan::{ImageProcess, SourceIdentity, boot_plan, manifest};
use caution_rootfs::oci::Image;
use caution_rootfs::{Limits, RootfsError, Tree, merge, resolve_user};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Builds a commit into the request's output folder.
///
/// Everything that can be refused is refused before the engine starts. Nothing appears under a final
/// name (but `build.log`) until the whole build has succeeded; the image appears last.
pub fn build(request: &Request<'_>) -> Result<Built, BuildError> {
    let mut build = Build::prepare(request, false)?;
    build.source()?;
    let container = build.container()?;
    let filesystem = build.filesystem(&container.image)?;
    build.image(&container, &filesystem)
}

/// A new `Containerfile.eif`.
#[derive(Debug)]
pub struct Pinned {
    /// Its text.
    pub text: String,
    /// How it differs from the committed one.
    pub moved: Moved,
}

/// Builds a commit's container as if it had no `Containerfile.eif`, and writes down what that took.
///
/// The request's output folder serves as a place to work in; nothing but `build.log` stays in it.
pub fn pin(request: &Request<'_>) -> Result<Pinned, BuildError> {
    let mut build = Build::prepare(request, true)?;
    build.source()?;
    let container = build.container()?;
    build.file.check_pinned(&container.digests)?;
    let text = build.containerfile_eif(&container.digests);
    // One that cannot be read is what a new one is for.
    let before = Committed::read(request.repo, request.commit).ok().flatten();
    let moved = Moved::between(before.as_ref(), &text, &containerfile::parse(&text), build.in_use);
    Ok(Pinned { text, moved })
}

/// The Containerfile that is built.
struct Chosen {
    name: String,
    text: String,
    parsed: Containerfile,
    /// The digests that the commit's `Containerfile.eif` gives to its images, in order.
    fixed: Vec<Option<Sha256Digest>>,
}

impl Chosen {
    fn find(request: &Request<'_>, spec: &AppSpec) -> Result<Self, BuildError> {
        let configured = spec.build.containerfile.as_deref();
        let candidates = configured.map_or_else(|| vec!["Containerfile", "Dockerfile"], |name| vec![name]);
        for name in candidates {
            let bytes = request.repo.read_file(request.commit, name, containerfile::MAX_BYTES)?;
            if let Some(bytes) = bytes {
                let not_text = |_| BuildError::ContainerfileNotText(name.to_owned());
                let text = String::from_utf8(bytes).map_err(not_text)?;
                let parsed = containerfile::parse(&text);
                let fixed = vec![None; parsed.images.len()];
                let chosen = Self { name: name.to_owned(), text, parsed, fixed };
                chosen.check_digests()?;
                return Ok(chosen);
            }
        }
        let (commit, named) = (request.commit.clone(), configured.map(str::to_owned));
        Err(BuildError::NoContainerfile { commit, named })
    }

    fn check_digests(&self) -> Result<(), BuildError> {
        let faulty = |image: &ImageUse| {
            let fault = image.digest_fault()?;
            let (file, image_name) = (self.name.clone(), excerpt(&image.written, 200));
            Some(BuildError::BaseDigest { file, line: image.line, image: image_name, fault })
        };
        self.parsed.images.iter().find_map(faulty).map_or(Ok(()), Err)
    }

    /// Refuses images that have no digest, neither of their own nor among `digests`.
    fn check_pinned(&self, digests: &[Option<Sha256Digest>]) -> Result<(), BuildError> {
        let mut images = Vec::new();
        for (image, digest) in self.parsed.images.iter().zip(digests) {
            if image.digest().is_none() && digest.is_none() {
                images.push((image.line, excerpt(&image.written, 200)));
            }
        }
        if images.is_empty() { Ok(()) } else { Err(BuildError::Unpinned { file: self.name.clone(), images }) }
    }

    /// The file the engine reads, as seen from the context: the Containerfile itself, or one beside the
    /// context with the fixed digests put in. In its place that would change what `COPY . .` copies.
    fn for_engine(&self, stage: &Stage) -> Result<String, BuildError> {
        if self.fixed.iter().all(Option::is_none) {
            return Ok(self.name.clone());
        }
        let text = pin::with_digests(&self.text, &self.parsed, &self.fixed);
        stage.write("work/Containerfile.pinned", text.as_bytes())?;
        Ok("../Containerfile.pinned".to_owned())
    }
}

struct Build<'a> {
    request: &'a Request<'a>,
    spec: AppSpec,
    file: Chosen,
    in_use: Pin,
    /// Whether this is about the digests: then nobody needs to be told that there are none yet.
    pinning: bool,
    stage: Stage,
    engine: Box<dyn ContainerEngine>,
    timings: Vec<(Step, Duration)>,
}

/// What the engine made.
struct Container {
    image: Image,
    /// What each base image resolved to, where it was not pinned.
    digests: Vec<Option<Sha256Digest>>,
}

/// What becomes ramdisk 1.
struct Filesystem {
    tree: Tree,
    plan: BootPlan,
}

impl<'a> Build<'a> {
    /// Reads and checks all that can be before an engine starts, and opens the stage.
    fn prepare(request: &'a Request<'a>, pinning: bool) -> Result<Self, BuildError> {
        let spec = load_config(request.repo, request.commit)?;
        let in_use = Pin { id: request.release.id(), pcr1: request.release.reference().pcr1 };
        let mut file = Chosen::find(request, &spec)?;
        if !pinning {
            if let Some(committed) = Committed::read(request.repo, request.commit)? {
                if committed.release != in_use {
                    return Err(BuildError::OtherEnclaveOs { pins: Box::new((committed.release, in_use)) });
                }
                file.fixed = committed.digests(&file.name, &file.text, &file.parsed)?;
            }
            if request.strict {
                file.check_pinned(&file.fixed)?;
            }
        }
        if request.output.to_str().is_none() {
            return Err(BuildError::FolderName(request.output.to_owned()));
        }
        let engine = engine::find()?;
        let stage = Stage::open(request.output)?;
        Ok(Self { request, spec, file, in_use, pinning, stage, engine, timings: Vec::new() })
    }

    fn source(&mut self) -> Result<(), BuildError> {
        let started = self.start(Step::Source);
        let files = self.request.repo.export(self.request.commit, &self.context())?;
        let short = self.request.commit.short();
        let noun = if files == 1 { "file" } else { "files" };
        self.done(Step::Source, started, format!("commit {short} (clean export, {files} {noun})"));
        Ok(())
    }

    fn container(&mut self) -> Result<Container, BuildError> {
        let started = self.start(Step::Container);
        let mut log = Log::new(self.stage.log()?);
        log.line(&format!(
            "{} {} · {} of commit {}",
            self.engine.name(),
            self.engine.version(),
            self.file.name,
            self.request.commit
        ));
        let mut sink = |line: &str| {
            log.line(line);
            (self.request.progress)(Progress::EngineLine(line));
        };
        let (work, context) = (self.stage.work(), self.context());
        let to_build = BuildRequest {
            context: &context,
            containerfile: &self.file.for_engine(&self.stage)?,
            no_cache: self.request.no_cache || self.spec.build.no_cache,
            scratch: &work,
        };
        let image = self.engine.build(&to_build, &mut sink).map_err(|mut error| {
            // The lines are those of the user's own file.
            if let EngineError::TooOld { file, .. } = &mut error {
                file.clone_from(&self.file.name);
            }
            error
        })?;
        let layout = work.join("oci");
        self.engine.export_oci(&image, &layout, &mut sink)?;
        let image = caution_rootfs::oci::open(&layout, &Limits::default())?;
        let digests = self.pins()?;
        let stages = self.file.parsed.stages;
        let noun = if stages == 1 { "stage" } else { "stages" };
        let detail = format!("{} · {} · {stages} {noun}", self.engine.name(), excerpt(&self.file.name, 60));
        self.done(Step::Container, started, detail);
        Ok(Container { image, digests })
    }

    /// The digest each base image resolved to, and a warning for each that is not pinned.
    fn pins(&self) -> Result<Vec<Option<Sha256Digest>>, EngineError> {
        let mut digests = Vec::new();
        for (image, fixed) in self.file.parsed.images.iter().zip(&self.file.fixed) {
            let digest = match (&image.reference, image.digest(), fixed) {
                (Some(name), None, None) => self.engine.resolved_digest(name)?,
                _ => *fixed,
            };
            let local = image.reference.as_deref().is_some_and(|name| name.starts_with(LOCAL));
            if image.digest().is_none() && fixed.is_none() && (local || !self.pinning) {
                (self.request.progress)(unpinned(&self.file.name, image, pin::replacement(image, digest)));
            }
            digests.push(digest);
        }
        Ok(digests)
    }

    fn containerfile_eif(&self, digests: &[Option<Sha256Digest>]) -> String {
        let Chosen { name, text, parsed, .. } = &self.file;
        pin::pinned(text, parsed, digests, name, &self.in_use)
    }

    fn filesystem(&mut self, image: &Image) -> Result<Filesystem, BuildError> {
        let started = self.start(Step::Filesystem);
        let tree = self.merge(image)?;
        let config = &image.config;
        let user = resolve_user(&tree, &config.user)?;
        let plan = boot_plan(
            &self.spec,
            &ImageProcess {
                entrypoint: config.entrypoint.clone(),
                cmd: config.cmd.clone(),
                env: config.env.clone(),
                working_dir: config.working_dir.clone(),
                uid: user.uid,
                gid: user.gid,
                groups: user.groups,
            },
        )?;
        let dropped_xattrs: Vec<String> = tree.dropped_xattrs().iter().map(xattr).collect();
        if let Some(warning) = left_out(&dropped_xattrs) {
            (self.request.progress)(warning);
        }
        let detail = format!("{} entries, {}", tree.len(), human_size(tree.total_size()));
        self.done(Step::Filesystem, started, detail);
        Ok(Filesystem { tree, plan })
    }

    fn merge(&self, image: &Image) -> Result<Tree, BuildError> {
        let work = self.stage.work();
        merge(image, &Limits::default(), &work).map_err(|error| match error {
            // The temporary file lies in the stage, whose errors name a full disk.
            RootfsError::Scratch { source, .. } => StageError::io(&work)(source).into(),
            other => other.into(),
        })
    }

    fn image(mut self, container: &Container, filesystem: &Filesystem) -> Result<Built, BuildError> {
        let started = self.start(Step::Image);
        let Filesystem { tree, plan } = filesystem;
        let written = pack(&self.stage, self.request, tree, plan)?;
        let source =
            SourceIdentity { commit: self.request.commit.to_string(), branch: self.request.branch.clone() };
        let manifest = manifest(&self.spec, &source, plan, &self.request.release.reference());
        self.stage.write("boot.json", &plan.to_bytes())?;
        self.stage.write("manifest.json", &manifest.to_bytes())?;
        let pinned = self.containerfile_eif(&container.digests);
        self.stage.write(pin::FILE_NAME, pinned.as_bytes())?;
        let detail = format!("{} · {}", self.shown_image(), human_size(written.size));
        let eif = self.stage.finish()?;
        let elapsed = started.elapsed();
        (self.request.progress)(Progress::Step { step: Step::Image, detail, elapsed });
        self.timings.push((Step::Image, elapsed));
        Ok(Built {
            eif,
            size: written.size,
            sha256: written.sha256,
            measurements: written.measurements,
            pcr8: written.pcr8,
            boot_plan: plan.clone(),
            manifest,
            commit: self.request.commit.clone(),
            timings: self.timings,
        })
    }

    fn context(&self) -> PathBuf {
        self.stage.work().join("source")
    }

    /// The image's path as a person in the work tree would type it.
    fn shown_image(&self) -> String {
        let path = self.request.output.join("output/enclave.eif");
        match path.strip_prefix(self.request.repo.root()) {
            Ok(inside) => inside.display().to_string(),
            // A rebuild into the cache: the folder means nothing to anyone.
            Err(_) => "enclave.eif".to_owned(),
        }
    }

    fn start(&self, step: Step) -> Instant {
        (self.request.progress)(Progress::Started(step));
        Instant::now()
    }

    fn done(&mut self, step: Step, started: Instant, detail: String) {
        let elapsed = started.elapsed();
        (self.request.progress)(Progress::Step { step, detail, elapsed });
        self.timings.push((step, elapsed));
    }
}

fn unpinned(file: &str, image: &ImageUse, replacement: Option<String>) -> Progress<'static> {
    let (line, name) = (image.line, image.reference.as_deref().unwrap_or(&image.written));
    let name = excerpt(name, 200);
    if name.starts_with(LOCAL) {
        return Progress::Warning {
            message: format!(
                "{file}:{line}: `{name}` is an image of this machine; whoever rebuilds this needs the same one"
            ),
            fix: None,
        };
    }
    Progress::Warning {
        message: format!("{file}:{line}: `{name}` is not pinned; the next build may differ"),
        fix: replacement.map(|replacement| format!("caution apps pin, or write {replacement}")),
    }
}

fn left_out(xattrs: &[String]) -> Option<Progress<'static>> {
    let message = match xattrs {
        [] => return None,
        [one] => format!("an extended attribute is left out, since an initramfs cannot hold it: {one}"),
        [first, ..] => format!(
            "{} extended attributes are left out, since an initramfs cannot hold them: {first}, …",
            xattrs.len()
        ),
    };
    Some(Progress::Warning { message, fix: None })
}

fn xattr(dropped: &caution_rootfs::DroppedXattr) -> String {
    let shown = |bytes: &[u8]| excerpt(&String::from_utf8_lossy(bytes), 200);
    format!("{}: {}", shown(&dropped.path), shown(&dropped.name))
}

/// Bytes in the unit a person reads: `812 B`, `3.1 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn human_size(bytes: u64) -> String {
    let bytes_f = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes_f / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes_f / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes_f / 1_073_741_824.0),
    }
}

/// How names of images begin that no registry has.
const LOCAL: &str = "localhost/";

#[cfg(test)]
mod tests;
