//! The domain types both file formats parse into. Values of these types cannot be wrong.

#[cfg(doc)]
use caution_abi::e2e::MAX_ORIGINS;
use caution_abi::e2e::{Origin, Suite};
use caution_abi::egress::{EgressRule, Protocol};
use caution_abi::network::Ipv4Network;
use caution_abi::ports::AppPort;
use std::collections::{BTreeMap, BTreeSet};

/// An app's configuration, from either file format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppSpec {
    /// How the image comes to be and where its source is published.
    pub build: Build,
    /// What runs; the image's ENTRYPOINT and CMD when absent.
    pub command: Option<Command>,
    /// Environment set over the image's ENV.
    pub env: BTreeMap<String, EnvValue>,
    /// CPUs and memory of the enclave.
    pub resources: Resources,
    /// Ports, domain, encryption, traffic rules.
    pub network: Network,
    /// Debug mode.
    pub debug: Debug,
    /// Whether the host reads what the app writes to its standard output and error.
    pub logs: bool,
    /// Free text for the manifest.
    pub metadata: Option<String>,
    /// Whether secrets are to come from Locksmith.
    pub locksmith: bool,
    /// Whose cloud account runs it.
    pub provider: Option<Provider>,
    /// Top-level HCL keys that only name platform machinery.
    pub platform: Platform,
}

/// How the image comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Build {
    /// Relative path inside the repository, without `..`; `None`: `Containerfile`, then `Dockerfile`.
    pub containerfile: Option<String>,
    /// An image archive inside the repository, instead of a build.
    pub oci_tarball: Option<String>,
    /// Only this file of the image (absolute path) is to be packed.
    pub binary: Option<String>,
    /// The older `build:` key: a shell command that makes the image.
    pub command: Option<String>,
    /// git or archive URLs of the application's source.
    pub app_sources: Vec<String>,
    /// git or archive URLs of EnclaveOS' source.
    pub enclave_sources: Vec<String>,
    /// `true`: ask the engine to build without its cache.
    pub no_cache: bool,
}

/// What runs in the enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Program and arguments, at least one.
    Argv(Vec<String>),
    /// A line that needs a shell (it has unquoted operators or expansions): the image's
    /// `/bin/sh -c` runs it.
    Shell(String),
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// This text.
    Literal(String),
    /// A secret of this name (`env::vault("NAME")`).
    Vault(String),
}

/// CPUs and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Virtual CPUs, 1 to 64.
    pub cpus: u32,
    /// Memory in MiB, 64 to 1 048 576.
    pub memory_mib: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpus: 2, memory_mib: 512 }
    }
}

/// Ports, domain, encryption, traffic rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Every declared TCP port; ranges are expanded.
    pub ports: BTreeSet<AppPort>,
    /// The port that speaks HTTP.
    pub http: Option<Http>,
    /// HCL ingress rules, in file order; empty for a Procfile.
    pub ingress: Vec<TrafficRule>,
    /// What the app may reach outside.
    pub egress: BTreeSet<EgressRule>,
}

impl Network {
    /// Whether connections to this port begin with a PROXY protocol header.
    pub fn announces(&self, port: AppPort) -> bool {
        let covers =
            |rule: &TrafficRule| rule.ports.is_some_and(|(first, last)| (first..=last).contains(&port.get()));
        self.ingress.iter().any(|rule| rule.proxy_protocol && covers(rule))
    }
}

/// The HTTP port and what stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// One of [`Network::ports`].
    pub port: AppPort,
    /// Fully qualified, lower case, with at least one dot.
    pub domain: Option<String>,
    /// What the app speaks.
    pub upstream: Upstream,
    /// End-to-end encryption.
    pub e2e: Option<EndToEnd>,
}

/// What the app speaks on its HTTP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upstream {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 without TLS, for gRPC.
    H2c,
}

/// End-to-end encryption, by who ends it inside the enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndToEnd {
    /// STEVE, in front of the app.
    Steve(Steve),
    /// TLS with an attested certificate.
    Tls,
}

/// STEVE in front of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steve {
    /// Origins of other pages that may call from a browser, at most [`MAX_ORIGINS`].
    pub cors_origins: BTreeSet<Origin>,
    /// The one key exchange.
    pub key_exchange: Suite,
    /// Whether requests that are not encrypted reach the app, too.
    pub allow_plaintext_fallback: bool,
    /// Whether clients of version 2 are served.
    pub steve_v2: bool,
}

impl Default for Steve {
    fn default() -> Self {
        Self {
            cors_origins: BTreeSet::new(),
            key_exchange: Suite::X25519,
            allow_plaintext_fallback: false,
            steve_v2: false,
        }
    }
}

/// An ingress rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficRule {
    /// The other side.
    pub cidr_ipv4: Ipv4Network,
    /// First and last port, where the rule names any.
    pub ports: Option<(u16, u16)>,
    /// By which protocol, where the rule names one.
    pub ip_protocol: Option<Protocol>,
    /// Whether the app hears of the client's address by PROXY protocol version 2; of `ingress` alone.
    pub proxy_protocol: bool,
}

/// Debug mode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Debug {
    /// Console and logs open, attested PCRs zero; never verifies.
    pub enabled: bool,
    /// SSH public keys for the host.
    pub ssh_keys: Vec<String>,
}

/// Bring your own cloud.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provider {
    /// `managed_on_prem` of the Procfile.
    pub managed_on_prem: Option<bool>,
    /// `aws` where given.
    pub platform: Option<String>,
    /// Region name.
    pub region: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `subnet-…`.
    pub subnet_ids: Vec<String>,
    /// `sg-…`.
    pub security_group_id: Option<String>,
}

/// HCL keys of the `caution` block that choose platform machinery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Platform {
    /// Credential name.
    pub managed_credentials: Option<String>,
    /// Instance type.
    pub machine_type: Option<String>,
    /// Instance type of the builder.
    pub build_machine_type: Option<String>,
}
