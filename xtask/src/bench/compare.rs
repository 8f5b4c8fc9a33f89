//! Finding the files in which two images differ, beside diffoscope and the way that takes images apart by hand.

use super::BenchError;
use super::caution::{Caution, run};
use super::image::{Cost, cost};
use super::large::Large;
use super::report::{Goal, Measurement, Peer};
use std::path::Path;
use std::time::Instant;

/// Ours is measured this often, and the best counts; the others once, since they take minutes.
const ROUNDS: usize = 3;
const DIFFOSCOPE: &str = "diffoscope on both folders";
const BY_HAND: &str = "binwalk, dd bs=1, zcat, cpio for each image, and diffoscope";

/// Two images of about 300 MB that differ in four files.
pub(crate) fn measure(caution: &Caution, large: &Large) -> Result<Vec<Measurement>, BenchError> {
    let folder = large.ramdisk.parent().unwrap_or(&large.ramdisk);
    let script = "set -eu
        mkdir left right
        (cd left; cpio --quiet --no-absolute-filenames -idm <\"$1\")
        cp -a left/. right
        date >>right/rootfs/etc/debian_version
        date >>right/rootfs/usr/bin/env
        gzip -nc right/rootfs/etc/passwd >right/rootfs/etc/passwd-.gz
        gzip -nc --fast left/rootfs/etc/passwd >left/rootfs/etc/passwd-.gz
        chmod g+w right/rootfs/etc/fstab
        for side in left right; do
            (cd $side; find . -mindepth 1 | sort | cpio --quiet -o -H newc | gzip -n) >$side.cpio.gz
        done";
    run(folder, "sh", &["-c", script, "sh", &large.ramdisk.to_string_lossy()])?;
    let images = ["left", "right"].map(|side| large.image(side, &folder.join(format!("{side}.cpio.gz"))));
    let [left, right] = images;
    let (left, right) = (left?, right?);

    let mut ours = Cost::WORST;
    for _ in 0..ROUNDS {
        let [program, left, right] = [caution.program(), &left, &right].map(Path::to_string_lossy);
        // 1 is the answer that something differs.
        let script = "\"$1\" apps diff \"$2\" \"$3\" >found || [ $? = 1 ]";
        ours = ours.or_better(cost(folder, Path::new("sh"), &["-c", script, "sh", &program, &left, &right])?);
    }
    found_all(folder)?;
    let started = Instant::now();
    let script = "diffoscope --text diffoscope.txt left right || [ $? = 1 ]";
    run(folder, "sh", &["-c", script])?;
    let diffoscope = started.elapsed().as_secs_f64();
    let by_hand = by_hand(caution, folder, &left)? + by_hand(caution, folder, &right)? + diffoscope;

    let peer = |name, value| Peer { name, value };
    let most = Goal::AtMost(3.0);
    Ok(vec![
        Measurement::beside(
            "four files that differ in images of 300 MB",
            ours.seconds,
            "s",
            peer(DIFFOSCOPE, diffoscope),
            most,
        ),
        Measurement::beside(
            "… from the images as they are deployed",
            ours.seconds,
            "s",
            peer(BY_HAND, by_hand),
            most,
        ),
        Measurement::new("… peak memory", ours.peak_mib, "MiB", Goal::AtMost(200.0)),
    ])
}

/// A fast answer that is another answer counts for nothing.
fn found_all(folder: &Path) -> Result<(), BenchError> {
    let found = std::fs::read_to_string(folder.join("found"))
        .map_err(|error| BenchError::Io("Reading what apps diff found", error))?;
    let missing = [
        "/etc/debian_version  content",
        "/usr/bin/env  content",
        "/etc/passwd-.gz  content",
        "/etc/fstab  mode",
    ]
    .into_iter()
    .find(|line| !found.contains(line));
    match missing {
        None => Ok(()),
        Some(line) => Err(BenchError::Failed {
            command: "caution apps diff".into(),
            output: format!("no `{line}` in:\n{found}"),
        }),
    }
}

/// Seconds of the documented way for one image.
fn by_hand(caution: &Caution, folder: &Path, eif: &Path) -> Result<f64, BenchError> {
    let described = caution.json(folder, &["apps", "describe", &eif.to_string_lossy()])?;
    let offset = described.application_offset()?;
    let script = "set -eu
        rm -rf by-hand
        mkdir by-hand
        binwalk \"$1\" >by-hand.txt
        cd by-hand
        dd if=\"$1\" bs=1 skip=\"$2\" status=none | (zcat || :) 2>/dev/null | cpio --quiet --no-absolute-filenames -idm";
    let started = Instant::now();
    run(folder, "sh", &["-c", script, "sh", &eif.to_string_lossy(), &offset.to_string()])?;
    Ok(started.elapsed().as_secs_f64())
}
