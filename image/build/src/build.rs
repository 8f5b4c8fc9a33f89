//! From a commit to `eif-stage/`.

use crate::config::load_config;
use crate::error::BuildError;
use crate::interpreter;
use crate::log::Log;
use crate::origin::{Container, Origin};
use crate::packing::pack;
use crate::pin::{self, Committed, Moved, Pin};
use crate::request::{Built, Progress, Request, Step};
use crate::reuse;
use crate::size::human_size;
use crate::stage::{LAYERS, Stage, StageError};
use caution_abi::boot_plan::BootPlan;
use caution_appspec::{AppSpec, EndToEnd, excerpt};
use caution_assemble::{Application, Arguments, Root};
use caution_enclaveos::features;
use caution_measure::Sha256Digest;
use caution_plan::{ImageProcess, SourceIdentity, boot_plan, manifest};
use caution_rootfs::cpio::Entry;
use caution_rootfs::oci::Image;
use caution_rootfs::{LayerRecord, RootfsError, Store, Tree, merge, resolve_user};
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
    if let Some(committed) = &build.committed {
        build.origin.check_assembly(committed, &container, build.arguments(&filesystem).as_ref())?;
    }
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
    build.origin.check_pinned(&container)?;
    let filesystem = build.filesystem(&container.image)?;
    let text = build.containerfile_eif(&container, &filesystem);
    // One that cannot be read is what a new one is for.
    let before = Committed::read(request.repo, request.commit).ok().flatten();
    let moved = Moved::between(before.as_ref(), &text, build.in_use);
    Ok(Pinned { text, moved })
}

struct Build<'a> {
    request: &'a Request<'a>,
    spec: AppSpec,
    origin: Origin,
    committed: Option<Committed>,
    in_use: Pin,
    stage: Stage,
    store: Option<Store>,
    timings: Vec<(Step, Duration)>,
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
        let committed = if pinning { None } else { Committed::read(request.repo, request.commit)? };
        if let Some(committed) = committed.as_ref().filter(|committed| committed.release != in_use) {
            return Err(BuildError::OtherEnclaveOs { pins: Box::new((committed.release, in_use)) });
        }
        let is_encrypted =
            spec.network.http.as_ref().is_some_and(|http| matches!(http.e2e, Some(EndToEnd::Steve(_))));
        if is_encrypted && !request.release.has(features::E2E) {
            return Err(BuildError::WithoutEncryption { release: in_use.id, is_pinned: committed.is_some() });
        }
        let origin = Origin::find(request, &spec, committed.as_ref(), pinning)?;
        let stage = Stage::open(request.output)?;
        let store = reuse::open(request);
        Ok(Self { request, spec, origin, committed, in_use, stage, store, timings: Vec::new() })
    }

    fn source(&mut self) -> Result<(), BuildError> {
        let started = self.start(Step::Source);
        let detail = self.origin.export(self.request, &self.stage.work())?;
        self.done(Step::Source, started, detail);
        if !self.origin.is_of_commit() {
            (self.request.progress)(Progress::Warning {
                message:
                    "this image is of no commit: `caution verify` cannot compare the enclave with its source"
                        .to_owned(),
                fix: Some(
                    "hand out eif-stage/output/enclave.pcrs, for `caution verify --pcrs FILE`".to_owned(),
                ),
            });
        }
        Ok(())
    }

    fn container(&mut self) -> Result<Container, BuildError> {
        let started = self.start(Step::Container);
        let mut log = Log::new(self.stage.log()?);
        let mut sink = |line: &str| {
            log.line(line);
            (self.request.progress)(Progress::EngineLine(line));
        };
        let container = self.origin.container(self.request, &self.stage.work(), &mut sink)?;
        self.done(Step::Container, started, container.detail.clone());
        Ok(container)
    }

    fn filesystem(&mut self, image: &Image) -> Result<Filesystem, BuildError> {
        let started = self.start(Step::Filesystem);
        let mut tree = self.merge(image)?;
        let config = &image.config;
        let user = resolve_user(&tree, &config.user)?;
        if let Some(binary) = &self.spec.build.binary {
            tree = alone(tree, binary)?;
        }
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
        let layers = self.store.as_ref().and_then(|store| reuse::layers(&store.reuse()));
        let size = human_size(tree.total_size());
        let detail = format!("{} entries, {size}{}", tree.len(), layers.unwrap_or_default());
        self.done(Step::Filesystem, started, detail);
        Ok(Filesystem { tree, plan })
    }

    /// What an assembler must be told; `None` where it cannot do the work: it packs whole images.
    fn arguments(&self, filesystem: &Filesystem) -> Option<Arguments> {
        let Entry { mode, uid, gid, .. } = filesystem.tree.root();
        let whole = self.spec.build.binary.is_none();
        whole.then(|| Arguments { root: Root { mode, uid, gid }, plan: filesystem.plan.clone() })
    }

    fn containerfile_eif(&self, container: &Container, filesystem: &Filesystem) -> String {
        // A committed file comes out as it is, whatever program assembles images on this machine.
        let assembler = match &self.committed {
            Some(committed) => committed.assembler,
            None => self.request.release.assembler().map(|assembler| assembler.digest),
        };
        let arguments = self.arguments(filesystem);
        self.origin.pinned(container, &self.in_use, assembler.as_ref().zip(arguments.as_ref()))
    }

    fn merge(&self, image: &Image) -> Result<Tree, BuildError> {
        let work = self.stage.work();
        merge(image, &self.request.limits, &work, self.store.as_ref()).map_err(|error| match error {
            // Temporary files lie in the stage, whose errors name a full disk.
            RootfsError::Scratch { source, .. } => StageError::io(&work)(source).into(),
            other => other.into(),
        })
    }

    fn image(mut self, container: &Container, filesystem: &Filesystem) -> Result<Built, BuildError> {
        let started = self.start(Step::Image);
        let Filesystem { tree, plan } = filesystem;
        let application = Application { tree, plan, store: self.store.as_ref() };
        let written = pack(&self.stage, self.request, application)?;
        let source = self.origin.is_of_commit().then(|| SourceIdentity {
            commit: self.request.commit.to_string(),
            branch: self.request.branch.clone(),
        });
        let manifest = manifest(&self.spec, source.as_ref(), plan, &self.request.release.reference());
        self.stage.write("boot.json", &plan.to_bytes())?;
        self.stage.write("manifest.json", &manifest.to_bytes())?;
        let pinned = self.containerfile_eif(container, filesystem);
        self.stage.write(pin::FILE_NAME, pinned.as_bytes())?;
        self.stage.write(LAYERS, &self.layer_record(container, tree, written.sha256)?)?;
        let reuse = self.store.as_ref().map(|store| reuse::close(self.request, store)).unwrap_or_default();
        let ready = reuse::share(&reuse).unwrap_or_default();
        let detail = format!("{} · {}{ready}", self.shown_image(), human_size(written.size));
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
            image: container.image.digest,
            commit: self.request.commit.clone(),
            reuse,
            networked_steps: self.origin.networked_steps(),
            variations: container.variations.clone(),
            timings: self.timings,
        })
    }

    /// What explains differences later: an enclave image has no layers any more.
    fn layer_record(
        &self,
        container: &Container,
        tree: &Tree,
        image: Sha256Digest,
    ) -> Result<Vec<u8>, StageError> {
        let steps = self.origin.layer_steps(&container.image);
        let record = LayerRecord::to_file(image, &steps, tree);
        record.map_err(StageError::io(&self.stage.partial(LAYERS)))
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

/// The file that `binary` names, and the CA certificates where the image has any.
fn alone(tree: Tree, binary: &str) -> Result<Tree, BuildError> {
    if !tree.is_file(binary) {
        return Err(BuildError::NoBinary(binary.to_owned()));
    }
    let start = tree.read_start(binary, interpreter::LOOKED_AT)?.unwrap_or_default();
    if let Some(interpreter) = interpreter::of(&start) {
        return Err(BuildError::NeedsInterpreter {
            binary: binary.to_owned(),
            interpreter: excerpt(&interpreter, 200),
        });
    }
    let certificates = tree.is_file(CA_CERTIFICATES).then_some(CA_CERTIFICATES);
    let files: Vec<&str> = std::iter::once(binary).chain(certificates).collect();
    Ok(tree.only(&files)?)
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

/// Where Debian, Alpine and StageX keep all of them in one file, and TLS libraries look first.
const CA_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[cfg(test)]
mod tests;
