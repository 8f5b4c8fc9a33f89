//! `caution-assemble`: inside a container engine, from a mounted application to an enclave image.
//!
//! It is the one program of the assembler image, beside the parts of one EnclaveOS release; `Containerfile.eif`
//! runs it with the application's image mounted at `/app`.

use caution_assemble::{Application, Arguments, Platform, write_parts};
use caution_eif::{HeaderOptions, Writer};
use caution_measure::ImagePcrs;
use caution_rootfs::{Limits, walk};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(pcrs) => {
            print!("{pcrs}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("caution-assemble: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Writes `/output/enclave.eif` and `/output/enclave.pcrs`; gives the text of the latter.
fn run(words: &[String]) -> Result<String, Box<dyn Error>> {
    let Arguments { root, plan } = Arguments::from_words(words)?;
    let mut tree = walk(Path::new("/app"), &Limits::default())?;
    tree.set_root(root.mode, root.uid, root.gid);
    let release = Path::new("/enclaveos");
    let text = |name: &str| {
        let path = release.join(name);
        fs::read_to_string(&path).map_err(unusable(&path))
    };
    let open = |name: &str| {
        let path = release.join(name);
        File::open(&path).map_err(unusable(&path))
    };
    let (cmdline, kernel_version) = (text("cmdline")?, text("kernel_version")?);
    let platform = Platform {
        kernel: open("kernel")?,
        cmdline: &cmdline,
        ramdisk: open("ramdisk0.cpio.gz")?,
        kernel_version: &kernel_version,
    };
    let output = Path::new("/output");
    fs::create_dir(output).map_err(unusable(output))?;
    let path = output.join("enclave.eif");
    let eif = File::options().read(true).write(true).create_new(true).open(&path).map_err(unusable(&path))?;
    let mut writer = Writer::new(eif, HeaderOptions::default())?;
    let application = Application { tree: &tree, plan: &plan, store: None };
    write_parts(&mut writer, platform, application, io::sink())?;
    let (_, written) = writer.finish()?;
    let pcrs = ImagePcrs { measurements: written.measurements, pcr8: None }.to_text();
    let path = output.join("enclave.pcrs");
    fs::write(&path, &pcrs).map_err(unusable(&path))?;
    Ok(pcrs)
}

/// Names the file that an error is about.
fn unusable(path: &Path) -> impl FnOnce(io::Error) -> String + use<> {
    let path = path.display().to_string();
    move |error| format!("{path} cannot be used: {error}")
}
