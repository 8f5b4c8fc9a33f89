//! The flow of `caution verify`, in an order that never acts on anything unauthenticated:
//! evidence, then claims against the reviewed source, then the platform, then the rebuild.

mod compare;
pub(crate) mod confirm;
mod evidence;
mod explain;
pub(crate) mod fetch;
mod kept;
pub(crate) mod origin;
mod platform;
pub(crate) mod rebuild;
mod source;
pub(crate) mod target;
pub(crate) mod verdict;
pub(crate) mod watch;

use crate::Context;
use crate::error::{CliError, Exit};
use caution_build::{EngineName, Limits};
use caution_measure::{ImagePcrs, Pcr, PcrIndex};
use evidence::{Authenticated, Question};
use fetch::Fetched;
pub(crate) use kept::check_new;
use kept::{Bundle, RebuiltDigests};
use rebuild::Reproduction;
use std::path::{Path, PathBuf};
use verdict::{CheckName, Mode, Verdict};

/// What to verify against.
pub(crate) struct Request {
    /// `--attestation-url`.
    pub(crate) url: Option<String>,
    /// `--trust-root`.
    pub(crate) trust: Option<target::TrustRoot>,
    /// Where the source comes from, and which is expected.
    pub(crate) source: origin::Wish,
    /// `--pcrs`: images that may run, instead of a rebuild; empty when not given.
    pub(crate) pcrs: Vec<ImagePcrs>,
    /// `--pcr`: registers that the enclave must show besides.
    pub(crate) registers: Vec<(PcrIndex, Pcr)>,
    /// `--evidence`: a bundle to check instead of asking an enclave.
    pub(crate) evidence: Option<PathBuf>,
    /// `--at`: the time at which a bundle's certificates must have been valid.
    pub(crate) at: Option<jiff::Timestamp>,
    /// `--allow-enclaveos`: PCR1 of releases that the caller believes in.
    pub(crate) allowed_releases: Vec<Pcr>,
    /// `--engine`.
    pub(crate) engine: Option<EngineName>,
    /// `--no-cache`.
    pub(crate) no_cache: bool,
    /// `--no-network`.
    pub(crate) no_network: bool,
    /// `--limit`: how much the rebuilt image may hold.
    pub(crate) limits: Limits,
    /// The clock.
    pub(crate) now: jiff::Timestamp,
}

/// A conclusion, and what it takes to keep it.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    asked: Asked,
    /// Whether a trusted root vouches for the evidence.
    is_authentic: bool,
    /// The checkout that was reviewed and what was rebuilt from it, as far as it came to that.
    rebuilt: Option<Rebuilt>,
}

struct Rebuilt {
    /// Where it is kept; none where no checkout of this source is around.
    checkout: Option<PathBuf>,
    digests: RebuiltDigests,
}

impl Outcome {
    /// Keeps measurements and evidence in the reviewed checkout, if a running enclave was verified from source.
    pub(crate) fn keep(&mut self, context: &Context) {
        let verdict = &mut self.verdict;
        if let Some(Rebuilt { checkout, digests }) = &self.rebuilt
            && verdict.verified
            && verdict.mode == Mode::Live
        {
            match checkout {
                Some(checkout) => kept::save(context, checkout, &self.asked, *digests, verdict),
                None => context.terminal.note("nothing is kept: no checkout around here has this commit"),
            }
        }
    }

    /// Keeps authentic evidence in a new file of the caller's choice.
    pub(crate) fn keep_as(&mut self, path: &Path) -> Result<(), CliError> {
        if !self.is_authentic {
            return Ok(());
        }
        let digests = self.rebuilt.as_ref().map(|rebuilt| rebuilt.digests);
        kept::save_as(path, &self.asked, digests, &mut self.verdict)
    }
}

/// Verifies an enclave, or evidence that was kept. `Err` means that no conclusion about it was possible.
pub(crate) fn verify(context: &Context, request: &Request) -> Result<Outcome, CliError> {
    let asked = Asked::new(context, request)?;
    let (mode, question) = match asked.recorded {
        Some(_) => (Mode::Archived, Question::Archived(request.at)),
        None => (Mode::Live, Question::Live(request.now)),
    };
    let mut verdict = Verdict::new(mode, request.now);
    verdict.recorded = asked.recorded.as_ref().map(Bundle::summary);
    let (answer, roots) = (&asked.answer, &asked.target.roots);
    let authenticated = evidence::authenticate(answer, roots, question, &request.registers, &mut verdict);
    let mut rebuilt = None;
    if let Some(authenticated) = &authenticated {
        verdict.attested = Some(authenticated.pcrs.measurements);
        if request.pcrs.is_empty() {
            rebuilt = against_source(context, request, &asked, authenticated, &mut verdict)?;
        } else {
            against_pcrs(&asked.subject(), &request.pcrs, authenticated, &mut verdict);
        }
    }
    Ok(Outcome { verdict, asked, is_authentic: authenticated.is_some(), rebuilt })
}

/// What is to be checked: the answer of an enclave, or one that was kept.
struct Asked {
    target: target::Target,
    answer: Fetched,
    recorded: Option<Bundle>,
}

impl Asked {
    fn new(context: &Context, request: &Request) -> Result<Self, CliError> {
        let Some(path) = &request.evidence else {
            let target = target::resolve(context, request.url.as_deref(), request.trust.as_ref())?;
            let answer = fetch::fetch(&target.url)?;
            return Ok(Self { target, answer, recorded: None });
        };
        let bundle = Bundle::read(path)?;
        let roots = target::named_roots(context, request.trust.as_ref())?;
        let target =
            target::Target { url: bundle.url.clone(), name: bundle.name.clone(), roots, record: None };
        Ok(Self { target, answer: bundle.answer()?, recorded: Some(bundle) })
    }

    /// What the verdict is about, to begin a sentence with. Anybody can have written a bundle's name, as words of ours
    /// too, so it is said that the bundle calls it that.
    fn subject(&self) -> String {
        let name = &self.target.name;
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        match &self.recorded {
            None => name.clone(),
            Some(_) if (1..=255).contains(&name.len()) && name.chars().all(is_name_char) => {
                format!("{name} (so the bundle calls it)")
            }
            Some(_) => "The enclave of the bundle".to_owned(),
        }
    }
}

/// Compares with given images; says that the source was not looked at.
fn against_pcrs(name: &str, images: &[ImagePcrs], enclave: &Authenticated, verdict: &mut Verdict) {
    verdict.not_checked(CheckName::Source, "not asked for: compared with the given PCR values instead");
    verdict.not_checked(CheckName::Platform, "not by itself: PCR1 is one of the given values");
    let how = match images {
        [_] => "the given PCR values".to_owned(),
        several => format!("one of the {} given images", several.len()),
    };
    if let Some(closest) = compare::closest(images, &enclave.pcrs) {
        verdict.expected = Some(closest.measurements);
        compare::build(closest, &enclave.pcrs, &how, verdict);
    }
    compare::unknown_channel(verdict);
    let (has, place) = (if verdict.mode == Mode::Live { "has" } else { "had" }, compare::place(verdict.root));
    let headline = if verdict.failure.is_none() {
        format!("{name} {has} the given measurements, {place}. Which source makes them was not checked.")
    } else {
        format!("{name} does not have the given measurements.")
    };
    verdict.conclude(headline);
}

/// Compares with what the reviewed source builds. A check that fails ends the run.
fn against_source(
    context: &Context,
    request: &Request,
    asked: &Asked,
    enclave: &Authenticated,
    verdict: &mut Verdict,
) -> Result<Option<Rebuilt>, CliError> {
    let name = &asked.subject();
    let Some(manifest) = enclave.bound_manifest(verdict) else { return Ok(None) };
    let reviewed = match source::review(context, &request.source, manifest.as_ref(), verdict) {
        Ok(Some(reviewed)) => reviewed,
        Ok(None) => return Ok(None),
        // Of evidence that was kept something is known even where its source is not at hand.
        Err(cause) if verdict.mode == Mode::Archived => {
            cannot_compare(cause, CheckName::Source, verdict);
            verdict
                .conclude(format!("{name} gave authentic evidence; it was not compared with source here."));
            return Ok(None);
        }
        Err(cause) => return Err(cause),
    };
    let what = &reviewed.source.what;
    let allowed = &request.allowed_releases;
    let platform = match platform::platform(context, &reviewed, manifest.as_ref(), allowed, verdict) {
        Ok(Some(platform)) => platform,
        Ok(None) => {
            verdict
                .not_checked(CheckName::Build, "not rebuilt: the platform below it is already another one");
            verdict.conclude(format!("{name} does not run on the expected EnclaveOS release."));
            return Ok(None);
        }
        Err(cause) => {
            cannot_compare(cause, CheckName::Platform, verdict);
            verdict.conclude(format!(
                "{name}: which EnclaveOS release it runs on cannot be told on this machine."
            ));
            return Ok(None);
        }
    };
    let attested = &enclave.pcrs.measurements;
    let rebuilt = platform.release().and_then(|release| {
        let origin::Found { repo, commit, .. } = &reviewed.source;
        let Request { engine, no_cache, no_network, limits, .. } = *request;
        let reproduction =
            Reproduction { repo, commit, release: &release, engine, no_cache, no_network, limits };
        reproduction.confirm(context, what, attested)
    });
    let rebuilt = match rebuilt {
        Ok(rebuilt) => rebuilt,
        Err(cause) => {
            cannot_compare(cause, CheckName::Build, verdict);
            verdict.conclude(format!("The source, {what}, cannot be rebuilt on this machine."));
            return Ok(None);
        }
    };
    verdict.expected = Some(rebuilt.measurements);
    let digests = RebuiltDigests { boot_plan: rebuilt.boot_plan.digest(), eif: rebuilt.sha256 };
    let kept = Some(Rebuilt { checkout: reviewed.source.checkout.clone(), digests });
    if !reviewed.check_claims(Some(&rebuilt.boot_plan), manifest.as_ref(), verdict) {
        return Ok(kept);
    }
    let expected = ImagePcrs { measurements: rebuilt.measurements, pcr8: None };
    if compare::build(&expected, &enclave.pcrs, &rebuilt.how, verdict) {
        verdict.logs = Some(rebuilt.boot_plan.logs);
        verdict.e2e.clone_from(&rebuilt.boot_plan.e2e);
        verdict.can_reach = Some(rebuilt.boot_plan.egress.clone());
        compare::channel(&rebuilt.boot_plan, verdict);
    } else {
        explain::explain(context, &asked.target, &request.limits, &rebuilt.eif, verdict);
    }
    let (runs, is) = if verdict.mode == Mode::Live {
        ("runs", "running application is")
    } else {
        ("ran", "attested application was")
    };
    let headline = if verdict.failure.is_none() {
        format!("{name} {runs} exactly {what} {}.", compare::place(verdict.root))
    } else {
        format!("The {is} not what {what} builds.")
    };
    verdict.conclude(headline);
    if verdict.verified && verdict.mode == Mode::Live {
        kept::warn_of_rollback(asked, &reviewed, request.source.commit.is_some(), verdict);
    }
    Ok(kept)
}

/// Notes that a comparison was due and this machine could not make it.
fn cannot_compare(cause: CliError, check: CheckName, verdict: &mut Verdict) {
    let mut lines = cause.causes;
    lines.extend(cause.hint.map(|hint| format!("fix: {hint}")));
    verdict.failed(Exit::CannotReproduce, check, cause.message, &lines);
}

/// The chain of causes below an error, as lines.
fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    CliError::from_error(Exit::Other, error).causes
}
