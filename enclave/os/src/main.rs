//! EnclaveOS: PID 1, attestd, port forwarders, control port, STEVE, in one static binary.
//!
//! `boot` is the sequence, `supervise` what follows, `control` who hears of it. Whatever must not
//! fail ends the enclave with a reason.

mod app;
mod attestd;
mod boot;
mod clock;
mod control;
mod egress;
mod forward;
mod heartbeat;
mod logs;
mod manifest;
mod phase;
mod serve;
mod steved;
mod supervise;

use control::Control;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    if !caution_enclave_sys::process::is_pid1() {
        // The kernel chooses the arguments of its first process alone, and that one does not look at them.
        if std::env::args_os().next().is_some_and(|name| name.as_bytes() == steved::NAME.to_bytes()) {
            return steved::main();
        }
        say("This program is the first process of an enclave and does nothing elsewhere.");
        return ExitCode::from(2);
    }
    let control = Arc::new(Control::new());
    let reason = match boot::boot(&control) {
        Ok(supervisor) => supervisor.run().to_string(),
        Err(e) => format!("The enclave could not boot: {}.", chain(&e).join(": ")),
    };
    end(&control, &reason)
}

/// Tells the host why, and ends the enclave.
fn end(control: &Control, reason: &str) -> ! {
    say(reason);
    control.stop(reason, LAST_WORDS);
    caution_enclave_sys::power::end()
}

/// An error and its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect()
}

/// Writes a sentence of EnclaveOS' own to the console; a production enclave has none.
fn say(sentence: &str) {
    let _ = std::io::stderr().write_all(format!("enclaveos: {sentence}\n").as_bytes());
}

/// How long the host may take to hear the reason.
const LAST_WORDS: Duration = Duration::from_secs(2);
