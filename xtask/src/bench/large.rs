//! An application of more than 300 MB that boots: the programs of the image benchmark, and hello's server.

use super::caution::{Caution, run};
use super::{App, BenchError};
use caution_eif::{HeaderOptions, Limits, Metadata, SectionKind, Writer, read_with};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The parts of its image, and a folder for images of it.
pub(crate) struct Large {
    release: PathBuf,
    /// `eif-stage/` of its build: the manifest is beside its folder of images, where `apps run` looks.
    stage: PathBuf,
    /// Ramdisk 1, not compressed.
    pub(crate) ramdisk: PathBuf,
}

impl Large {
    /// Builds it as a user would, from a container image, and takes ramdisk 1 out again.
    pub(crate) fn make(caution: &Caution, root: &Path, app: &App, hello: &Path) -> Result<Self, BenchError> {
        let release = PathBuf::from(caution.json(root, &["enclaveos", "build"])?.text("/dir")?);
        let folder = app.folder.with_file_name("large");
        let io = |error| BenchError::Io("Making an application of 300 MB", error);
        std::fs::create_dir(&folder).map_err(io)?;
        take_application(hello, &folder.join("hello.cpio.gz"))?;
        let script = "set -eu
            mkdir root hello
            tar -xf \"$1\"/../../base-images/pallet-rust-*.tar -C root --exclude=./usr/lib/rustlib \
                --exclude='libLLVM*' --exclude='librustc*' --exclude='libz3*'
            zcat hello.cpio.gz | (cd hello; cpio --quiet --no-absolute-filenames -id 'rootfs/*')
            cp -r hello/rootfs/. root/
            container=$(buildah from scratch)
            buildah add --quiet \"$container\" root / >/dev/null
            buildah commit --quiet --rm \"$container\" oci:layout >/dev/null
            rm -r root";
        run(&folder, "sh", &["-c", script, "sh", &release.to_string_lossy()])?;
        let layout = folder.join("layout");
        caution.json(&app.folder, &["apps", "build", "--image", &layout.to_string_lossy()])?;
        let stage = folder.join("eif-stage");
        std::fs::rename(app.folder.join("eif-stage"), &stage).map_err(io)?;
        take_application(&stage.join("output/enclave.eif"), &folder.join("ramdisk.gz"))?;
        run(&folder, "gzip", &["-d", "ramdisk.gz"])?;
        Ok(Self { release, stage, ramdisk: folder.join("ramdisk") })
    }

    /// Its image with ramdisk 1 as it is in this file, which may be compressed in any way.
    pub(crate) fn image(&self, name: &str, ramdisk: &Path) -> Result<PathBuf, BenchError> {
        let path = self.stage.join("output").join(format!("{name}.eif"));
        let io = |error| BenchError::Io("Writing an image of 300 MB", error);
        let open = |path: &Path| File::open(path).map_err(io);
        let out =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).map_err(io)?;
        let cmdline = std::fs::read_to_string(self.release.join("cmdline")).map_err(io)?;
        let mut writer = Writer::new(out, HeaderOptions::default())?;
        writer.kernel(open(&self.release.join("kernel"))?)?;
        writer.cmdline(&cmdline)?;
        writer.metadata(&Metadata::default())?;
        writer.ramdisk(open(&self.release.join("ramdisk0.cpio.gz"))?)?;
        writer.ramdisk(open(ramdisk)?)?;
        writer.finish()?;
        Ok(path)
    }
}

/// Writes ramdisk 1 of an image to a file.
fn take_application(eif: &Path, to: &Path) -> Result<(), BenchError> {
    let io = |error| BenchError::Io("Taking an image apart", error);
    let mut out = File::create(to).map_err(io)?;
    let mut ramdisks = Vec::new();
    read_with(File::open(eif).map_err(io)?, &Limits::default(), |section, piece| {
        if section.kind == SectionKind::Ramdisk && ramdisks.last() != Some(&section.offset) {
            ramdisks.push(section.offset);
        }
        if ramdisks.len() == 2 && section.kind == SectionKind::Ramdisk {
            out.write_all(piece)
        } else {
            Ok(())
        }
    })?;
    Ok(())
}
