//! Repository chores: check-layers, vectors, bench.

mod bench;
mod check_layers;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A chore, by its name on the command line.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&Path) -> Result<(), Box<dyn std::error::Error>>,
}

const CHORES: [Chore; 3] = [
    Chore {
        name: "check-layers",
        about: "check what may depend on what (ARCHITECTURE.md)",
        run: check_layers,
    },
    Chore { name: "bench", about: "measure the promises of SPECIFICATION.md", run: bench },
    Chore { name: "vectors", about: "write the attestation vectors of specs/vectors", run: vectors },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (name, rest) = (words.next(), words.next());
    let chore = CHORES.iter().find(|chore| Some(chore.name) == name.as_deref() && rest.is_none());
    let Some(chore) = chore else {
        for chore in &CHORES {
            println!("  cargo xtask {:<14} {}", chore.name, chore.about);
        }
        return if name.is_none() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    match (chore.run)(&workspace_root()) {
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

fn check_layers(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
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

fn bench(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Ok(bench::run(root)?)
}

fn vectors(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    Ok(vectors::run(root)?)
}

/// The workspace this program was built from.
fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
