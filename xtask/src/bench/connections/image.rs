//! The two images: ours, and the same with socat in the place of EnclaveOS.

use crate::bench::BenchError;
use crate::bench::caution::{Caution, run};
use caution_eif::{HeaderOptions, Limits, Metadata, SectionKind, Writer, read_with};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The two images, and the app by itself.
pub(super) struct Images {
    pub(super) app: PathBuf,
    pub(super) ours: PathBuf,
    pub(super) socat: PathBuf,
}

impl Images {
    pub(super) fn make(caution: &Caution, root: &Path, folder: &Path) -> Result<Self, BenchError> {
        let source = root.join("xtask/src/bench/connections/app.rs");
        let repository = folder.join("app");
        let script = "set -eu
            mkdir \"$1\" && cd \"$1\" && git init --quiet
            rustc --edition 2024 -O -C target-feature=+crt-static -o app \"$2\"
            printf 'FROM scratch\\nCOPY app /app\\nENTRYPOINT [\"/app\"]\\n' >Containerfile
            printf 'run: /app\\nports: 8080-8083\\nhttp_port: 8080\\nmemory: 512\\n' >Procfile
            git add --all
            git -c user.name=bench -c user.email=bench@localhost commit --quiet --message app";
        run(folder, "sh", &["-c", script, "sh", &repository.to_string_lossy(), &source.to_string_lossy()])?;
        caution.json(&repository, &["apps", "build"])?;
        let ours = repository.join("eif-stage/output/enclave.eif");
        let socat = ours.with_file_name("socat.eif");
        write_socat_image(root, folder, &ours, &socat)?;
        Ok(Self { app: repository.join("app"), ours, socat })
    }
}

/// The image `ours` with socat in the place of EnclaveOS: the same kernel and application.
fn write_socat_image(root: &Path, folder: &Path, ours: &Path, to: &Path) -> Result<(), BenchError> {
    let script = "set -eu
        mkdir -p socat/bin && cd socat
        cp \"$1\" init && chmod 755 init
        cp \"$(command -v busybox)\" bin/busybox
        cp \"$(command -v socat)\" socat
        for library in $(ldd socat | grep -o '/[^ ]*'); do
            mkdir -p \".${library%/*}\" && cp -L \"$library\" \".$library\"
        done
        cat >events <<'END'
{\"event\":\"hello\",\"enclaveos\":\"none\",\"debug\":false}
{\"event\":\"phase\",\"phase\":\"starting\",\"uptime_ms\":0}
{\"event\":\"phase\",\"phase\":\"ready\",\"uptime_ms\":0}
END
        find . -mindepth 1 | cpio --quiet -o -H newc | gzip -1 >../socat.cpio.gz";
    let init = root.join("xtask/src/bench/connections/socat-init.sh");
    run(folder, "sh", &["-c", script, "sh", &init.to_string_lossy()])?;
    let io = |error| BenchError::Io("Writing the image with socat", error);
    let (mut kernel, mut application) = (Vec::new(), Vec::new());
    let mut ramdisks = Vec::new();
    let image = read_with(File::open(ours).map_err(io)?, &Limits::default(), |section, bytes| {
        match section.kind {
            SectionKind::Kernel => kernel.extend_from_slice(bytes),
            SectionKind::Ramdisk => {
                if ramdisks.last() != Some(&section.offset) {
                    ramdisks.push(section.offset);
                }
                if ramdisks.len() == 2 {
                    application.extend_from_slice(bytes);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    let out = File::options().read(true).write(true).create_new(true).open(to).map_err(io)?;
    let mut writer = Writer::new(out, HeaderOptions::default())?;
    writer.kernel(kernel.as_slice())?;
    writer.cmdline(&image.cmdline)?;
    writer.metadata(&Metadata::default())?;
    writer.ramdisk(File::open(folder.join("socat.cpio.gz")).map_err(io)?)?;
    writer.ramdisk(application.as_slice())?;
    writer.finish()?;
    Ok(())
}
