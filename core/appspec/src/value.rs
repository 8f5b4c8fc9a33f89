//! Single values, whatever file they come from: each function takes text and gives the domain
//! form or a [`Fault`].

use crate::command::is_name;
use crate::problem::{Checked, Fault, shown};
use crate::{MAX_PORTS, MAX_SOURCE_BYTES};
use caution_abi::e2e::{Origin, OriginError};
use caution_abi::network::{Ipv4Network, NotANetwork};
use caution_abi::ports::{AppPort, AppPortError, RESERVED, STEVED};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Virtual CPUs an enclave may have.
pub(crate) const CPUS: RangeInclusive<u64> = 1..=64;
/// Memory an enclave may have, in MiB.
pub(crate) const MEMORY_MIB: RangeInclusive<u64> = 64..=1_048_576;

/// A whole number inside `range`.
pub(crate) fn in_range(number: u64, range: &RangeInclusive<u64>) -> Checked<u32> {
    let (low, high) = (range.start(), range.end());
    match u32::try_from(number) {
        Ok(n) if range.contains(&number) => Ok(n),
        _ => Err(Fault::new(format!("is not between {low} and {high}"))),
    }
}

/// A port an app may listen on. `taken` are the ports the free example must differ from.
pub(crate) fn app_port(number: u64, taken: &BTreeSet<AppPort>) -> Checked<AppPort> {
    let port = u16::try_from(number).map_err(|_| not_a_port())?;
    AppPort::try_from(port).map_err(|error| match error {
        AppPortError::Reserved(_) => Fault::new(format!(
            "is reserved: ports {} to {} belong to the platform",
            RESERVED.start(),
            RESERVED.end()
        ))
        .fix(format!("choose another port, for example {}", free_port(taken))),
        _ => not_a_port(),
    })
}

/// The ports of an inclusive range, none of them reserved.
pub(crate) fn port_range(first: u64, last: u64, taken: &BTreeSet<AppPort>) -> Checked<Vec<AppPort>> {
    if !(1..=65535).contains(&first) || !(1..=65535).contains(&last) {
        return Err(not_a_port());
    }
    if first == last {
        return Ok(vec![app_port(first, taken)?]);
    }
    if first > last {
        return Err(Fault::new("is a range that ends before it begins").fix(format!("write {last}-{first}")));
    }
    if first <= u64::from(*RESERVED.end()) && last >= u64::from(*RESERVED.start()) {
        let (low, high) = (RESERVED.start(), RESERVED.end());
        return Err(Fault::new(format!(
            "covers the reserved ports {low} to {high}, which belong to the platform"
        ))
        .fix("end the range before them, or begin it after them"));
    }
    let count = last - first + 1;
    if count > MAX_PORTS as u64 {
        return Err(Fault::new(format!("names {count} ports (at most {MAX_PORTS})")));
    }
    (first..=last).map(|port| app_port(port, taken)).collect()
}

pub(crate) fn not_a_port() -> Fault {
    Fault::new("is not a port").fix("ports are numbers from 1 to 65535")
}

/// A port nobody declared yet.
pub(crate) fn free_port(taken: &BTreeSet<AppPort>) -> u16 {
    (8080..=u16::MAX).find(|n| !taken.iter().any(|port| port.get() == *n)).unwrap_or(8080)
}

/// How a message names the port that STEVE has inside the enclave.
pub(crate) const STEVES_PORT: &str = "Port 8080";

/// Ports of an app that STEVE stands in front of: its own is none of them.
pub(crate) fn beside_steve(ports: &BTreeSet<AppPort>) -> Checked<()> {
    if ports.iter().all(|port| port.get() != STEVED) {
        return Ok(());
    }
    let fix = "let the app listen on another port, as a rule 8083, and name that one";
    Err(Fault::new("is where STEVE listens inside the enclave").fix(fix))
}

/// A path inside the repository: relative, without `..`; `.` and doubled slashes are dropped.
pub(crate) fn relative_path(text: &str) -> Checked<String> {
    no_control_characters(text)?;
    if text.starts_with('/') {
        return Err(Fault::new("is an absolute path").fix("write it relative to the repository's root"));
    }
    let parts = path_parts(text)?;
    if parts.is_empty() || text.ends_with('/') {
        return Err(Fault::new("names no file"));
    }
    Ok(parts.join("/"))
}

/// A path inside the image: absolute, without `..`.
pub(crate) fn absolute_path(text: &str) -> Checked<String> {
    no_control_characters(text)?;
    if !text.starts_with('/') {
        return Err(Fault::new("is not an absolute path").fix(format!("write `/{}`", shown(text))));
    }
    let parts = path_parts(text)?;
    if parts.is_empty() || text.ends_with('/') {
        return Err(Fault::new("names no file"));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn path_parts(text: &str) -> Checked<Vec<&str>> {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(Fault::new("leaves its folder with `..`").fix("write the path without `..`"));
    }
    Ok(parts)
}

/// The URL of a git repository or an archive; `${COMMIT}` stands for the commit. What it holds is
/// published, so it must not hold a password.
pub(crate) fn source_url(text: &str) -> Checked<String> {
    // A commit has up to 64 digits.
    let length = text.replace("${COMMIT}", &"0".repeat(64)).len();
    if length > MAX_SOURCE_BYTES {
        return Err(Fault::new(format!("has {length} bytes (at most {MAX_SOURCE_BYTES})")));
    }
    let foreign = |c: char| c.is_control() || c.is_whitespace() || "\"'`\\<>^|".contains(c);
    if let Some(c) = text.chars().find(|c| foreign(*c)) {
        let fault = Fault::new(format!("holds `{}`, which no URL does", shown(&c.to_string())));
        return Err(if c.is_whitespace() { fault.fix("separate URLs by commas") } else { fault });
    }
    if text.replace("${COMMIT}", "").contains(['$', '{', '}']) {
        return Err(Fault::new("holds a placeholder that is not known").fix("the only one is `${COMMIT}`"));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return scp_like(text) };
    if !SOURCE_SCHEMES.contains(&scheme) {
        return Err(Fault::new(format!("has the scheme `{}`", shown(scheme)))
            .fix(format!("use one of {}", SOURCE_SCHEMES.join(", "))));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    // A token may stand alone before the @ on https; on ssh a bare user name is normal.
    if user.is_some_and(|user| !scheme.ends_with("ssh") || user.contains(':')) {
        return Err(Fault::new("holds a user name or password, and source URLs are published").fix(format!(
            "write `{}`",
            shown(&text.replacen(&format!("{}@", user.unwrap_or_default()), "", 1))
        )));
    }
    if host.is_empty() || rest[authority.len()..].trim_matches('/').is_empty() {
        return Err(Fault::new("names no repository"));
    }
    Ok(text.to_owned())
}

/// `git@host:path`, as git itself accepts.
fn scp_like(text: &str) -> Checked<String> {
    let parts = text.split_once(':').and_then(|(login, path)| Some((login.split_once('@')?, path)));
    match parts {
        Some(((user, host), path))
            if !user.is_empty() && is_host(host) && !path.is_empty() && !user.contains('/') =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Fault::new("is not a URL")
            .fix(format!("write the whole URL, for example `https://{}`", shown(text)))),
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

/// A fully qualified domain name, made lower case.
pub(crate) fn domain(text: &str) -> Checked<String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(Fault::new("is a URL, not a domain").fix(format!("write `{}`", shown(host))));
    }
    if !text.is_ascii() {
        return Err(Fault::new("is not ASCII").fix("write its `xn--…` form"));
    }
    let name = text.to_ascii_lowercase();
    if name.len() > 253 {
        return Err(Fault::new(format!("has {} characters (at most 253)", name.len())));
    }
    if !name.contains('.') {
        return Err(Fault::new("has no dot").fix("write the full name, for example app.example.com"));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(Fault::new("has an empty part").fix("remove the extra dot"));
        }
        if label.len() > 63 {
            return Err(Fault::new(format!("has a part of {} characters (at most 63)", label.len())));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(Fault::new(format!("has a part `{label}` that begins or ends with a hyphen")));
        }
        if let Some(c) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return Err(Fault::new(format!("holds `{}`, which no domain does", shown(&c.to_string()))));
        }
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fault::new("is an address, not a domain"));
    }
    Ok(name)
}

/// An SSH public key line: type, base64, optional comment. Quotes around it are dropped.
pub(crate) fn ssh_key(text: &str) -> Checked<String> {
    let key = text.trim_matches(['"', '\'']).trim();
    no_control_characters(key)?;
    if key.contains("PRIVATE KEY") {
        return Err(Fault::new("is a private key").fix("give the public one, from the .pub file"));
    }
    let mut fields = key.split_ascii_whitespace();
    let (kind, blob) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    if !["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start)) {
        return Err(Fault::new("is not an SSH public key").fix("it begins with ssh-, ecdsa- or sk-"));
    }
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    if blob.len() < 16 || !blob.chars().all(base64) {
        return Err(Fault::new("is not a whole SSH public key").fix("copy the whole line of the .pub file"));
    }
    Ok(key.to_owned())
}

/// An AWS id: `prefix` and 8 or 17 lower-case hex digits.
pub(crate) fn aws_id(prefix: &str, text: &str) -> Checked<String> {
    let hex = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match text.strip_prefix(prefix) {
        Some(rest) if matches!(rest.len(), 8 | 17) && hex(rest) => Ok(text.to_owned()),
        _ => Err(Fault::new(format!("is not `{prefix}` and 8 or 17 lower-case hex digits"))),
    }
}

/// An AWS region's name, such as `eu-central-1`.
pub(crate) fn aws_region(text: &str) -> Checked<String> {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 && words.iter().all(letters) && digits(number) => {
            Ok(text.to_owned())
        }
        _ => Err(Fault::new("is not a region").fix("write it as AWS does, for example eu-central-1")),
    }
}

/// An IPv4 network.
pub(crate) fn cidr_ipv4(text: &str) -> Checked<Ipv4Network> {
    text.parse().map_err(|error| match error {
        NotANetwork::HostBits(network) => {
            Fault::new("has bits set after its prefix").fix(format!("write {network}"))
        }
        _ => Fault::new("is not an IPv4 network").fix("write address/prefix, for example 0.0.0.0/0"),
    })
}

/// A browser origin, exactly as browsers write it.
pub(crate) fn origin(text: &str) -> Checked<Origin> {
    if text.contains('*') {
        return Err(
            Fault::new("is a pattern").fix("list every origin exactly, for example https://app.example.com")
        );
    }
    Origin::try_from(text.to_owned()).map_err(|error| match error {
        OriginError::Scheme(_) if text.starts_with("http://") => {
            Fault::new("is a page that anybody on the way can change")
                .fix("write its https:// address; http:// is for localhost alone")
        }
        OriginError::Port(_) => Fault::new("has a port that browsers do not write so")
            .fix("write a number, and leave out the scheme's own (443 of https)"),
        _ => Fault::new("is not an origin").fix("write https://host or https://host:port, nothing after it"),
    })
}

/// The name of an environment variable or a secret.
pub(crate) fn env_name(text: &str) -> Checked<String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Fault::new("is not a variable's name").fix("use letters, digits and `_`, and no digit first"))
}

/// Free text for people; line ends and tabs are its only control characters.
pub(crate) fn metadata(text: &str) -> Checked<String> {
    if text.len() > crate::MAX_METADATA_BYTES {
        return Err(Fault::new(format!("has {} bytes (at most {})", text.len(), crate::MAX_METADATA_BYTES)));
    }
    no_control_characters(&text.replace(['\n', '\t'], ""))?;
    Ok(text.to_owned())
}

/// Refuses what would steer a terminal or end a string early.
pub(crate) fn no_control_characters(text: &str) -> Checked<()> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some(c) => Err(Fault::new(format!("holds the control character U+{:04X}", u32::from(c)))),
    }
}

const SOURCE_SCHEMES: [&str; 6] = ["https", "http", "ssh", "git", "git+https", "git+ssh"];
