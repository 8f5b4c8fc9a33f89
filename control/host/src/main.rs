//! The host agent as a program of its own: only the hidden sub-commands.
//!
//! `caution` embeds the agent; this binary serves its tests and hosts without the command line tool.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.split_first() {
        Some((command, rest)) if command == "internal" => caution_host::internal(rest),
        _ => {
            eprintln!("error: caution-host has no commands of its own; use `caution apps run`.");
            ExitCode::from(2)
        }
    }
}
