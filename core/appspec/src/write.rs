//! [`AppSpec`] to canonical caution.hcl.

use crate::command::shell_join;
use crate::{
    AppSpec, Build, Command, EndToEnd, EnvValue, Http, Network, Platform, Provider, TrafficRule, Upstream,
};
use caution_abi::e2e::Suite;
use caution_abi::egress::{EgressRule, Protocol};
use caution_abi::network::Ipv4Network;
use caution_abi::ports::AppPort;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A caution.hcl for a new app: every line a person usually wants, most of them commented out.
pub fn template() -> &'static str {
    include_str!("template.hcl")
}

/// The spec as caution.hcl. Parsed again it gives the same spec, with one difference: a spec
/// without `ingress` rules (from a Procfile) gets rules that name its ports, open to everyone.
pub fn to_hcl(spec: &AppSpec) -> String {
    let mut out = Writer::default();
    if spec.platform != Platform::default() || spec.provider.is_some() {
        out.block("caution", |out| caution(out, spec));
        out.text.push('\n');
    }
    out.block("enclave \"default\"", |out| enclave(out, spec));
    out.text
}

fn caution(out: &mut Writer, spec: &AppSpec) {
    let platform = &spec.platform;
    out.attributes(vec![
        optional("managed_credentials", platform.managed_credentials.as_deref()),
        optional("machine_type", platform.machine_type.as_deref()),
        optional("build_machine_type", platform.build_machine_type.as_deref()),
    ]);
    if let Some(provider) = &spec.provider {
        out.block("provider", |out| provider_attributes(out, provider));
    }
}

fn provider_attributes(out: &mut Writer, provider: &Provider) {
    out.attributes(vec![
        Some(("type", quoted(provider.platform.as_deref().unwrap_or("aws")))),
        optional("region", provider.region.as_deref()),
        optional("vpc_id", provider.vpc_id.as_deref()),
        list("subnet_ids", &provider.subnet_ids),
        optional("security_group_id", provider.security_group_id.as_deref()),
        provider.managed_on_prem.map(|on| ("managed_on_prem", on.to_string())),
    ]);
}

fn enclave(out: &mut Writer, spec: &AppSpec) {
    out.attributes(vec![
        optional("metadata", spec.metadata.as_deref()),
        spec.locksmith.then(|| ("locksmith", "true".to_owned())),
    ]);
    if spec.build != Build::default() {
        out.block("build", |out| build(out, &spec.build));
    }
    if spec.command.is_some() || !spec.env.is_empty() {
        out.block("unit \"default\"", |out| unit(out, spec));
    }
    out.block("resources", |out| {
        out.attributes(vec![
            Some(("cpu", spec.resources.cpus.to_string())),
            Some(("memory_mb", spec.resources.memory_mib.to_string())),
        ]);
    });
    if spec.network != Network::default() {
        out.block("network", |out| network(out, &spec.network));
    }
    if spec.logs {
        out.block("logs", |out| out.attributes(vec![Some(("enabled", "true".to_owned()))]));
    }
    if spec.debug != crate::Debug::default() {
        out.block("debug", |out| {
            out.attributes(vec![
                spec.debug.enabled.then(|| ("enabled", "true".to_owned())),
                list("ssh_keys", &spec.debug.ssh_keys),
            ]);
        });
    }
}

fn build(out: &mut Writer, build: &Build) {
    out.attributes(vec![
        optional("containerfile", build.containerfile.as_deref()),
        optional("oci_tarball", build.oci_tarball.as_deref()),
        optional("binary", build.binary.as_deref()),
        optional("command", build.command.as_deref()),
        source_list("app_sources", &build.app_sources),
        source_list("enclave_sources", &build.enclave_sources),
        build.no_cache.then(|| ("cache", "false".to_owned())),
    ]);
}

fn unit(out: &mut Writer, spec: &AppSpec) {
    match &spec.command {
        None => {}
        Some(Command::Shell(line)) => out.attributes(vec![Some(("command", quoted(line)))]),
        Some(Command::Argv(argv)) => {
            let (program, rest) = argv.split_at(argv.len().min(1));
            out.attributes(vec![Some(("command", quoted(&shell_join(program)))), list("args", rest)]);
        }
    }
    if !spec.env.is_empty() {
        out.block("env", |out| {
            out.attributes(
                spec.env.iter().map(|(name, value)| Some((name.as_str(), env_value(value)))).collect(),
            );
        });
    }
}

fn env_value(value: &EnvValue) -> String {
    match value {
        EnvValue::Literal(text) => quoted(text),
        EnvValue::Vault(name) => format!("env::vault({})", quoted(name)),
    }
}

fn network(out: &mut Writer, network: &Network) {
    let open;
    let ingress = if network.ingress.is_empty() {
        open = open_to_everyone(&network.ports);
        &open
    } else {
        &network.ingress
    };
    for rule in ingress {
        out.block("ingress", |out| traffic_rule(out, rule));
    }
    for rule in &network.egress {
        out.block("egress", |out| traffic_rule(out, &as_written(rule)));
    }
    if let Some(http) = &network.http {
        out.block("http", |out| http_block(out, http));
    }
}

/// One rule for each run of neighbouring ports.
fn open_to_everyone(ports: &BTreeSet<AppPort>) -> Vec<TrafficRule> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in ports.iter().map(|port| port.get()) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => runs.push((port, port)),
        }
    }
    let rule = |run| TrafficRule {
        cidr_ipv4: Ipv4Network::ALL,
        ports: Some(run),
        ip_protocol: None,
        proxy_protocol: false,
    };
    runs.into_iter().map(rule).collect()
}

/// A rule with every key that says something.
fn as_written(rule: &EgressRule) -> TrafficRule {
    TrafficRule {
        cidr_ipv4: rule.network,
        ports: (rule.ports != EgressRule::ALL_PORTS).then_some(rule.ports),
        ip_protocol: Some(rule.protocol),
        proxy_protocol: false,
    }
}

fn traffic_rule(out: &mut Writer, rule: &TrafficRule) {
    let protocol = rule.ip_protocol.map(|protocol| match protocol {
        Protocol::Any => "-1",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    });
    let single = rule.ports.filter(|(first, last)| first == last).map(|(port, _)| port);
    let range = rule.ports.filter(|(first, last)| first != last);
    out.attributes(vec![
        Some(("cidr_ipv4", quoted(&rule.cidr_ipv4.to_string()))),
        single.map(|port| ("port", port.to_string())),
        range.map(|(first, _)| ("start_port", first.to_string())),
        range.map(|(_, last)| ("end_port", last.to_string())),
        optional("ip_protocol", protocol),
        rule.proxy_protocol.then(|| ("proxy_protocol", "true".to_owned())),
    ]);
}

fn http_block(out: &mut Writer, http: &Http) {
    out.attributes(vec![
        Some(("port", http.port.to_string())),
        optional("domain", http.domain.as_deref()),
        (http.upstream == Upstream::H2c).then(|| ("upstream_protocol", quoted("h2c"))),
    ]);
    if let Some(e2e) = &http.e2e {
        out.block("e2e_encryption", |out| end_to_end(out, e2e));
    }
}

fn end_to_end(out: &mut Writer, e2e: &EndToEnd) {
    let EndToEnd::Steve(steve) = e2e else {
        return out.attributes(vec![Some(("mode", quoted("tls")))]);
    };
    let origins: Vec<String> = steve.cors_origins.iter().map(ToString::to_string).collect();
    out.attributes(vec![
        Some(("mode", quoted("steve"))),
        list("cors_origins", &origins),
        (steve.key_exchange == Suite::Xwing).then(|| ("key_exchange", quoted("xwing"))),
        steve.allow_plaintext_fallback.then(|| ("allow_plaintext_fallback", "true".to_owned())),
        steve.steve_v2.then(|| ("steve_v2", "true".to_owned())),
    ]);
}

/// An attribute's name and its value as HCL.
type Line<'n> = Option<(&'n str, String)>;

fn optional<'n>(name: &'n str, text: Option<&str>) -> Line<'n> {
    text.map(|text| (name, quoted(text)))
}

fn list<'n>(name: &'n str, items: &[String]) -> Line<'n> {
    list_of(name, &items.iter().map(|item| quoted(item)).collect::<Vec<_>>())
}

/// Source URLs: `${COMMIT}` stays a placeholder.
fn source_list<'n>(name: &'n str, urls: &[String]) -> Line<'n> {
    let url = |url: &String| {
        format!("\"{}\"", url.split("${COMMIT}").map(escaped).collect::<Vec<_>>().join("${COMMIT}"))
    };
    list_of(name, &urls.iter().map(url).collect::<Vec<_>>())
}

fn list_of<'n>(name: &'n str, items: &[String]) -> Line<'n> {
    (!items.is_empty()).then(|| (name, format!("[{}]", items.join(", "))))
}

/// A string literal.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // `${` and `%{` would begin a template.
            '$' | '%' if chars.peek() == Some(&'{') => out.extend([c, c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Indented blocks with aligned attributes.
#[derive(Default)]
struct Writer {
    text: String,
    depth: usize,
    /// Something stands in the current block already, so the next block keeps a distance.
    begun: bool,
}

impl Writer {
    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        if self.begun {
            self.text.push('\n');
        }
        self.line(&format!("{head} {{"));
        self.depth += 1;
        self.begun = false;
        body(self);
        self.depth -= 1;
        self.begun = true;
        self.line("}");
        if self.depth == 0 {
            self.begun = false;
        }
    }

    fn attributes(&mut self, lines: Vec<Line<'_>>) {
        let width = lines.iter().flatten().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines.into_iter().flatten() {
            self.line(&format!("{name:width$} = {value}"));
            self.begun = true;
        }
    }

    fn line(&mut self, line: &str) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }
}
