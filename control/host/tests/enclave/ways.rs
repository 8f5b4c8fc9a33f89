//! The ways in from outside: HTTPS by Caddy, and raw ports with rules.

use crate::agent::{Daemon, app, client, qemu, replaced, signal};
use crate::support::{Place, config, eventually, image, release};
use caution_abi::boot_plan::RestartPolicy;
use caution_host::RunConfig;
use caution_host::agent::Reached;
use caution_host::ingress::{IngressSpec, Rule};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

/// Not ones that the kernel hands out by chance.
const PORTS: (u16, u16) = (19_443, 19_080);

#[test]
fn an_enclave_is_reached_by_https_and_raw_ports_keep_to_their_rules() {
    let place = Place::new();
    let settings = format!(
        "[ingress]\nlisten = [\"127.0.0.1\", \"127.0.0.2\"]\nhttps_port = {}\nhttp_port = {}\ncertificates = \"local\"\n",
        PORTS.0, PORTS.1
    );
    let agent = Daemon::start_with(&place.dirs, &settings);
    let rule = |from: &str, port: u16| Rule { from: from.parse().unwrap(), ports: port..=port };
    let ingress = IngressSpec {
        http: None,
        rules: vec![rule("0.0.0.0/0", 8001), rule("127.0.0.0/8", 8002), rule("10.0.0.0/8", 8004)],
        proxy_protocol: vec![8001],
    };
    let restricted = RunConfig { ingress, ..config(image(&release())) };
    let first = client(&place).run(app(restricted, RestartPolicy::OnFailure), &mut |_| {}).unwrap();

    let Reached::By(state) = client(&place).ingress().unwrap() else { panic!("it is not reached") };
    let url = format!("https://test.localhost:{}/", PORTS.0);
    assert_eq!(state.addresses, [("test".to_owned(), vec![url.clone()])]);
    let health = || {
        let mut command = Command::new("curl");
        command.args(["-si", "--max-time", "20", "--cacert"]).arg(&state.local_root);
        let output = command.arg(format!("{url}.well-known/caution/health")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).to_lowercase())
    };
    eventually("it has its certificate", || health().0 == Some(0));
    let (_, said) = health();
    assert!(said.starts_with("http/2 200") && said.contains("\"ready\":true"), "{said}");

    // Caddy takes the names of all apps or of none: one that claims another's is refused, and nobody notices.
    let other = RunConfig { name: "Test".to_owned(), ..config(image(&release())) };
    let refused = client(&place).run(app(other, RestartPolicy::Never), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("`test.localhost` is the name of two apps"), "{refused}");

    let port = caution_host::PublishedPort { enclave: 8001, host: Some(PORTS.0) };
    let other = RunConfig { name: "other".to_owned(), ports: vec![port], ..config(image(&release())) };
    let refused = client(&place).run(app(other, RestartPolicy::Never), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("Port 19443 on 127.0.0.1 is taken"), "{refused}");

    // The app echoes what it read: first who the client is.
    let port = |enclave: u16| first.ports.iter().find(|(port, _)| *port == enclave).unwrap().1;
    let mut stream = TcpStream::connect(("127.0.0.1", port(8001))).unwrap();
    let client_port = stream.local_addr().unwrap().port().to_be_bytes();
    stream.write_all(b"x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).unwrap();
    let addresses = [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1];
    let wanted = [b"\r\n\r\n\0\r\nQUIT\n", &addresses[..], &client_port, &port(8001).to_be_bytes(), b"xEND"];
    assert_eq!(echoed, wanted.concat());
    for address in ["127.0.0.1", "127.0.0.2"] {
        let mut outside = TcpStream::connect((address, port(8004))).unwrap();
        assert_eq!(outside.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    // Raw ports are where HTTPS is. The one that speaks HTTP is there behind TLS alone.
    let mut raw = TcpStream::connect(("127.0.0.2", port(8002))).unwrap();
    raw.write_all(b"x").unwrap();
    raw.shutdown(Shutdown::Write).unwrap();
    let mut counted = String::new();
    raw.read_to_string(&mut counted).unwrap();
    assert_eq!(counted, "1 120");
    let without_tls = TcpStream::connect(("127.0.0.2", port(8001)));
    assert_eq!(without_tls.unwrap_err().kind(), ErrorKind::ConnectionRefused);

    signal(qemu(&place), "KILL");
    eventually("clients are told to come again", || {
        let (_, said) = health();
        said.starts_with("http/2 503") && said.contains("retry-after:")
    });
    let second = replaced(&place, &first);
    eventually("it answers again", || health().1.starts_with("http/2 200"));

    agent.kill();
    assert!(health().1.starts_with("http/2 200"), "an agent that is killed takes nothing down");
    let _agent = Daemon::start_with(&place.dirs, &settings);
    client(&place).stop(&second.id).unwrap();
    eventually("Caddy has ended", || health().0 == Some(7));
}
