//! How an app is reached by HTTPS, in words.

use crate::error::CliError;
use crate::terminal::{Terminal, shell_word};
use caution_abi::boot_plan::BootPlan;
use caution_abi::ports::AppPort;
use caution_host::agent::{AgentClient, Reached};
use caution_host::ingress::{Certificate, HttpSpec, IngressSpec, Protocol};
use std::fmt::Write as _;

/// The way to one app.
pub(super) struct Way {
    name: String,
    reached: Reached,
}

impl Way {
    /// Asks the agent.
    pub(super) fn of(client: &AgentClient, name: &str) -> Result<Self, CliError> {
        Ok(Self { name: name.to_owned(), reached: client.ingress()? })
    }

    /// The app's addresses: the declared domain's first, the local one last.
    fn urls(&self) -> &[String] {
        let Reached::By(state) = &self.reached else { return &[] };
        let app = state.addresses.iter().find(|(name, _)| *name == self.name);
        app.map_or(&[], |(_, urls)| urls)
    }

    /// The value of `https`, documented in `docs/src/commands.md`.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.reached {
            Reached::By(state) => serde_json::json!({ "urls": self.urls(), "local_root": state.local_root }),
            _ => serde_json::Value::Null,
        }
    }

    /// Addresses, how to trust them, and what is wrong with them.
    pub(super) fn tell(&self, terminal: Terminal, plan: &BootPlan) {
        let state = match &self.reached {
            Reached::By(state) => state,
            Reached::Not { message, fix } => {
                let text = format!("the app is not reached by HTTPS: {message}");
                return terminal.warning(&text, fix.as_deref());
            }
            _ => return,
        };
        let mut text = String::new();
        for url in self.urls() {
            let _ = writeln!(text, "  https       {url}");
        }
        if let Some(local) = self.urls().last() {
            let root = shell_word(&state.local_root.to_string_lossy());
            if let Some(words) = caution_plan::channel_in_words(plan) {
                let _ = writeln!(text, "              {words}");
            }
            let _ = match &plan.e2e {
                None => writeln!(text, "\ntry it: curl --cacert {root} {local}"),
                // Whom to trust, and how, is on record here once it is verified.
                Some(_) => writeln!(text, "\ntry it: caution verify && caution curl {local}"),
            };
        }
        terminal.result(&text);
        let of_app = |name: &str| self.urls().iter().any(|url| url.contains(&format!("://{name}")));
        for domain in state.domains.iter().filter(|domain| of_app(&domain.name)) {
            if let Certificate::Failed(why) = &domain.certificate {
                terminal.warning(&format!("{} has no certificate yet: {why}", domain.name), None);
            }
            if let Some(problem) = &domain.dns {
                terminal.warning(problem, None);
            }
        }
    }
}

/// What an image says about being reached: which port speaks HTTP, and no more.
pub(super) fn of_image(plan: &BootPlan) -> IngressSpec {
    let http = |port: AppPort| HttpSpec { port: port.get(), protocol: Protocol::Http, domain: None };
    IngressSpec { http: http_port(plan).map(http), ..IngressSpec::default() }
}

/// The app's port that speaks HTTP, behind encryption or not.
pub(super) fn http_port(plan: &BootPlan) -> Option<AppPort> {
    plan.http_port.or_else(|| plan.e2e.as_ref().map(|e2e| e2e.app_port))
}
