//! The `cautiond` command. `specs/platform.md` §1.

use caution_server::config::Config;
use caution_server::serve::{ServeError, serve};
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cautiond serve [--config FILE]          run the platform
       cautiond check-config [--config FILE]   read the settings and say what is wrong with them
       cautiond openapi                        print the description of the HTTP API
       cautiond --version
";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // This same program is started again as builder, and by the host agent as supervisor and janitor.
    if args.get(1).is_some_and(|first| first == "internal") {
        if args.get(2).is_some_and(|second| second == "build") {
            return caution_server::job::builder::main();
        }
        return caution_host::internal(&args[2..]);
    }
    let words: Vec<&str> = args.iter().skip(1).filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["serve"] => settings(None, run),
        ["serve", "--config", file] => settings(Some(file), run),
        ["check-config"] => settings(None, check),
        ["check-config", "--config", file] => settings(Some(file), check),
        ["openapi"] => openapi(),
        ["--version"] => said(concat!("cautiond ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "help"] => said(USAGE),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn settings(file: Option<&str>, then: fn(&Config) -> ExitCode) -> ExitCode {
    match Config::read(file.map(PathBuf::from).as_deref()) {
        Ok(config) => then(&config),
        Err(wrong) => {
            eprintln!("error: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn check(config: &Config) -> ExitCode {
    let site = config.site.as_ref().map_or("nobody signs in; for this machine's user", |site| &site.origin);
    said(&format!(
        "The settings can be used.\n  data      {}\n  database  {}\n  API       {}\n  site      {site}\n  git       {}\n",
        config.data.display(),
        config.database.as_ref().map_or_else(|| "SQLite, in the data folder".to_owned(), ToString::to_string),
        config.http_listen,
        config.git_listen,
    ))
}

fn run(config: &Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(cause) => Err(ServeError::Signals(cause)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            if let Some(fix) = error.fix() {
                eprintln!("  fix: {fix}");
            }
            ExitCode::FAILURE
        }
    }
}

fn openapi() -> ExitCode {
    match caution_api::openapi() {
        Ok(document) => said(&document),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn said(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
