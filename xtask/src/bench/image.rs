//! From a container image to an enclave image, beside the tools people use by hand for it.
//!
//! The root file system is about 300 MB of real programs: the Rust base image of the examples without its
//! compiler's largest libraries. Ours starts at the image, so it unpacks layers too; the peer starts at the
//! unpacked folder.

use super::caution::{Caution, run};
use super::report::{Goal, Measurement, Peer};
use super::{App, BenchError};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Each side is measured this often; the best counts, for both.
const ROUNDS: usize = 2;
const PEER: &str = "cpio | gzip -9 | eif_build";

/// Time and memory of `apps build --image` where nothing was built before, and where the same image was but for one
/// file; and time of the peer on the same content, which takes all of it each time.
pub(crate) fn measure(caution: &Caution, root: &Path, app: &App) -> Result<Vec<Measurement>, BenchError> {
    let release = PathBuf::from(caution.json(root, &["enclaveos", "build"])?.text("/dir")?);
    let input = Input::make(app, &release)?;
    let (mut ours, mut again) = (Cost::WORST, Cost::WORST);
    let mut theirs = f64::INFINITY;
    for round in 0..ROUNDS {
        let cache = app.folder.with_file_name(format!("cache-{round}"));
        let built = |image: &Path| {
            let [image, cache, release] = [image, &cache, &release].map(Path::to_string_lossy);
            let arguments =
                ["apps", "build", "--image", &image, "--workdir", &cache, "--enclaveos", &release];
            cost(&app.folder, caution.program(), &arguments)
        };
        ours = ours.or_better(built(&input.layout)?);
        again = again.or_better(built(&input.changed)?);
        theirs = theirs.min(by_hand(&release, &input)?);
    }
    let size = input.megabytes;
    let peer = |value| Peer { name: PEER, value };
    Ok(vec![
        Measurement::beside(
            &format!("image of {size} MB to EIF and registers"),
            ours.seconds,
            "s",
            peer(theirs),
            Goal::PartOfPeer(0.125),
        ),
        Measurement::new("… peak memory", ours.peak_mib.max(again.peak_mib), "MiB", Goal::AtMost(64.0)),
        Measurement::new("… again, one file changed", again.seconds, "s", Goal::AtMost(2.0)),
    ])
}

/// The same files as a container image and as a folder.
struct Input {
    layout: PathBuf,
    /// The image with one other file.
    changed: PathBuf,
    folder: PathBuf,
    /// Of the archive of these files.
    megabytes: u64,
}

impl Input {
    /// From the archive that tools/base-images/build keeps in the cache, where releases are kept too.
    fn make(app: &App, release: &Path) -> Result<Self, BenchError> {
        let at = |name| app.folder.with_file_name(name);
        let input = Self { layout: at("layout"), changed: at("changed"), folder: at("root"), megabytes: 0 };
        let archive = at("root.tar");
        let script = "set -eu
            mkdir \"$3\"
            tar -xf \"$1\"/../../base-images/pallet-rust-*.tar -C \"$3\" --exclude=./usr/lib/rustlib \
                --exclude='libLLVM*' --exclude='librustc*' --exclude='libz3*'
            tar --sort=name --numeric-owner -C \"$3\" -cf \"$2\" .
            image() {
                container=$(buildah from scratch)
                buildah add --quiet \"$container\" \"$2\" / >/dev/null
                buildah commit --quiet --rm \"$container\" \"oci:$1\" >/dev/null
            }
            image \"$4\" \"$2\"
            date >>\"$3/etc/debian_version\"
            tar --sort=name --numeric-owner -C \"$3\" -cf \"$2.changed\" .
            image \"$5\" \"$2.changed\"";
        let paths = [release, &archive, &input.folder, &input.layout, &input.changed];
        let [release, tar, folder, layout, changed] = &paths.map(Path::to_string_lossy);
        run(&app.folder, "sh", &["-c", script, "sh", release, tar, folder, layout, changed])?;
        let bytes =
            std::fs::metadata(&archive).map_err(|error| BenchError::Io("Reading root.tar", error))?.len();
        Ok(Self { megabytes: bytes / 1_000_000, ..input })
    }
}

/// Seconds that cpio, gzip and the AWS builder take, with the release's kernel and ramdisk 0.
fn by_hand(release: &Path, input: &Input) -> Result<f64, BenchError> {
    let script = "set -eu
        cd \"$1\" && find . -mindepth 1 | sort | cpio --quiet -o -H newc | gzip -9 >../by-hand.cpio.gz
        eif_build --kernel \"$2/kernel\" --cmdline \"$(cat \"$2/cmdline\")\" --ramdisk \"$2/ramdisk0.cpio.gz\" \
            --ramdisk ../by-hand.cpio.gz --output ../by-hand.eif";
    let started = Instant::now();
    run(
        &input.folder,
        "sh",
        &["-c", script, "sh", &input.folder.to_string_lossy(), &release.to_string_lossy()],
    )?;
    Ok(started.elapsed().as_secs_f64())
}

/// What a command took.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// Largest resident memory of it or of a program it waited for, MiB.
    pub(super) peak_mib: f64,
}

impl Cost {
    pub(super) const WORST: Self = Self { seconds: f64::INFINITY, peak_mib: 0.0 };

    /// The shorter time; the larger memory.
    pub(super) fn or_better(self, other: Self) -> Self {
        Self { seconds: self.seconds.min(other.seconds), peak_mib: self.peak_mib.max(other.peak_mib) }
    }
}

pub(super) fn cost(folder: &Path, program: &Path, arguments: &[&str]) -> Result<Cost, BenchError> {
    let note = folder.with_file_name("peak");
    let (note_text, program) = (note.to_string_lossy(), program.to_string_lossy());
    let timed = [&["--format=%M", "--output", &note_text, &program], arguments].concat();
    let started = Instant::now();
    run(folder, "/usr/bin/time", &timed)?;
    let seconds = started.elapsed().as_secs_f64();
    let kib = std::fs::read_to_string(&note).map_err(|error| BenchError::Io("Reading peak memory", error))?;
    let kib: f64 = kib.trim().parse().unwrap_or(f64::INFINITY);
    Ok(Cost { seconds, peak_mib: kib / 1024.0 })
}
