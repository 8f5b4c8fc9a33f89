//! `ports`, `http_port`, `domain` and `e2e` together.

use super::lines::{Entries, Entry, Key};
use super::{comment_hint, field, flag, split_list, whole_number};
use crate::problem::{Checked, Fault, Report, shown};
use crate::{EndToEnd, Http, MAX_PORTS, Network, Steve, Upstream, value};
use caution_abi::ports::AppPort;
use std::collections::BTreeSet;

pub(super) fn read(report: &mut Report<'_>, entries: &Entries<'_>) -> Network {
    let listed = entries.get(Key::Ports).map(|entry| (entry, ports(report, entry)));
    let domain = field(report, entries.get(Key::Domain), value::domain);
    let e2e = flag(report, entries.get(Key::E2e)).unwrap_or(false);
    let http_port = entries.get(Key::HttpPort).and_then(|entry| {
        let port = field(report, Some(entry), |text| {
            value::app_port(whole_number(text).map_err(|_| value::not_a_port())?, &BTreeSet::new())
        })?;
        Some((entry, port))
    });
    let ports = match listed {
        // A list with a bad item says nothing about the keys that refer to it.
        Some((entry, ports)) => ports.map(|ports| (Some(entry), ports)),
        // Where a wrong `http_port` stands, which has been reported, no other is guessed.
        None if e2e => {
            let named = entries.get(Key::HttpPort).map(|_| http_port.map(|(_, port)| port));
            named.unwrap_or(Some(behind_steve())).map(|port| (None, BTreeSet::from([port])))
        }
        None => {
            needs_ports(report, entries, http_port.map(|(_, port)| port));
            None
        }
    };
    let Some((entry, ports)) = ports else { return Network::default() };

    let port = match (http_port, entry) {
        (Some((entry, port)), _) => member(report, entry, port, &ports),
        (None, _) if entries.get(Key::HttpPort).is_some() => None,
        (None, _) if e2e && ports.contains(&behind_steve()) => Some(behind_steve()),
        (None, Some(entry)) => only_port(report, entry, &ports),
        (None, None) => ports.first().copied(),
    };
    if let Some(entry) = entries.get(Key::E2e).filter(|_| e2e) {
        report.check(entry.key_at, value::STEVES_PORT, value::beside_steve(&ports));
    }
    // What `e2e: true` means: STEVE with its defaults.
    let e2e = e2e.then(|| EndToEnd::Steve(Steve::default()));
    let http = port.map(|port| Http { port, domain, upstream: Upstream::Http, e2e });
    Network { ports, http, ..Network::default() }
}

/// Where STEVE finds an app that says nothing else: the documented port.
fn behind_steve() -> AppPort {
    AppPort::try_from(8083).expect("8083 is a port that apps may have")
}

/// The ports of a list with ranges; `None` when an item is wrong.
fn ports(report: &mut Report<'_>, entry: &Entry<'_>) -> Option<BTreeSet<AppPort>> {
    let mut ports = BTreeSet::new();
    let mut whole = true;
    for (at, item) in split_list(report, entry)? {
        if item.is_empty() {
            let fault = Fault::new("is empty").fix("remove the extra comma");
            report.fault(at, &format!("An item of `{}`", entry.name), fault);
            whole = false;
            continue;
        }
        let range = range(item, &ports).map_err(|fault| comment_hint(fault, item));
        let subject = format!("`{}` in `{}`", shown(item), entry.name);
        match report.check(at, &subject, range) {
            Some(range) => ports.extend(range),
            None => whole = false,
        }
    }
    if ports.len() > MAX_PORTS {
        let fault = Fault::new(format!("names {} ports (at most {MAX_PORTS})", ports.len()));
        report.fault(entry.value_at, &format!("`{}`", entry.name), fault);
        whole = false;
    }
    whole.then_some(ports)
}

/// `8080` or `9000-9010`.
fn range(item: &str, taken: &BTreeSet<AppPort>) -> Checked<Vec<AppPort>> {
    let number = |text: &str| {
        whole_number(text.trim_ascii()).map_err(|_| {
            let fault = value::not_a_port();
            if item.contains(char::is_whitespace) { fault.fix("separate ports by commas") } else { fault }
        })
    };
    match item.split_once('-') {
        None => Ok(vec![value::app_port(number(item)?, taken)?]),
        Some((first, last)) => value::port_range(number(first)?, number(last)?, taken),
    }
}

/// `http_port`, which has to be one of `ports`.
fn member(
    report: &mut Report<'_>,
    entry: &Entry<'_>,
    port: AppPort,
    ports: &BTreeSet<AppPort>,
) -> Option<AppPort> {
    if ports.contains(&port) {
        return Some(port);
    }
    let fault = match ports.first() {
        Some(only) if ports.len() == 1 => Fault::new(format!("is not the port {only}"))
            .fix(format!("add {port} to `ports`, or remove `http_port`: a single port is it anyway")),
        _ => Fault::new(format!("is not one of the ports {}", listed(ports)))
            .fix(format!("add {port} to `ports`, or choose one of them")),
    };
    report.fault(entry.value_at, &entry.subject(), fault);
    None
}

/// The port that needs no `http_port`: the only one.
fn only_port(report: &mut Report<'_>, entry: &Entry<'_>, ports: &BTreeSet<AppPort>) -> Option<AppPort> {
    let first = *ports.first()?;
    if ports.len() == 1 {
        return Some(first);
    }
    let fault = Fault::new("names several ports, and no `http_port` says which of them speaks HTTP")
        .fix(format!("add `http_port: {first}`, or another of them"));
    report.fault(entry.value_at, &entry.subject(), fault);
    None
}

/// Without `ports` there is nothing for these keys to speak of.
fn needs_ports(report: &mut Report<'_>, entries: &Entries<'_>, http_port: Option<AppPort>) {
    // Where the app listens is a guess unless `http_port` says it.
    let guess = http_port.map_or(8080, AppPort::get);
    for key in [Key::HttpPort, Key::Domain] {
        if let Some(entry) = entries.get(key) {
            let fault = Fault::new("needs a port, and there is no `ports`")
                .fix(format!("add `ports: {guess}`, with the port the app listens on"));
            report.fault(entry.value_at, &entry.subject(), fault);
        }
    }
}

/// The first few ports, for a message.
pub(crate) fn listed(ports: &BTreeSet<AppPort>) -> String {
    const MOST: usize = 8;
    let mut text = ports.iter().take(MOST).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if ports.len() > MOST {
        text.push_str(", …");
    }
    text
}
