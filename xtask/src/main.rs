//! Repository chores: check-layers, vectors, agreement, bench.

mod agreement;
mod bench;
mod check_layers;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A chore, by its name on the command line.
struct Chore {
    name: &'static str,
    /// What follows its name.
    argument: Option<&'static str>,
    about: &'static str,
    run: fn(&Path, &str) -> Outcome,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

const CHORES: [Chore; 7] = [
    Chore {
        name: "check-layers",
        argument: None,
        about: "check what may depend on what (ARCHITECTURE.md)",
        run: check_layers,
    },
    Chore { name: "bench", argument: None, about: "measure the promises of SPECIFICATION.md", run: bench },
    Chore {
        name: "bench-connections",
        argument: None,
        about: "measure connections alone",
        run: bench_connections,
    },
    Chore {
        name: "bench-steve",
        argument: None,
        about: "measure encryption in front of an app alone",
        run: bench_steve,
    },
    Chore {
        name: "vectors",
        argument: None,
        about: "write the vectors of attestation documents and of STEVE",
        run: vectors,
    },
    Chore {
        name: "agreement",
        argument: Some("SEED"),
        about: "write documents and our verdicts, for tools/fuzz-agreement",
        run: agreement,
    },
    Chore {
        name: "agreement-steve",
        argument: Some("SEED"),
        about: "write messages of STEVE and what we make of them, for tools/fuzz-agreement",
        run: agreement_steve,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (name, argument, rest) = (words.next(), words.next(), words.next());
    let is_asked = |chore: &&Chore| {
        Some(chore.name) == name.as_deref()
            && chore.argument.is_some() == argument.is_some()
            && rest.is_none()
    };
    let Some(chore) = CHORES.iter().find(is_asked) else {
        for chore in &CHORES {
            let usage = format!("{} {}", chore.name, chore.argument.unwrap_or_default());
            println!("  cargo xtask {usage:<14} {}", chore.about);
        }
        return if name.is_none() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    match (chore.run)(&workspace_root(), argument.as_deref().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  because {inner}");
                cause = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn check_layers(root: &Path, _: &str) -> Outcome {
    let problems = check_layers::run(root)?;
    if problems.is_empty() {
        println!("layers: every edge, dependency list and source file is as ARCHITECTURE.md says");
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}\n");
    }
    Err(format!("check-layers found {}.", check_layers::counted(problems.len())).into())
}

fn bench(root: &Path, _: &str) -> Outcome {
    Ok(bench::run(root)?)
}

fn bench_connections(root: &Path, _: &str) -> Outcome {
    Ok(bench::connections(root)?)
}

fn bench_steve(root: &Path, _: &str) -> Outcome {
    Ok(bench::encryption(root)?)
}

fn vectors(root: &Path, _: &str) -> Outcome {
    Ok(vectors::run(root)?)
}

fn agreement(_: &Path, seed: &str) -> Outcome {
    Ok(agreement::run(seed)?)
}

fn agreement_steve(_: &Path, seed: &str) -> Outcome {
    Ok(agreement::steve::run(seed)?)
}

/// The workspace this program was built from.
fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
