//! Driving `caution` and other programs.

use super::BenchError;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release program.
pub(crate) struct Caution(PathBuf);

/// A JSON answer and the command that gave it.
pub(crate) struct Answer {
    command: String,
    json: serde_json::Value,
}

impl Caution {
    /// The program that `make` built: `CAUTION_BIN`, else below `target/`.
    #[expect(clippy::disallowed_methods, reason = "the Makefile says here where it built the program")]
    pub(crate) fn find(root: &Path) -> Self {
        let named = std::env::var_os("CAUTION_BIN").map(PathBuf::from);
        Self(named.unwrap_or_else(|| root.join("target/release/caution")))
    }

    /// Where it is.
    pub(crate) fn program(&self) -> &Path {
        &self.0
    }

    /// Runs it with `--json`.
    pub(crate) fn json(&self, folder: &Path, arguments: &[&str]) -> Result<Answer, BenchError> {
        let text = run(folder, &self.0, &[arguments, &["--json"]].concat())?;
        Answer::parse(format!("caution {}", arguments.join(" ")), &text)
    }

    /// Runs it for its effect; a failure shows in what comes next.
    pub(crate) fn quietly(&self, folder: &Path, arguments: &[&str]) {
        let _ = run(folder, &self.0, arguments);
    }
}

impl Answer {
    /// Reads what `command` wrote.
    pub(crate) fn parse(command: String, text: &str) -> Result<Self, BenchError> {
        match serde_json::from_str(text) {
            Ok(json) => Ok(Self { command, json }),
            Err(_) => Err(BenchError::Answer { command, field: "JSON" }),
        }
    }

    /// The number at a JSON pointer.
    pub(crate) fn number(&self, pointer: &'static str) -> Result<f64, BenchError> {
        let value = self.json.pointer(pointer).and_then(serde_json::Value::as_f64);
        value.ok_or_else(|| BenchError::Answer { command: self.command.clone(), field: pointer })
    }

    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &'static str) -> Result<String, BenchError> {
        let value = self.json.pointer(pointer).and_then(serde_json::Value::as_str);
        let value = value.map(str::to_owned);
        value.ok_or_else(|| BenchError::Answer { command: self.command.clone(), field: pointer })
    }

    /// Of a description of an image: where its second ramdisk begins.
    pub(crate) fn application_offset(&self) -> Result<u64, BenchError> {
        let sections = self.json["sections"].as_array().into_iter().flatten();
        let offset = sections
            .filter(|section| section["kind"] == "ramdisk")
            .nth(1)
            .map(|section| &section["content_offset"]);
        offset.and_then(serde_json::Value::as_u64).ok_or_else(|| BenchError::Answer {
            command: self.command.clone(),
            field: "the second ramdisk's offset",
        })
    }

    /// How the machine ran the enclave's CPU, in a word.
    pub(crate) fn accelerator(&self) -> String {
        let text = self.json["accelerator"].to_string().to_lowercase();
        if text.contains("kvm") && !text.contains("tcg") { "KVM".into() } else { "TCG".into() }
    }
}

/// The program of `tests/oracle-eif` that measures with the AWS crate: `AWS_DESCRIBE_BIN`, else where the Makefile builds
/// it.
#[expect(clippy::disallowed_methods, reason = "the Makefile says here where it built the program")]
pub(crate) fn peer(root: &Path) -> PathBuf {
    let named = std::env::var_os("AWS_DESCRIBE_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| root.join("target/oracle-eif/release/describe"))
}

/// The program of `tests/oracle-attest` that measures verifiers: `ATTEST_BENCH_BIN`, else where the Makefile builds it.
#[expect(clippy::disallowed_methods, reason = "the Makefile says here where it built the program")]
pub(crate) fn verifiers(root: &Path) -> PathBuf {
    let named = std::env::var_os("ATTEST_BENCH_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| root.join("target/oracle-attest/release/bench-attest"))
}

/// Runs a program; its stdout.
pub(crate) fn run(
    folder: &Path,
    program: impl Into<OsString>,
    arguments: &[&str],
) -> Result<String, BenchError> {
    let program = program.into();
    let command = format!("{} {}", program.display(), arguments.join(" "));
    let done = Command::new(&program).args(arguments).current_dir(folder).output();
    let done = done.map_err(|error| BenchError::Start(command.clone(), error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(BenchError::Failed { command, output: text(&done.stderr) + &text(&done.stdout) })
    }
}

/// A port of loopback that nobody has at this moment.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| BenchError::Io("Finding a free port", error))
}

/// One signed document from `/attestation`, and nothing else, is success.
pub(crate) fn attest(port: u16) -> Result<(), BenchError> {
    let answer = post(port).map_err(|error| BenchError::Io("POST /attestation", error))?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"document\"") {
        return Ok(());
    }
    Err(BenchError::Attestation(answer.lines().next().unwrap_or_default().to_owned()))
}

fn post(port: u16) -> std::io::Result<String> {
    // 32 zero bytes: how fresh the nonce is does not matter to the clock.
    let body = format!("{{\"nonce\":\"{}=\"}}", "A".repeat(43));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(
        stream,
        "POST /attestation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.take(1024 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}
