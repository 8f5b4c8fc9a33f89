//! The stable form of a spec in vectors: a table of everything that differs from the defaults.

use caution_abi::e2e::Suite;
use caution_abi::egress::Protocol;
use caution_appspec::*;
use toml::{Table, Value};

/// The spec as a table; keys with default values are left out.
pub(crate) fn as_table(spec: &AppSpec) -> Table {
    let mut out = Table::new();
    put(&mut out, "build", build(&spec.build));
    match &spec.command {
        None => {}
        Some(Command::Argv(argv)) => put(&mut out, "argv", Some(strings(argv))),
        Some(Command::Shell(line)) => put(&mut out, "shell", text(Some(line))),
    }
    let env = spec.env.iter().map(|(name, value)| {
        let value = match value {
            EnvValue::Literal(text) => Value::from(text.as_str()),
            EnvValue::Vault(name) => {
                Value::from(Table::from_iter([("vault".to_owned(), name.as_str().into())]))
            }
        };
        (name.clone(), value)
    });
    put(&mut out, "env", non_empty(env.collect()));
    if spec.resources != Resources::default() {
        put(&mut out, "cpus", Some(i64::from(spec.resources.cpus).into()));
        put(&mut out, "memory_mib", Some(i64::from(spec.resources.memory_mib).into()));
    }
    network(&mut out, &spec.network);
    put(&mut out, "debug", flag(spec.debug.enabled));
    put(&mut out, "logs", flag(spec.logs));
    put(&mut out, "ssh_keys", list(&spec.debug.ssh_keys));
    put(&mut out, "metadata", text(spec.metadata.as_ref()));
    put(&mut out, "locksmith", flag(spec.locksmith));
    put(&mut out, "provider", spec.provider.as_ref().map(|p| Value::from(provider(p))));
    let platform = &spec.platform;
    put(&mut out, "managed_credentials", text(platform.managed_credentials.as_ref()));
    put(&mut out, "machine_type", text(platform.machine_type.as_ref()));
    put(&mut out, "build_machine_type", text(platform.build_machine_type.as_ref()));
    out
}

/// `again` without the ingress rules that a spec from a Procfile cannot have.
pub(crate) fn without_rules(again: &AppSpec, first: &AppSpec) -> AppSpec {
    let mut again = again.clone();
    if first.network.ingress.is_empty() {
        again.network.ingress.clear();
    }
    again
}

fn build(build: &Build) -> Option<Value> {
    let mut out = Table::new();
    put(&mut out, "containerfile", text(build.containerfile.as_ref()));
    put(&mut out, "oci_tarball", text(build.oci_tarball.as_ref()));
    put(&mut out, "binary", text(build.binary.as_ref()));
    put(&mut out, "command", text(build.command.as_ref()));
    put(&mut out, "app_sources", list(&build.app_sources));
    put(&mut out, "enclave_sources", list(&build.enclave_sources));
    put(&mut out, "no_cache", flag(build.no_cache));
    non_empty(out)
}

fn network(out: &mut Table, network: &Network) {
    let ports: Vec<Value> = network.ports.iter().map(|port| i64::from(port.get()).into()).collect();
    put(out, "ports", (!ports.is_empty()).then(|| ports.into()));
    put(out, "http", network.http.as_ref().map(|h| Value::from(http(h))));
    let ingress: Vec<Value> = network.ingress.iter().map(|r| Value::from(rule(r))).collect();
    put(out, "ingress", (!ingress.is_empty()).then(|| ingress.into()));
    let egress: Vec<Value> = network.egress.iter().map(|rule| rule.to_string().into()).collect();
    put(out, "egress", (!egress.is_empty()).then(|| egress.into()));
}

fn http(http: &Http) -> Table {
    let mut out = Table::new();
    put(&mut out, "port", Some(i64::from(http.port.get()).into()));
    put(&mut out, "domain", text(http.domain.as_ref()));
    put(&mut out, "upstream", (http.upstream == Upstream::H2c).then(|| "h2c".into()));
    match &http.e2e {
        None => {}
        Some(EndToEnd::Tls) => put(&mut out, "e2e", Some("tls".into())),
        Some(EndToEnd::Steve(steve)) => {
            put(&mut out, "e2e", Some("steve".into()));
            let origins: Vec<String> = steve.cors_origins.iter().map(ToString::to_string).collect();
            put(&mut out, "cors_origins", list(&origins));
            put(&mut out, "key_exchange", (steve.key_exchange == Suite::Xwing).then(|| "xwing".into()));
            put(&mut out, "allow_plaintext_fallback", flag(steve.allow_plaintext_fallback));
            put(&mut out, "steve_v2", flag(steve.steve_v2));
        }
    }
    out
}

fn rule(rule: &TrafficRule) -> Table {
    let protocol = rule.ip_protocol.map(|protocol| match protocol {
        Protocol::Any => "-1",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    });
    let mut out = Table::new();
    put(&mut out, "cidr_ipv4", text(Some(&rule.cidr_ipv4.to_string())));
    let ports = rule.ports.map(|(first, last)| vec![Value::from(i64::from(first)), i64::from(last).into()]);
    put(&mut out, "ports", ports.map(Value::from));
    put(&mut out, "ip_protocol", text(protocol.map(str::to_owned).as_ref()));
    put(&mut out, "proxy_protocol", rule.proxy_protocol.then_some(Value::from(true)));
    out
}

fn provider(provider: &Provider) -> Table {
    let mut out = Table::new();
    put(&mut out, "managed_on_prem", provider.managed_on_prem.map(Value::from));
    put(&mut out, "platform", text(provider.platform.as_ref()));
    put(&mut out, "region", text(provider.region.as_ref()));
    put(&mut out, "vpc_id", text(provider.vpc_id.as_ref()));
    put(&mut out, "subnet_ids", list(&provider.subnet_ids));
    put(&mut out, "security_group_id", text(provider.security_group_id.as_ref()));
    out
}

fn put(out: &mut Table, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value);
    }
}

fn text(text: Option<&String>) -> Option<Value> {
    text.map(|text| text.as_str().into())
}

fn flag(on: bool) -> Option<Value> {
    on.then(|| true.into())
}

fn list(items: &[String]) -> Option<Value> {
    (!items.is_empty()).then(|| strings(items))
}

fn strings(items: &[String]) -> Value {
    Value::from(items.to_vec())
}

fn non_empty(table: Table) -> Option<Value> {
    (!table.is_empty()).then(|| Value::from(table))
}
