//! How an app is reached from outside: builder and verifier derive it from the configuration alone.

use caution_abi::boot_plan::BootPlan;
use caution_abi::e2e::{AppProtocol, E2e, Suite};
use caution_abi::ports::AppPort;
use caution_appspec::{EndToEnd, Http, Network, Steve, Upstream};
use std::fmt::Write as _;

/// How far encryption reaches, where ports are exposed without end-to-end encryption.
pub const TLS_ENDS_OUTSIDE: &str = "TLS ends outside the enclave: the host can read what passes";

/// The fields of a boot plan that say how the app is reached.
pub(crate) struct Ways {
    /// Ports that lead to the app as they are, ascending; one behind encryption is none of them.
    pub(crate) ports: Vec<AppPort>,
    /// Which of them speaks HTTP.
    pub(crate) http_port: Option<AppPort>,
    /// What encrypts in front of the app.
    pub(crate) e2e: Option<E2e>,
}

impl Ways {
    pub(crate) fn of(network: &Network) -> Self {
        let http = network.http.as_ref();
        let e2e = http.and_then(|http| match &http.e2e {
            Some(EndToEnd::Steve(steve)) => Some(encryption(http, steve)),
            Some(EndToEnd::Tls) | None => None,
        });
        let behind = e2e.as_ref().map(|e2e| e2e.app_port);
        Self {
            ports: network.ports.iter().copied().filter(|port| Some(*port) != behind).collect(),
            http_port: http.map(|http| http.port).filter(|_| e2e.is_none()),
            e2e,
        }
    }
}

fn encryption(http: &Http, steve: &Steve) -> E2e {
    E2e {
        suite: steve.key_exchange,
        app_port: http.port,
        app_protocol: match http.upstream {
            Upstream::Http => AppProtocol::Http,
            Upstream::H2c => AppProtocol::H2c,
        },
        origins: steve.cors_origins.iter().cloned().collect(),
        plaintext_fallback: steve.allow_plaintext_fallback,
        steve_v2: steve.steve_v2,
    }
}

/// How far encryption reaches; nothing where nobody can connect.
pub fn channel_in_words(plan: &BootPlan) -> Option<String> {
    let Some(e2e) = &plan.e2e else {
        return (!plan.ports.is_empty()).then(|| TLS_ENDS_OUTSIDE.to_owned());
    };
    let mut text = e2e_in_words(e2e);
    if !plan.ports.is_empty() {
        let ports: Vec<String> = plan.ports.iter().map(ToString::to_string).collect();
        let (s, are) = if ports.len() == 1 { ("", "is") } else { ("s", "are") };
        let _ = write!(text, "; port{s} {} {are} raw, STEVE does not encrypt there", ports.join(", "));
    }
    Some(text)
}

/// A suite's name (`specs/steve.md` §1).
fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::X25519 => "x25519",
        Suite::Xwing => "xwing",
    }
}

/// What stands in front of the app, and what becomes of requests without it.
pub(crate) fn e2e_in_words(e2e: &E2e) -> String {
    let suite = suite_name(e2e.suite);
    let others = if e2e.plaintext_fallback {
        "requests without it reach the app, too, and the host can read those"
    } else {
        "requests without it are refused"
    };
    let older = if e2e.steve_v2 { ", clients of version 2 too" } else { "" };
    format!("encrypted into the enclave by STEVE ({suite}{older}); {others}")
}
