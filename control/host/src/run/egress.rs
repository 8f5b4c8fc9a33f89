//! The network of enclaves that declare egress: passt, an unprivileged network stack in user space.
//!
//! One passt serves one connection of the enclave: its standard input is the stream of frames itself,
//! so no byte passes through this program, there is no socket in any folder, and both end together.
//! What an enclave may reach it decides itself (`specs/egress.md`); here nothing is filtered.

use crate::process::{bound_to_parent, spawn_bound, tail};
use crate::run::Message;
use caution_abi::egress::{ENCLAVE, GATEWAY, GATEWAY_MAC, PARENT_RESOLVER, PREFIX};
use caution_egress::frame;
use nix::ifaddrs::getifaddrs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender};

/// What is started, and for which run.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// passt, or a name to be found in `PATH`.
    pub(crate) program: PathBuf,
    /// The folder of the run.
    pub(crate) run: PathBuf,
}

/// Gives each connection of the enclave a network. Call it from a thread that lives as long as the run.
pub(crate) fn serve(streams: &Receiver<UnixStream>, network: &Network, messages: &SyncSender<Message>) {
    let mut broke = false;
    for stream in streams {
        if broke {
            let _ = messages.send(Message::Egress("The enclave's network is started again.".to_owned()));
        }
        broke = match serve_one(network, stream) {
            Ok(()) => false,
            Err(line) => {
                let _ = messages.send(Message::Egress(line));
                true
            }
        };
    }
}

/// Serves one connection to its end; an end that the enclave did not choose is the error, as a sentence.
fn serve_one(network: &Network, stream: UnixStream) -> Result<(), String> {
    // Before passt: what it has to say comes behind.
    announce(&stream).map_err(|error| format!("The enclave's network cannot be started: {error}."))?;
    let mut child = spawn_bound(&mut command(network, stream)).map_err(|error| error.with_causes())?;
    let said = child.stderr.take().map(tail).unwrap_or_default();
    let status =
        child.wait().map_err(|error| format!("The enclave's network cannot be watched: {error}."))?;
    let program = network.program.display();
    match status.code() {
        // The enclave closed the connection.
        Some(0) => Ok(()),
        // setpriv could not find it.
        Some(127) => {
            Err(format!("The enclave has no network: `{program}` is not installed (apt-get install passt)."))
        }
        _ if said.is_empty() => Err(format!("The enclave's network ended: `{program}`, {status}.")),
        _ => Err(format!("The enclave's network ended: `{program}`, {status}: {said}.")),
    }
}

/// Says which addresses are this machine's own: what listens there is not for enclaves.
fn announce(mut stream: &UnixStream) -> io::Result<()> {
    let addresses = getifaddrs()?.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()));
    let addresses: Vec<Ipv4Addr> = addresses.filter(|address| !address.is_loopback()).collect();
    let mut frame = Vec::new();
    frame::announce_host(&addresses, &mut frame);
    stream.write_all(&frame)
}

fn command(network: &Network, stream: UnixStream) -> Command {
    let mut command = bound_to_parent(&network.program, &network.run);
    command.args(["--foreground", "--quiet", "--stderr", "--fd", "0"]);
    // Nothing comes in that the enclave did not ask for, and its gateway is not a way to this machine.
    command.args(["--tcp-ports", "none", "--udp-ports", "none", "--no-map-gw"]);
    // Everything about the link is fixed, so nothing has to be asked for.
    command.args(["--ipv4-only", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra", "--no-icmp"]);
    command.args(["--address", &ENCLAVE.to_string(), "--netmask", &PREFIX.to_string()]);
    command.args(["--gateway", &GATEWAY.to_string(), "--mac-addr", &mac(GATEWAY_MAC)]);
    command.args(["--dns-forward", &PARENT_RESOLVER.to_string()]);
    command.stdin(OwnedFd::from(stream)).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// The name of the program where none is named.
pub(crate) fn default_program() -> PathBuf {
    Path::new("passt").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::sync::mpsc::sync_channel;

    /// The lines that connections of an enclave get from a program, which must be one of this machine.
    fn lines(program: &str, connections: usize) -> Vec<String> {
        let network = Network { program: program.into(), run: "/nonexistent".into() };
        let (messages, received) = sync_channel(8);
        let (sender, streams) = sync_channel(8);
        for _ in 0..connections {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            sender.send(ours).unwrap();
            // Both end together, whatever ended.
            let closed = std::thread::spawn(move || theirs.read_to_end(&mut Vec::new()));
            drop(closed);
        }
        drop(sender);
        serve(&streams, &network, &messages);
        drop(messages);
        let line = |message| match message {
            Message::Egress(line) => line,
            other => panic!("{other:?}"),
        };
        received.iter().map(line).collect()
    }

    #[test]
    fn a_program_that_is_not_installed_is_told_by_name() {
        let missing =
            "The enclave has no network: `/nonexistent/passt` is not installed (apt-get install passt).";
        assert_eq!(lines("/nonexistent/passt", 1), [missing]);
    }

    #[test]
    fn an_end_that_the_enclave_did_not_choose_is_one_line_and_the_next_start_another() {
        let ended = "The enclave's network ended: `false`, exit status: 1.";
        assert_eq!(lines("false", 2), [ended, "The enclave's network is started again.", ended]);
        assert_eq!(lines("true", 2), [""; 0]);
    }
}
