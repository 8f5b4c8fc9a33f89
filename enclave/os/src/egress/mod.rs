//! Egress: the way out for what the boot plan names, and for nothing else. `specs/egress.md` is its text.
//!
//! ```text
//! app ─▶ kernel ─▶ eth0 (TUN) ─▶ pump: filter ─▶ frames over vsock ─▶ the parent's network stack
//! app ─▶ 127.0.0.1:53 resolver ─▶ one UDP port of EnclaveOS ─▶ eth0 ─▶ … ─▶ the parent's resolver
//! ```
//! Without rules none of it exists.

mod link;
mod pump;
mod resolver;

use crate::control::Control;
use crate::{end, serve};
use caution_abi::egress::{ENCLAVE, EgressRule, GATEWAY, MTU, PREFIX};
use caution_abi::ports::PARENT_EGRESS;
use caution_enclave_sys::app_root::{self, AppRootError};
use caution_enclave_sys::network;
use link::{Link, LinkError};
use pump::Pump;
use resolver::Resolver;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why egress could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EgressError {
    /// The interface.
    #[error("the interface {INTERFACE} could not be made")]
    Interface(#[source] io::Error),
    /// The parent.
    #[error("the host gives no network on its vsock port {PARENT_EGRESS} (its log says why)")]
    Parent(#[source] LinkError),
    /// EnclaveOS' own resolver.
    #[error("the resolver could not be started")]
    Resolver(#[source] io::Error),
    /// The app's `/etc/resolv.conf`.
    #[error(transparent)]
    AppRoot(#[from] AppRootError),
    /// A thread.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

/// Opens the way out, and only returns when the parent's network has answered.
pub(crate) fn start(
    rules: &[EgressRule],
    parent: u32,
    root: &Path,
    control: &Arc<Control>,
) -> Result<(), EgressError> {
    if rules.is_empty() {
        return Ok(());
    }
    let interface =
        network::Link { name: INTERFACE, address: ENCLAVE, prefix: PREFIX, mtu: MTU, gateway: GATEWAY };
    let packets = network::open_link(&interface).map_err(EgressError::Interface)?;
    let link = Link::open(parent).map_err(EgressError::Parent)?;
    // Before the app can take its ports.
    let resolver = Resolver::open(rules.to_vec()).map_err(EgressError::Resolver)?;
    app_root::provide_resolver(root)?;
    let pump = Pump::new(packets, rules.to_vec());
    run("egress", control, move || pump.run(link, parent))?;
    run("resolver", control, move || resolver.run())
}

/// Runs one part on a thread of its own; should it ever break, so does the enclave.
fn run(
    name: &'static str,
    control: &Arc<Control>,
    part: impl FnOnce() -> io::Error + Send + 'static,
) -> Result<(), EgressError> {
    let control = Arc::clone(control);
    let thread = move || {
        let error = part();
        end(&control, &format!("The {name} thread broke: {error}."));
    };
    serve::spawn(name, thread).map(drop).map_err(EgressError::Thread)
}

/// What people call the first interface that leads out.
const INTERFACE: &str = "eth0";
