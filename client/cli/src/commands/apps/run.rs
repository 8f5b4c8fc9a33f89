//! `caution apps run`: boot an enclave image on this machine.

use crate::Context;
use crate::commands::apps::events::show;
use crate::commands::apps::way::{self, Way};
use crate::commands::apps::{build, default_name};
use crate::error::{CliError, Exit};
use crate::files::read_limited;
use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::MAX_BYTES as MANIFEST_MAX;
use caution_abi::ports::AppPort;
use caution_build::git::Repository;
use caution_host::agent::{AgentClient, AppSpec};
use caution_host::ingress::IngressSpec;
use caution_host::{Accelerator, DriverKind, Ending, HostError, HostEvent, PublishedPort, Record, RunConfig};
use caution_measure::Measurements;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Boot this image instead of building the current commit.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["commit", "image", "engine", "no_cache", "no_network", "enclaveos", "signing_key", "signing_cert"])]
    eif: Option<PathBuf>,

    /// The manifest to hand to the enclave; `../manifest.json` beside the image when absent.
    #[arg(long, value_name = "FILE", requires = "eif")]
    manifest: Option<PathBuf>,

    /// Return when the app is ready and leave it running; the host agent starts it again when it fails.
    #[arg(long, short)]
    detach: bool,

    /// Put this image in the place of the app's running one, while its clients go on; returns when that is done.
    #[arg(long, conflicts_with = "detach")]
    replace: bool,

    /// Publish enclave port PORT as HOST on 127.0.0.1; other declared ports keep their number.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_publish)]
    publish: Vec<PublishedPort>,

    /// Publish `/attestation` on this port of 127.0.0.1; 49502 or a free one when absent.
    #[arg(long, value_name = "PORT")]
    attestation_port: Option<u16>,

    /// What to call it; the checkout's folder name when absent.
    #[arg(long)]
    name: Option<String>,

    /// Debug mode: console and logs are open, the attested PCRs are zero, nothing can verify.
    #[arg(long)]
    debug: bool,

    /// Memory in MiB, instead of the configuration's.
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,

    /// Virtual CPUs, instead of the configuration's.
    #[arg(long)]
    cpus: Option<u32>,

    /// What runs it: auto, qemu or nitro; as `host.toml` says when absent. With --detach the agent's settings count.
    #[arg(long, value_name = "DRIVER", conflicts_with_all = ["detach", "replace"])]
    driver: Option<DriverKind>,

    #[command(flatten)]
    build: build::Args,
}

/// `HOST:PORT`, both 1 to 65535.
fn parse_publish(text: &str) -> Result<PublishedPort, String> {
    let number = |part: &str| part.parse::<u16>().ok().filter(|p| *p != 0);
    text.split_once(':')
        .and_then(|(host, enclave)| Some((number(host)?, number(enclave)?)))
        .map(|(host, enclave)| PublishedPort { enclave, host: Some(host) })
        .ok_or_else(|| "expected HOST:PORT, such as 18080:8080".into())
}

/// What is to boot, from a build or from files.
struct Image {
    eif: PathBuf,
    manifest: Option<Vec<u8>>,
    cpus: u32,
    memory_mib: u32,
    debug: bool,
    ingress: IngressSpec,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let repo = Repository::discover(Path::new("."));
    let (image, plan) = if let Some(eif) = &args.eif {
        let plan = caution_build::boot_plan_of(eif)?;
        (from_file(args, eif, &plan)?, plan)
    } else {
        let repo = repo.as_ref().map_err(|e| CliError::from_error(Exit::Other, e))?;
        let image = from_build(context, args, repo)?;
        let plan = caution_build::boot_plan_of(&image.eif)?;
        (image, plan)
    };
    let checkout = repo.ok().map(|repo| repo.root().to_path_buf());
    let config = RunConfig {
        name: name(args, checkout.as_deref(), &image.eif),
        eif: crate::config::absolute(&image.eif)?,
        manifest: image.manifest,
        checkout,
        ports: ports(&plan, &args.publish)?,
        http_port: way::http_port(&plan).map(AppPort::get),
        e2e: plan.e2e.is_some(),
        ingress: image.ingress,
        listen: Vec::new(),
        attestation_port: args.attestation_port,
        cpus: args.cpus.unwrap_or(image.cpus),
        memory_mib: args.memory.unwrap_or(image.memory_mib),
        debug: args.debug || image.debug,
    };
    if args.detach || args.replace {
        let app = AppSpec { config, restart: plan.restart.clone() };
        detached(context, args.replace, app, &plan)
    } else {
        foreground(context, &config, args.driver, &plan)
    }
}

fn from_build(context: &Context, args: &Args, repo: &Repository) -> Result<Image, CliError> {
    let (built, _) = build::build_image(context, &args.build, repo)?;
    let spec = caution_build::load_config(repo, &built.commit)?;
    Ok(Image {
        eif: built.eif,
        manifest: Some(built.manifest.to_bytes()),
        cpus: spec.resources.cpus,
        memory_mib: spec.resources.memory_mib,
        debug: spec.debug.enabled,
        ingress: IngressSpec::declared(&spec.network),
    })
}

fn from_file(args: &Args, eif: &Path, plan: &BootPlan) -> Result<Image, CliError> {
    let beside = eif.parent().map(|output| output.join("../manifest.json"));
    let manifest = match (&args.manifest, beside) {
        (Some(path), _) => Some(read_limited(path, MANIFEST_MAX)?),
        (None, Some(path)) if path.is_file() => Some(read_limited(&path, MANIFEST_MAX)?),
        (None, _) => None,
    };
    let defaults = caution_appspec::Resources::default();
    Ok(Image {
        eif: eif.to_path_buf(),
        manifest: manifest.map(|bytes| bytes.trim_ascii().to_vec()),
        cpus: defaults.cpus,
        memory_mib: defaults.memory_mib,
        debug: false,
        // An image says which port speaks HTTP, and nothing else of this.
        ingress: way::of_image(plan),
    })
}

/// Every port of the plan, published as asked or under its own number.
fn ports(plan: &BootPlan, publish: &[PublishedPort]) -> Result<Vec<PublishedPort>, CliError> {
    // The port behind encryption is none that leads out as it is, and is published like the others.
    let behind = plan.e2e.as_ref().map(|e2e| e2e.app_port);
    let declared = || plan.ports.iter().copied().chain(behind).map(AppPort::get);
    if let Some(unknown) = publish.iter().find(|p| declared().all(|port| port != p.enclave)) {
        let list: Vec<String> = declared().map(|port| port.to_string()).collect();
        return Err(CliError::new(
            Exit::Usage,
            format!("--publish names port {}, but the app declares {}.", unknown.enclave, list.join(", ")),
        )
        .hint("add it to `ports` in the configuration"));
    }
    let twice =
        publish.iter().enumerate().find(|(at, p)| publish[..*at].iter().any(|q| q.enclave == p.enclave));
    if let Some((_, port)) = twice {
        return Err(CliError::new(Exit::Usage, format!("--publish names port {} twice.", port.enclave))
            .hint("publish each port of the app once"));
    }
    Ok(declared()
        .map(|enclave| {
            let asked = publish.iter().find(|p| p.enclave == enclave);
            asked.copied().unwrap_or(PublishedPort { enclave, host: None })
        })
        .collect())
}

/// The flag, else the checkout's folder, else the image's file.
fn name(args: &Args, checkout: Option<&Path>, eif: &Path) -> String {
    let of = || checkout.and_then(Path::file_name).or_else(|| eif.file_stem()).unwrap_or_default();
    args.name.clone().unwrap_or_else(|| default_name(of()))
}

fn detached(context: &Context, replace: bool, app: AppSpec, plan: &BootPlan) -> Result<u8, CliError> {
    let terminal = context.terminal;
    terminal.begin("boot");
    let started = std::time::Instant::now();
    let agent = AgentClient::new(&context.config.host_dirs());
    let mut tell = |event| {
        // With --json the record alone is the result; it says the same.
        if matches!(event, HostEvent::Accelerator(_)) && !terminal.json {
            show(terminal, &event);
        }
    };
    let record = if replace {
        let expected = measure(&app.config.eif)?;
        agent.replace(app, expected, &mut tell).map_err(refused)?
    } else {
        agent.run(app, &mut tell)?
    };
    terminal.step("boot", &boot_detail(&record), started.elapsed());
    let way = Way::of(&agent, &record.name)?;
    if terminal.json {
        let mut json = serde_json::to_value(&record)
            .map_err(|e| CliError::new(Exit::Other, format!("The record has no JSON form: {e}")))?;
        json["boot_ms"] = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX).into();
        json["https"] = way.to_json();
        terminal.json_result(&json);
    } else {
        terminal.result(&addresses(&record));
        way.tell(terminal, plan);
        terminal.result(&format!(
            "\nverify it: caution verify      stop it: caution apps stop {}\n",
            record.name
        ));
    }
    Ok(0)
}

/// What the new image measures, before anybody else has it.
fn measure(eif: &Path) -> Result<Measurements, CliError> {
    let file = std::fs::File::open(eif).map_err(|e| CliError::io("The image cannot be read", eif, &e))?;
    let image = caution_eif::read(file, &caution_eif::Limits::default());
    image.map(|image| image.measurements).map_err(|e| CliError::from_error(Exit::Other, &e))
}

/// The running enclave goes on when the agent says no. An agent that vanished said nothing: the next one finishes what this
/// one began, or undoes it.
fn refused(error: HostError) -> CliError {
    let exit = match error {
        HostError::NotAsExpected(_) => Exit::MeasurementMismatch,
        _ => Exit::Other,
    };
    if let HostError::AgentVanished { .. } = error {
        return CliError::from(error).hint("caution apps ps      (shows which enclave serves)");
    }
    let mut error = CliError::from(error).with_exit(exit);
    error.causes.push("nothing was replaced: what ran before goes on".to_owned());
    error
}

fn boot_detail(record: &Record) -> String {
    let how = match &record.accelerator {
        Accelerator::Nitro => "AWS Nitro".to_owned(),
        Accelerator::Kvm => "QEMU with KVM".to_owned(),
        Accelerator::Tcg { .. } => "QEMU, software emulation".to_owned(),
        _ => "QEMU".to_owned(),
    };
    format!("{} · {how} · {}", record.name, if record.debug { "DEBUG MODE, cannot verify" } else { "ready" })
}

fn addresses(record: &Record) -> String {
    let mut text = String::from("\n");
    for (enclave, host) in &record.ports {
        let _ = writeln!(text, "  port {enclave:<6} 127.0.0.1:{host}");
    }
    let _ = writeln!(text, "  attestation {}", record.attestation_url);
    text
}

fn foreground(
    context: &Context,
    config: &RunConfig,
    driver: Option<DriverKind>,
    plan: &BootPlan,
) -> Result<u8, CliError> {
    let terminal = context.terminal;
    if let Some(words) = caution_plan::channel_in_words(plan).filter(|_| plan.e2e.is_some()) {
        terminal.note(&format!("  {words}"));
    }
    if let Some(domain) = config.ingress.http.as_ref().and_then(|http| http.domain.as_deref()) {
        terminal.note(&format!("  {domain} leads to this app when it runs with --detach"));
    }
    let mut tell = |event| show(terminal, &event);
    let ending = caution_host::run(&context.config.host_dirs(), config, driver, &mut tell)?;
    match &ending {
        Ending::Stopped => Ok(0),
        _ => Err(CliError::new(Exit::Other, ending.to_string())
            .hint("caution apps run --debug      (shows the console and what the app prints)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_published_once_and_only_if_the_app_has_it() {
        let plan = serde_json::json!({
            "version": 1,
            "app": { "argv": ["/a"], "env": {}, "cwd": "/", "uid": 0, "gid": 0, "groups": [] },
            "ports": [8080, 9090],
            "http_port": 8080,
            "readiness": { "kind": "started" },
            "restart": { "policy": "never", "max_restarts": 0, "backoff_ms": 1, "backoff_max_ms": 1 },
            "logs": false,
        });
        let mut plan: BootPlan = serde_json::from_value(plan).unwrap();
        let port = |enclave, host| PublishedPort { enclave, host: Some(host) };
        let published = ports(&plan, &[port(9090, 1090)]).unwrap();
        assert_eq!(published, [PublishedPort { enclave: 8080, host: None }, port(9090, 1090)]);
        for wrong in [&[port(1, 1)][..], &[port(8080, 1), port(8080, 2)]] {
            assert_eq!(ports(&plan, wrong).unwrap_err().exit, Exit::Usage);
        }
        let e2e = serde_json::json!({
            "suite": "x25519", "app_port": 8083, "app_protocol": "http", "origins": [],
            "plaintext_fallback": false, "steve_v2": false,
        });
        (plan.ports, plan.http_port) = (Vec::new(), None);
        plan.e2e = Some(serde_json::from_value(e2e).unwrap());
        assert_eq!(ports(&plan, &[port(8083, 1083)]).unwrap(), [port(8083, 1083)]);
        assert_eq!(way::of_image(&plan).http.unwrap().port, 8083);
    }

    #[test]
    fn publish_takes_two_ports() {
        assert_eq!(parse_publish("18080:8080").unwrap(), PublishedPort { enclave: 8080, host: Some(18080) });
        for bad in ["8080", "0:1", "1:0", "a:b", "1:2:3", "70000:1"] {
            assert!(parse_publish(bad).is_err(), "{bad}");
        }
    }
}
