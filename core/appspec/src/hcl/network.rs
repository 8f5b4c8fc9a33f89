//! The `network` block: traffic rules, HTTP port, encryption.

use super::e2e::{self, Scene};
use super::section::{BlockRef, Names, Section, subject, value_at};
use crate::problem::{Checked, Fault, Report};
use crate::procfile::listed;
use crate::{Http, MAX_PORTS, Network, TrafficRule, Upstream, value};
use caution_abi::egress::{self, EgressRule, Protocol};
use caution_abi::ports::AppPort;
use std::collections::BTreeSet;

pub(super) fn read(report: &mut Report<'_>, block: BlockRef<'_>) -> Network {
    let names = Names { attributes: &[], blocks: &["ingress", "egress", "http"] };
    let at = block.at();
    let section = Section::of(report, block, &names);
    let mut network = Network::default();
    let mut whole = true;
    for block in section.blocks(report, "ingress") {
        match ingress(report, block, &mut network.ports) {
            Some(rule) => network.ingress.push(rule),
            None => whole = false,
        }
    }
    if network.ports.len() > MAX_PORTS {
        let message = format!("The ingress rules name {} ports (at most {MAX_PORTS}).", network.ports.len());
        report.problem(at, message, None);
        whole = false;
    }
    for block in section.blocks(report, "egress") {
        network.egress.extend(egress(report, block));
    }
    check_egress(report, at, &network);
    let has_egress = section.has_block("egress");
    // Ports of a wrong rule are not known, so nothing is said about what they should cover.
    let ports = whole.then(|| network.ports.clone());
    network.http = section.block(report, "http").and_then(|block| {
        let http = http(report, block, ports.as_ref(), has_egress)?;
        if network.announces(http.port) {
            let message = format!("Port {} speaks HTTP, and `proxy_protocol` is for raw ports.", http.port);
            let fix = "remove it there; the app finds the client's address in X-Forwarded-For";
            report.problem(block.at(), message, Some(fix.to_owned()));
        }
        Some(http)
    });
    network
}

/// A rule that lets traffic in, its TCP ports added to `ports`.
fn ingress(
    report: &mut Report<'_>,
    block: BlockRef<'_>,
    ports: &mut BTreeSet<AppPort>,
) -> Option<TrafficRule> {
    let (rule, at) = rule(report, block, "ingress")?;
    let Some((first, last)) = rule.ports else {
        let fix = "add `port = 8080`, or `start_port` and `end_port`";
        report.problem(block.at(), "An `ingress` block needs a port.".to_owned(), Some(fix.to_owned()));
        return None;
    };
    let range = value::port_range(u64::from(first), u64::from(last), ports);
    let subject =
        if first == last { format!("Port {first}") } else { format!("The range {first} to {last}") };
    let range = report.check(at, &subject, range)?;
    if rule.ip_protocol != Some(Protocol::Udp) {
        ports.extend(range);
    }
    if rule.ip_protocol.is_some_and(|protocol| protocol != Protocol::Tcp) {
        report.not_yet(
            block.at(),
            "An `ingress` block for another protocol",
            "write `ip_protocol = \"tcp\"`",
        );
    }
    Some(rule)
}

/// A rule that lets the app out. What it does not narrow is wide: all ports, TCP and UDP.
fn egress(report: &mut Report<'_>, block: BlockRef<'_>) -> Option<EgressRule> {
    let (written, _) = rule(report, block, "egress")?;
    let rule = EgressRule {
        network: written.cidr_ipv4,
        ports: written.ports.unwrap_or(EgressRule::ALL_PORTS),
        protocol: written.ip_protocol.unwrap_or(Protocol::Any),
    };
    let checked = rule.check().map_err(|error| {
        Fault::new(format!("reaches nothing: {error}")).fix("remove the block, or name another network")
    });
    report.check(block.at(), "An `egress` block", checked).map(|()| rule)
}

/// What egress rules ask of each other and of the ports.
fn check_egress(report: &mut Report<'_>, at: usize, network: &Network) {
    let rules = network.egress.len();
    if rules > egress::MAX_RULES {
        let message = format!("There are {rules} different egress rules (at most {}).", egress::MAX_RULES);
        report.problem(at, message, Some("join neighbouring networks".to_owned()));
    }
    if rules > 0 && network.ports.iter().any(|port| port.get() == egress::DNS_PORT) {
        let message = "An app with `egress` cannot let port 53 in: names are asked there.".to_owned();
        report.problem(at, message, Some("let the app listen on another port".to_owned()));
    }
}

/// A traffic rule and where its first port stands.
fn rule(report: &mut Report<'_>, block: BlockRef<'_>, what: &str) -> Option<(TrafficRule, usize)> {
    // The last one is of `ingress` alone.
    let known = ["cidr_ipv4", "port", "start_port", "end_port", "ip_protocol", "proxy_protocol"];
    let attributes = if what == "ingress" { &known[..] } else { &known[..known.len() - 1] };
    let names = Names { attributes, blocks: &[] };
    let at = block.at();
    let section = Section::of(report, block, &names);
    section.require(report, at, "cidr_ipv4");
    let proxy_protocol = section.flag(report, "proxy_protocol").is_some_and(|(on, _)| on);
    let cidr = section.text(report, "cidr_ipv4", value::cidr_ipv4);
    let protocol = section.text(report, "ip_protocol", ip_protocol);
    let protocol_known = protocol.is_some() || section.attribute("ip_protocol").is_none();
    let ports = rule_ports(report, &section, at, what);
    let (cidr_ipv4, _) = cidr?;
    let (ports, ports_at) = ports?;
    let ip_protocol = protocol.map(|(protocol, _)| protocol);
    let rule = TrafficRule { cidr_ipv4, ports, ip_protocol, proxy_protocol };
    protocol_known.then_some((rule, ports_at))
}

/// First and last port where the rule names any; `None` when what it names is wrong.
fn rule_ports(
    report: &mut Report<'_>,
    section: &Section<'_>,
    block_at: usize,
    what: &str,
) -> Option<(Option<(u16, u16)>, usize)> {
    let given = ["port", "start_port", "end_port"].map(|key| section.attribute(key).is_some());
    let mut number = |key| section.number(report, key, port_number).map(|(port, _)| port);
    let (port, first, last) = (number("port"), number("start_port"), number("end_port"));
    let place = |key| section.attribute(key).map_or(block_at, value_at);
    match given {
        [false, false, false] => Some((None, block_at)),
        [true, false, false] => port.map(|port| (Some((port, port)), place("port"))),
        [false, true, true] => {
            let (first, last) = (first?, last?);
            if first > last {
                let message = format!("The range {first} to {last} ends before it begins.");
                report.problem(
                    place("start_port"),
                    message,
                    Some("swap `start_port` and `end_port`".to_owned()),
                );
                return None;
            }
            Some((Some((first, last)), place("start_port")))
        }
        [false, ..] => {
            let message = format!("This `{what}` block has only one end of a range.");
            let fix = "give both `start_port` and `end_port`, or `port` alone";
            report.problem(block_at, message, Some(fix.to_owned()));
            None
        }
        [true, ..] => {
            let message = format!("This `{what}` block has `port` and a range.");
            report.problem(block_at, message, Some("keep one of the two".to_owned()));
            None
        }
    }
}

fn port_number(number: u64) -> Checked<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0).ok_or_else(value::not_a_port)
}

fn ip_protocol(text: &str) -> Checked<Protocol> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "-1" => Ok(Protocol::Any),
        _ => Err(Fault::new("is not a protocol").fix("write \"tcp\", \"udp\" or \"-1\" for every protocol")),
    }
}

fn http(
    report: &mut Report<'_>,
    block: BlockRef<'_>,
    ports: Option<&BTreeSet<AppPort>>,
    has_egress: bool,
) -> Option<Http> {
    let names = Names { attributes: &["port", "domain", "upstream_protocol"], blocks: &["e2e_encryption"] };
    let at = block.at();
    let section = Section::of(report, block, &names);
    section.require(report, at, "port");
    let port = section.number(report, "port", |n| value::app_port(n, &BTreeSet::new())).map(|(port, _)| port);
    if let (Some(port), Some(ports), Some(attribute)) = (port, ports, section.attribute("port"))
        && !ports.contains(&port)
    {
        let let_in = if ports.is_empty() {
            "is let in by no `ingress` block".to_owned()
        } else {
            format!("is let in by no `ingress` block; these are: {}", listed(ports))
        };
        let fault =
            Fault::new(let_in).fix(format!("add `ingress` with `port = {port}`, or choose one of its ports"));
        report.fault(value_at(attribute), &subject(report, attribute), fault);
    }
    let domain = section.text(report, "domain", value::domain);
    let upstream = section.text(report, "upstream_protocol", upstream);
    let e2e = section.block(report, "e2e_encryption").and_then(|block| {
        let scene = Scene { ports, has_domain: section.attribute("domain").is_some(), has_egress };
        e2e::read(report, block, scene)
    });
    Some(Http {
        port: port?,
        domain: domain.map(|(name, _)| name),
        upstream: upstream.map_or(Upstream::Http, |(upstream, _)| upstream),
        e2e,
    })
}

fn upstream(text: &str) -> Checked<Upstream> {
    match text {
        "http" => Ok(Upstream::Http),
        "h2c" => Ok(Upstream::H2c),
        _ => Err(Fault::new("is not a protocol").fix("write \"http\" or \"h2c\"")),
    }
}
