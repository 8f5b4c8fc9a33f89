//! Measures the promises that have a number, by driving the release `caution` program the way a
//! user does, and writes `target/bench.jsonl`.

mod attest;
mod browser;
mod caution;
mod compare;
mod compression;
mod connections;
mod describe;
mod image;
mod large;
mod report;
mod steve;

use caution::{Caution, free_port};
use large::Large;
use report::{Goal, Measurement};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Boots are measured this often; the median counts.
const BOOTS: usize = 5;
/// Builds after a change are measured this often; the median counts.
const REBUILDS: usize = 3;
/// The port of examples/hello.
const HELLO_PORT: u16 = 8080;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BenchError {
    /// A program could not be started.
    #[error("`{0}` could not be started; `make bench` builds what is needed.")]
    Start(String, #[source] std::io::Error),
    /// A program ended with an error.
    #[error("`{command}` failed:\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// What it wrote.
        output: String,
    },
    /// A program's JSON has another shape.
    #[error("`{command}` answered without `{field}`.")]
    Answer {
        /// The command line.
        command: String,
        /// What was looked for.
        field: &'static str,
    },
    /// A file or socket failed.
    #[error("{0} failed.")]
    Io(&'static str, #[source] std::io::Error),
    /// The image to measure is smaller than the promise speaks of.
    #[error("The image to measure has {size} bytes, it must have {needed} at least.")]
    TooSmall {
        /// Its size.
        size: u64,
        /// What the promise says.
        needed: u64,
    },
    /// Two programs measure an image differently.
    #[error("`apps describe` says that {register} is {ours}, the AWS tools:\n{theirs}")]
    Registers {
        /// The register.
        register: &'static str,
        /// What we say.
        ours: String,
        /// All that the peer says.
        theirs: String,
    },
    /// An image could not be read or written.
    #[error("An image could not be read or written.")]
    Eif(#[from] caution_eif::EifError),
    /// The enclave answered something else than evidence.
    #[error("`/attestation` answered `{0}`.")]
    Attestation(String),
}

/// Runs every measurement; prints them and writes `target/bench.jsonl` below `root`.
pub(crate) fn run(root: &Path) -> Result<(), BenchError> {
    let caution = Caution::find(root);
    let app = App::copy_of_hello(root)?;
    let mut measured = vec![platform_size(&caution, root)?, browser::measure(root)?];
    measured.extend(attest::measure(root)?);

    let first = app.build(&caution)?;
    measured.push(rebuild(&caution, &app)?);
    measured.push(boot(&caution, &app, &first)?);
    measured.extend(image::measure(&caution, root, &app)?);
    measured.extend(connections::measure(&caution, root)?);
    measured.extend(steve::measure(root)?);

    let large = Large::make(&caution, root, &app, &first)?;
    measured.extend(describe::measure(&caution, &caution::peer(root), &large)?);
    measured.extend(compare::measure(&caution, &large)?);
    let compressions = compression::measure(&caution, &app, &large)?;

    report::write(&root.join("target/bench.jsonl"), &measured, &compressions)?;
    print!("{}{}", report::table(&measured), compression::table(&compressions));
    Ok(())
}

/// Measures connections alone, and prints that.
pub(crate) fn connections(root: &Path) -> Result<(), BenchError> {
    print!("{}", report::table(&connections::measure(&Caution::find(root), root)?));
    Ok(())
}

/// Measures encryption alone, and prints that.
pub(crate) fn encryption(root: &Path) -> Result<(), BenchError> {
    print!("{}", report::table(&steve::measure(root)?));
    Ok(())
}

/// Kernel and ramdisk 0 as they stand in every image.
fn platform_size(caution: &Caution, root: &Path) -> Result<Measurement, BenchError> {
    let release = caution.json(root, &["enclaveos", "build"])?;
    let bytes = release.number("/release/kernel/size")? + release.number("/release/ramdisk/size")?;
    Ok(Measurement::new("kernel + ramdisk 0", bytes / (1024.0 * 1024.0), "MiB", Goal::AtMost(8.0)))
}

/// `apps build` after a change of one file, without the time the container engine takes.
fn rebuild(caution: &Caution, app: &App) -> Result<Measurement, BenchError> {
    let mut seconds = Vec::new();
    for round in 0..REBUILDS {
        app.change(round)?;
        let started = Instant::now();
        let built = caution.json(&app.folder, &["apps", "build"])?;
        seconds.push(started.elapsed().as_secs_f64() - built.number("/steps/container_ms")? / 1000.0);
    }
    let name = "apps build after a one-file change, without the engine";
    Ok(Measurement::new(name, median(seconds), "s", Goal::AtMost(1.0)))
}

/// From the start of `apps run` to the first signed document, with the app ready.
fn boot(caution: &Caution, app: &App, eif: &Path) -> Result<Measurement, BenchError> {
    let name = format!("bench-{}", std::process::id());
    let eif = eif.to_string_lossy();
    let (mut seconds, mut accelerator) = (Vec::new(), String::new());
    for _ in 0..BOOTS {
        let (attestation, published) = (free_port()?, format!("{}:{HELLO_PORT}", free_port()?));
        let arguments = ["apps", "run", "--detach", "--eif", &eif, "--name", &name, "--publish", &published];
        let port = attestation.to_string();
        let started = Instant::now();
        let running = caution.json(&app.folder, &[&arguments[..], &["--attestation-port", &port]].concat());
        let answered = running.and_then(|record| caution::attest(attestation).map(|()| record));
        let elapsed = started.elapsed().as_secs_f64();
        caution.quietly(&app.folder, &["apps", "stop", &name]);
        accelerator = answered?.accelerator();
        seconds.push(elapsed);
    }
    let name = format!("boot to attested-ready, hello, {accelerator}");
    Ok(Measurement::new(&name, median(seconds), "s", Goal::AtMost(3.0)))
}

/// A repository with a copy of examples/hello, removed at the end.
struct App {
    folder: PathBuf,
    _removed_on_drop: tempfile::TempDir,
}

impl App {
    fn copy_of_hello(root: &Path) -> Result<Self, BenchError> {
        let temporary = tempfile::tempdir().map_err(|error| BenchError::Io("Making a folder", error))?;
        let app = Self { folder: temporary.path().join("hello"), _removed_on_drop: temporary };
        let from = root.join("examples/hello");
        caution::run(root, "cp", &["-r", &from.to_string_lossy(), &app.folder.to_string_lossy()])?;
        for made in ["eif-stage", ".caution", "target"] {
            caution::run(&app.folder, "rm", &["-rf", made])?;
        }
        app.git(&["init", "--quiet"])?;
        app.commit()?;
        Ok(app)
    }

    /// Builds the image once; the path is of a copy that later builds leave alone.
    fn build(&self, caution: &Caution) -> Result<PathBuf, BenchError> {
        caution.json(&self.folder, &["apps", "build"])?;
        let copy = self.folder.with_file_name("image");
        let arguments = ["-r", "eif-stage", &copy.to_string_lossy()];
        caution::run(&self.folder, "cp", &arguments)?;
        Ok(copy.join("output/enclave.eif"))
    }

    /// Another greeting in one source file, committed.
    fn change(&self, round: usize) -> Result<(), BenchError> {
        let file = self.folder.join("src/main.rs");
        let io = |error| BenchError::Io("Changing src/main.rs", error);
        let text = std::fs::read_to_string(&file).map_err(io)?;
        let changed = text.replacen("Hello", &format!("Hello, change {round}, hello"), 1);
        std::fs::write(&file, changed).map_err(io)?;
        self.commit()
    }

    fn commit(&self) -> Result<(), BenchError> {
        self.git(&["add", "--all"])?;
        self.git(&[
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
            "commit",
            "-q",
            "-m",
            "change",
        ])
    }

    fn git(&self, arguments: &[&str]) -> Result<(), BenchError> {
        caution::run(&self.folder, "git", arguments).map(drop)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_slow_run_does_not_move_the_median() {
        assert!((super::median(vec![3.0, 1.0, 100.0]) - 3.0).abs() < f64::EPSILON);
    }
}
