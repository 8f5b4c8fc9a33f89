//! The commands of the pages about encryption, as they stand there.

use crate::enclave::{Running, image};
use caution_steve::Suite;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const PAGES: [&str; 2] = [
    include_str!("../../../../docs/src/end-to-end-encryption.md"),
    include_str!("../../../../docs/src/encrypting-on-the-command-line.md"),
];
const APP: &str = "https://app.example.com";
const PROXY: &str = "caution proxy https://app.example.com --listen 9000";

/// Commands that begin so, without the blanks before them.
fn commands(beginning: &str) -> Vec<&'static str> {
    let lines = PAGES.iter().flat_map(|page| page.lines());
    lines.filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(beginning))).collect()
}

/// The line as somebody says it to a shell, to this enclave, whose root is none that everybody has.
fn shell(running: &Running, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_caution")).parent().unwrap();
    let mut command = Command::new("sh");
    let said = format!("PATH='{}':$PATH; {}", program.display(), line.replace(APP, &running.url));
    command.arg("-c").arg(said);
    command.env("HOME", running.folder.path()).current_dir(running.folder.path());
    command
}

#[test]
fn the_commands_of_the_pages_do_what_they_say() {
    let running = Running::start(Suite::XWing);
    let pcrs = image(1).measurements;
    let hashes = serde_json::json!({ "pcr0": pcrs.pcr0, "pcr1": pcrs.pcr1, "pcr2": pcrs.pcr2, "verified_at": "2026-11-20T09:12:44Z" });
    std::fs::create_dir(running.path(".caution")).unwrap();
    std::fs::write(running.path(".caution/trusted_hashes.json"), hashes.to_string()).unwrap();

    let asked = commands("caution curl ");
    assert_eq!(asked.len(), 3, "{asked:?}");
    for line in asked {
        let said = shell(&running, &format!("{line} --trust-root root.der")).output().unwrap();
        assert!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
        let content = line.split('\'').nth(1).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&said.stdout), content, "{line}");
    }

    let proxies = commands("caution proxy ");
    assert_eq!(proxies, [PROXY; 2]);
    let line = format!("exec {} --trust-root root.der", PROXY.replace("9000", "0"));
    let mut proxy = shell(&running, &line).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(proxy.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
    let through = commands("curl http://127.0.0.1:9000/");
    assert_eq!(through.len(), 2);
    for line in through {
        let line = line
            .replace("http://127.0.0.1:9000", address.trim())
            .replace("curl ", "curl --silent --show-error ");
        let said = shell(&running, &line).output().unwrap();
        let content = line.split('\'').nth(1).unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), content, "{line}: {said:?}");
    }
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert_eq!(running.asked(), 5);
}
