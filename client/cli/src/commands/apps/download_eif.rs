//! `caution apps download-eif`: the image that an app was deployed with, checked.

mod part;

use crate::Context;
use crate::commands::apps::pick::pick;
use crate::deployed::{Claim, DeployedImage, LocalImage, ReleaseImage};
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use crate::terminal::Terminal;
use crate::verify::confirm::attests;
use crate::verify::verdict::Root;
use caution_build::human_size;
use caution_eif::{EifError, Image, Limits};
use caution_measure::{ImagePcrs, Measurements};
use part::{Beginning, Part};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `caution apps download-eif`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id of an enclave on this machine; when absent the app that this checkout is linked to, where a platform
    /// knows it, else the enclave of this checkout.
    app: Option<String>,

    /// The image of this release of an app of the platform, which APP then names, whether it runs or not.
    #[arg(long, value_name = "NUMBER")]
    release: Option<i64>,

    /// The file to write; `<id>.eif` when absent. While it is incomplete it is called PATH.part.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Replace the file if it exists.
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let image = find(context, args)?;
    let image = image.as_ref();
    let target = args.output.clone().unwrap_or_else(|| format!("{}.eif", image.claim().id).into());
    check_target(&target, args.force)?;
    let terminal = context.terminal;
    let (mut part, beginning) = Part::open(&target, image.claim())?;
    if beginning == Beginning::Anew {
        let what = part.path().display();
        terminal.note(&format!("{what} held something else than the beginning of this image; begun anew"));
    }
    fetch(terminal, &mut part, image, beginning)?;
    let started = Instant::now();
    terminal.begin("check");
    let pcrs = check(&mut part, image.claim(), beginning)?;
    let root = compare(context, &part, image.claim(), &pcrs)?;
    terminal.step("check", "SHA-256 and PCR0–2", started.elapsed());
    if let Err(cause) = &root {
        let name = &image.claim().name;
        terminal.warning(&format!("not compared with what {name} attests: {}", cause.summary()), None);
    }
    part.finish(args.force)?;
    let downloaded = Downloaded { claim: image.claim(), target, beginning, pcrs, root };
    if terminal.json {
        terminal.json_result(&downloaded.to_json());
    } else {
        terminal.result(&downloaded.to_text());
    }
    Ok(())
}

/// The image that is meant, and whoever has it.
fn find(context: &Context, args: &Args) -> Result<Box<dyn DeployedImage>, CliError> {
    let app = args.app.as_deref();
    if args.release.is_some() {
        let platform = Platform::required(context)?;
        let app = link::pick(&platform, app)?;
        return Ok(Box::new(ReleaseImage::open(platform, &app, args.release)?));
    }
    if app.is_none()
        && let Some((platform, app)) = link::of_this_checkout(context)
    {
        return Ok(Box::new(ReleaseImage::open(platform, &app, None)?));
    }
    let dirs = context.config.host_dirs();
    Ok(Box::new(LocalImage::open(&dirs, pick(&dirs, app)?)?))
}

/// Refuses a name that cannot be given at the end, before anything is done.
fn check_target(target: &Path, force: bool) -> Result<(), CliError> {
    match std::fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => {
            Err(CliError::new(Exit::Usage, format!("{} is a folder.", target.display()))
                .hint(format!("-o {}", target.join("app.eif").display())))
        }
        Ok(_) if !force => Err(part::exists(target)),
        _ if target.file_name().is_none() || target == Path::new("-") => {
            Err(CliError::new(Exit::Usage, format!("`{}` does not name a file.", target.display()))
                .hint("-o app.eif"))
        }
        _ => Ok(()),
    }
}

fn fetch(
    terminal: Terminal,
    part: &mut Part,
    image: &dyn DeployedImage,
    beginning: Beginning,
) -> Result<(), CliError> {
    let (size, started) = (image.claim().size, Instant::now());
    let mut shown = None;
    part.fetch(image, &mut |have| {
        let percent = have.saturating_mul(100) / size.max(1);
        if shown.replace(percent) != Some(percent) {
            terminal.progress("download", &format!("{percent} % of {}", human_size(size)));
        }
    })?;
    let already = match beginning {
        Beginning::Resumed(had) => format!(", {} of them before", human_size(had)),
        Beginning::New | Beginning::Anew => String::new(),
    };
    terminal.step("download", &format!("{}{already}", human_size(size)), started.elapsed());
    Ok(())
}

/// The registers of the download, if it is the image that it is said to be. What it is instead stays under its
/// temporary name, for who wants to look at it, and nobody goes on with it.
fn check(part: &mut Part, claim: &Claim, beginning: Beginning) -> Result<ImagePcrs, CliError> {
    let path = part.path().to_owned();
    let causes = match caution_eif::read(part.rewound()?, &Limits::default()) {
        Err(EifError::Io { source, .. }) => {
            return Err(CliError::io("The download cannot be read", &path, &source));
        }
        Err(cause) => vec![cause.to_string()],
        Ok(image) => match differing(claim, &image) {
            none if none.is_empty() => {
                // A section that is no signature names no signer; Nitro does not start such an image.
                let pcr8 = image.pcr8_unverified().ok().flatten();
                return Ok(ImagePcrs { measurements: image.measurements, pcr8 });
            }
            differing => differing,
        },
    };
    part.disown()?;
    let message = format!("This is not the image that {} ({}) is said to run.", claim.name, claim.id);
    let hint = match beginning {
        Beginning::Resumed(had) => {
            format!("download it again, from its beginning: {had} bytes were of an earlier download")
        }
        Beginning::New | Beginning::Anew => shows(&path),
    };
    Err(CliError { exit: Exit::MeasurementMismatch, message, causes, hint: Some(hint) })
}

/// Whose root vouches that this image runs, or why that cannot be asked; an error if another one runs.
fn compare(
    context: &Context,
    part: &Part,
    claim: &Claim,
    pcrs: &ImagePcrs,
) -> Result<Result<Root, CliError>, CliError> {
    let Some(url) = &claim.attestation_url else {
        return Ok(Err(CliError::new(Exit::Unreachable, "This release does not run.")));
    };
    match attests(context, url, pcrs, jiff::Timestamp::now()) {
        Err(error) if matches!(error.exit, Exit::Unreachable | Exit::DebugMode) => Ok(Err(error)),
        Err(error) if error.exit == Exit::MeasurementMismatch => Err(error.hint(shows(part.path()))),
        asked => asked.map(Ok),
    }
}

fn shows(part: &Path) -> String {
    format!("caution apps describe {}      (shows what came)", part.display())
}

/// In what an image is not the one that it is said to be.
fn differing(claim: &Claim, image: &Image) -> Vec<String> {
    let mut lines = Vec::new();
    if image.sha256 != claim.sha256 {
        lines.push(format!("its SHA-256 is {}, and should be {}", image.sha256, claim.sha256));
    }
    for ((register, said), (_, found)) in claim.measurements.iter().zip(image.measurements.iter()) {
        if said != found {
            lines.push(format!(
                "its {register} is {}, and should be {}",
                found.abbreviated(),
                said.abbreviated()
            ));
        }
    }
    lines
}

/// A download that is done.
struct Downloaded<'a> {
    claim: &'a Claim,
    target: PathBuf,
    beginning: Beginning,
    pcrs: ImagePcrs,
    /// Whose root vouches that it runs, or why that was not compared.
    root: Result<Root, CliError>,
}

impl Downloaded<'_> {
    fn to_text(&self) -> String {
        let Measurements { pcr0, pcr1, pcr2 } = self.pcrs.measurements;
        let signer = self.pcrs.pcr8.map_or_else(String::new, |pcr8| format!("  PCR8  {pcr8}\n"));
        let runs = match &self.root {
            Ok(Root::AwsNitro) => "it is what the app attests now, on AWS Nitro hardware",
            Ok(Root::Development) => "it is what the app attests now, in a local enclave",
            Ok(Root::Other) => "it is what the app attests now, under the root you named",
            Err(_) => "it is what the app is said to run, NOT COMPARED with what it attests",
        };
        format!(
            "\n  {}\n  {} · sha256 {}\n\n  PCR0  {pcr0}\n  PCR1  {pcr1}\n  PCR2  {pcr2}\n{signer}\n  {runs}\n",
            self.target.display(),
            human_size(self.claim.size),
            self.claim.sha256,
        )
    }

    /// The `--json` form, documented in `docs/src/commands.md`.
    fn to_json(&self) -> serde_json::Value {
        let Claim { id, name, size, sha256, .. } = self.claim;
        let resumed_at = match self.beginning {
            Beginning::Resumed(had) => had,
            Beginning::New | Beginning::Anew => 0,
        };
        serde_json::json!({
            "file": self.target.to_string_lossy(),
            "id": id,
            "name": name,
            "size": size,
            "sha256": sha256,
            "pcr0": self.pcrs.measurements.pcr0,
            "pcr1": self.pcrs.measurements.pcr1,
            "pcr2": self.pcrs.measurements.pcr2,
            "pcr8": self.pcrs.pcr8,
            "resumed_at": resumed_at,
            "attested_root": self.root.as_ref().ok(),
            "not_attested_because": self.root.as_ref().err().map(CliError::summary),
        })
    }
}
