//! `caution apps pin`: write down the base images and the EnclaveOS release that this commit stands on.

use super::build::{LimitArgs, clean_head, release, show};
use crate::Context;
use crate::error::CliError;
use caution_build::git::Repository;
use caution_build::{CONTAINERFILE_EIF, EngineName, Moved, Pin, Pinned, Request};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps pin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pin what this revision builds on instead of HEAD; uncommitted changes are then no obstacle.
    #[arg(long, value_name = "REV")]
    commit: Option<String>,

    /// Build with this engine: docker, podman or buildah; the first that works when absent.
    #[arg(long, value_name = "NAME")]
    engine: Option<EngineName>,

    /// The EnclaveOS release to pin: a folder made by `caution enclaveos build`.
    #[arg(long, value_name = "DIR")]
    enclaveos: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let repo = Repository::discover(Path::new("."))?;
    let commit = match &args.commit {
        Some(revision) => repo.resolve(revision)?,
        // The file itself is no part of what it is made from.
        None => clean_head(&repo, |path| path != CONTAINERFILE_EIF)?,
    };
    let release = release(context, args.enclaveos.as_deref())?;
    let terminal = context.terminal;
    let Pinned { text, moved } = caution_build::pin(&Request {
        repo: &repo,
        commit: &commit,
        branch: None,
        release: &release,
        image: None,
        engine: args.engine,
        // What a tag means now, and not what it meant when it was last used here.
        no_cache: true,
        no_network: false,
        trial: None,
        strict: false,
        limits: args.limits.limits(),
        signer: None,
        // Nothing is packed.
        store: None,
        output: &repo.root().join("eif-stage"),
        progress: &|progress| show(terminal, &progress),
    })?;
    let path = repo.root().join(CONTAINERFILE_EIF);
    write(&path, &text)?;
    if terminal.json {
        terminal.json_result(&to_json(&path, &moved));
    } else {
        terminal.result(&to_text(&moved));
    }
    Ok(())
}

/// Replaces the file as a whole; a link in its place is replaced and not followed.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let io = |e: std::io::Error| CliError::io("The file cannot be written", path, &e);
    let folder = path.parent().unwrap_or(path);
    // 0666 less the umask, as every other file the user writes.
    let permissions = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

fn to_text(moved: &Moved) -> String {
    let mut text = format!("\n  {CONTAINERFILE_EIF}\n\n");
    let release = |pin: &Pin| pin.id.to_string();
    let (before, after) = (moved.release_before.as_ref().map(release), Some(release(&moved.release)));
    line(&mut text, "EnclaveOS", before.as_deref(), after.as_deref());
    for image in &moved.images {
        line(&mut text, &image.image, image.before.as_deref(), image.after.as_deref());
    }
    text.push_str(if moved.file_changed {
        "\nnext: git add Containerfile.eif && git commit      (builds and verifiers then use exactly these)\n"
    } else {
        "\nas committed: nothing moved\n"
    });
    text
}

/// A name, and what became of its digest.
fn line(text: &mut String, name: &str, before: Option<&str>, after: Option<&str>) {
    let _ = match (before, after) {
        (Some(before), Some(after)) if before == after => writeln!(text, "  {name}\n    {after}  unchanged"),
        (Some(before), Some(after)) => writeln!(text, "  {name}\n    {before}\n  → {after}"),
        (None, Some(after)) => writeln!(text, "  {name}\n  + {after}"),
        (Some(before), None) => writeln!(text, "  {name}\n  - {before}  no longer used"),
        (None, None) => Ok(()),
    };
}

/// The `--json` form, documented in `docs/src/commands.md`.
fn to_json(path: &Path, moved: &Moved) -> serde_json::Value {
    let pin = |pin: &Pin| serde_json::json!({ "id": pin.id, "pcr1": pin.pcr1 });
    let images: Vec<_> = moved
        .images
        .iter()
        .map(|m| serde_json::json!({ "image": m.image, "before": m.before, "after": m.after }))
        .collect();
    serde_json::json!({
        "file": path.to_string_lossy(),
        "changed": moved.file_changed,
        "enclaveos": { "before": moved.release_before.as_ref().map(pin), "after": pin(&moved.release) },
        "images": images,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_build::Move;
    use caution_measure::{Pcr, Sha256Digest};

    #[test]
    fn what_moved_is_shown_and_what_did_not_too() {
        let release = |byte| Pin { id: Sha256Digest::new([byte; 32]), pcr1: Pcr::new([byte; 48]) };
        let image = |image: &str, before: Option<&str>, after: Option<&str>| Move {
            image: image.into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let images = vec![
            image("debian", Some("sha256:1"), Some("sha256:2")),
            image("new", None, Some("sha256:3")),
            image("old", Some("sha256:4"), None),
            image("same", Some("sha256:5"), Some("sha256:5")),
        ];
        let mut moved =
            Moved { images, release_before: Some(release(1)), release: release(2), file_changed: true };
        let text = to_text(&moved);
        for part in [
            format!("  EnclaveOS\n    {}\n  → {}\n", "01".repeat(32), "02".repeat(32)),
            "  debian\n    sha256:1\n  → sha256:2\n".into(),
            "  new\n  + sha256:3\n".into(),
            "  old\n  - sha256:4  no longer used\n".into(),
            "  same\n    sha256:5  unchanged\n".into(),
            "next: git add Containerfile.eif".into(),
        ] {
            assert!(text.contains(&part), "{part}\n{text}");
        }
        let json = to_json(Path::new("/x"), &moved);
        assert_eq!(
            json["images"][0],
            serde_json::json!({"image": "debian", "before": "sha256:1", "after": "sha256:2"})
        );
        assert_eq!(json["enclaveos"]["before"]["pcr1"], "01".repeat(48));
        moved.file_changed = false;
        assert!(to_text(&moved).ends_with("nothing moved\n"));
    }
}
