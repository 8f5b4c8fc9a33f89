//! What is said of images without a digest.

use super::LOCAL;
use crate::containerfile::ImageUse;
use crate::request::Progress;
use caution_appspec::excerpt;

pub(super) fn unpinned(file: &str, image: &ImageUse, replacement: Option<String>) -> Progress<'static> {
    let (line, name) = (image.line, image.reference.as_deref().unwrap_or(&image.written));
    let name = excerpt(name, 200);
    if name.starts_with(LOCAL) {
        return Progress::Warning {
            message: format!(
                "{file}:{line}: `{name}` is an image of this machine; whoever rebuilds this needs the same one"
            ),
            fix: None,
        };
    }
    Progress::Warning {
        message: format!("{file}:{line}: `{name}` is not pinned; the next build may differ"),
        fix: replacement.map(|replacement| format!("caution apps pin, or write {replacement}")),
    }
}

pub(super) fn unpinned_frontend(file: &str, frontend: &ImageUse) -> Progress<'static> {
    let (line, name) = (frontend.line, excerpt(&frontend.written, 200));
    Progress::Warning {
        message: format!(
            "{file}:{line}: docker fetches `{name}` to read this file, and it is not pinned; the next build may differ"
        ),
        fix: Some(format!(
            "remove the `# syntax=` line, which docker 23 and newer can do without, or write {name}@sha256:<digest>"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerfile;
    use crate::pin;
    use caution_measure::Sha256Digest;

    #[test]
    fn unpinned_images_are_warned_about_with_line_and_digest() {
        let warning = |text: &str, digest| {
            let image = containerfile::parse(text).images.remove(0);
            let replacement = pin::replacement(&image, digest);
            match unpinned("Containerfile", &image, replacement) {
                Progress::Warning { message, fix } => (message, fix),
                other => panic!("{other:?}"),
            }
        };
        let digest = Sha256Digest::new([0xcd; 32]);
        let (message, fix) = warning("\nFROM debian:12 AS a\n", Some(digest));
        assert_eq!(message, "Containerfile:2: `debian:12` is not pinned; the next build may differ");
        assert_eq!(fix, Some(format!("caution apps pin, or write debian@sha256:{digest}")));
        let (message, fix) = warning("FROM localhost/x\n", None);
        assert!(message.contains("image of this machine") && fix.is_none(), "{message}");

        let frontend = containerfile::parse("# syntax = docker/dockerfile:1 a\nFROM x\n").frontend;
        let warning = unpinned_frontend("Containerfile", &frontend.expect("is there"));
        let Progress::Warning { message, fix } = warning else { panic!("{warning:?}") };
        assert!(
            message.starts_with("Containerfile:1: docker fetches `docker/dockerfile:1` to read"),
            "{message}"
        );
        assert!(fix.is_some_and(|fix| fix.contains("docker/dockerfile:1@sha256:")));
    }
}
