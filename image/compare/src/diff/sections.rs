//! What an enclave image holds besides files: registers, kernel, command line.

use super::{Aspect, Difference, EntryFacts, RegisterDifference, Status};
use crate::cause::Cause;
use crate::content::{self, Change, Explanation};
use crate::entry::KindName;
use crate::side::{Facts, LayerName, Side};
use caution_appspec::printable;
use caution_eif::{Image, SectionKind};
use caution_measure::{Pcr, PcrIndex, Sha256Digest};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

/// The registers that differ; `None` where a side has none.
pub(super) fn registers(left: &Facts, right: &Facts) -> Option<Vec<RegisterDifference>> {
    let (Facts::Eif { image: left, .. }, Facts::Eif { image: right, .. }) = (left, right) else {
        return None;
    };
    let of = |image: &Image| -> BTreeMap<u8, Pcr> {
        let signer = image.pcr8_unverified().ok().flatten().map(|pcr8| (PcrIndex::SIGNER, pcr8));
        image.measurements.iter().chain(signer).map(|(index, pcr)| (index.get(), pcr)).collect()
    };
    let (left, right) = (of(left), of(right));
    let registers: BTreeSet<u8> = left.keys().chain(right.keys()).copied().collect();
    let difference = |register: u8| {
        let (left, right) = (left.get(&register).copied(), right.get(&register).copied());
        (left != right).then_some(RegisterDifference { register, left, right })
    };
    Some(registers.into_iter().filter_map(difference).collect())
}

/// Kernel, command line and metadata, where they differ.
pub(super) fn differences(left: &Side, right: &Side) -> Vec<Difference> {
    let (Some(l), Some(r)) = (Sections::of(left), Sections::of(right)) else { return Vec::new() };
    let mut found = Vec::new();
    if l.image.cmdline != r.image.cmdline {
        let what = format!("- {}\n+ {}", printable(&l.image.cmdline), printable(&r.image.cmdline));
        let explanation = Explanation {
            kind: "kernel command line".into(),
            changes: vec![Change { place: String::new(), what }],
            more_changes: 0,
            attributions: Vec::new(),
            complete: false,
        };
        found.push(difference("command line", &l, &r, SectionKind::Cmdline, Some(explanation)));
    }
    if l.digest(SectionKind::Kernel) != r.digest(SectionKind::Kernel) {
        let explanation =
            l.kernel().zip(r.kernel()).map(|(left, right)| content::compare(b"kernel", &left, &right));
        found.push(difference("kernel", &l, &r, SectionKind::Kernel, explanation));
    }
    if l.image.metadata != r.image.metadata {
        found.push(metadata(&l, &r));
    }
    found
}

/// What no register covers, so that nobody is told to look for it where registers differ.
fn metadata(left: &Sections<'_>, right: &Sections<'_>) -> Difference {
    let of = |sections: &Sections<'_>| sections.image.metadata.clone().unwrap_or_default();
    let mut content = content::compare(METADATA.as_bytes(), &of(left), &of(right));
    content.kind = "a note that no register covers".into();
    let mut attributions = std::mem::take(&mut content.attributions);
    let pcr1 = |sections: &Sections<'_>| sections.image.measurements.pcr1;
    // Ours names the kernel, and nothing else that differs.
    let release = left.is_ours() && right.is_ours() && pcr1(left) != pcr1(right);
    if release {
        attributions.insert(0, Cause::EnclaveOs.shown_by("it names the kernel of EnclaveOS"));
    }
    Difference {
        layer: LayerName::Image.to_string(),
        path: METADATA.into(),
        status: Status::Changed,
        left: left.facts(SectionKind::Metadata),
        right: right.facts(SectionKind::Metadata),
        aspects: vec![Aspect::Content],
        not_looked_into: None,
        attributions,
        unexplained: !release && !content.complete,
        content: Some(content),
    }
}

/// The sections of an enclave image.
struct Sections<'s> {
    side: &'s Side,
    image: &'s Image,
    digests: &'s [Sha256Digest],
}

impl<'s> Sections<'s> {
    fn of(side: &'s Side) -> Option<Self> {
        match side.facts() {
            Facts::Eif { image, sections } => Some(Self { side, image, digests: sections }),
            _ => None,
        }
    }

    fn is_ours(&self) -> bool {
        self.side.layers().iter().any(|layer| layer.name == LayerName::EnclaveOs)
    }

    fn digest(&self, kind: SectionKind) -> Option<Sha256Digest> {
        let index = self.image.sections.iter().position(|section| section.kind == kind)?;
        self.digests.get(index).copied()
    }

    fn facts(&self, kind: SectionKind) -> Option<EntryFacts> {
        let section = self.image.sections_of(kind).next()?;
        Some(EntryFacts {
            kind: KindName::Section,
            size: Some(section.size),
            sha256: self.digest(kind).map(|digest| digest.to_string()),
            mode: None,
            owner: None,
            target: None,
            written_by: None,
        })
    }

    /// The kernel; `None` where it is too large to look into or cannot be read again.
    fn kernel(&self) -> Option<Vec<u8>> {
        let section = self.image.sections_of(SectionKind::Kernel).next()?;
        if section.size > MOST_KERNEL_BYTES {
            return None;
        }
        let mut file = File::open(self.side.path()).ok()?;
        file.seek(SeekFrom::Start(section.data_offset)).ok()?;
        let mut bytes = Vec::new();
        file.take(section.size).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

fn difference(
    name: &str,
    left: &Sections<'_>,
    right: &Sections<'_>,
    kind: SectionKind,
    content: Option<Explanation>,
) -> Difference {
    let mut content = content;
    let mut attributions =
        content.as_mut().map(|content| std::mem::take(&mut content.attributions)).unwrap_or_default();
    // An image that others made has a kernel of theirs.
    let ours = left.is_ours() && right.is_ours();
    if ours {
        let pcr1 = |sections: &Sections<'_>| sections.image.measurements.pcr1.abbreviated();
        let evidence = format!("the {name} is part of EnclaveOS: PCR1 {} → {}", pcr1(left), pcr1(right));
        attributions.insert(0, Cause::EnclaveOs.shown_by(evidence));
    }
    let layer = if ours { LayerName::EnclaveOs } else { LayerName::Image };
    Difference {
        layer: layer.to_string(),
        path: name.into(),
        status: Status::Changed,
        left: left.facts(kind),
        right: right.facts(kind),
        aspects: vec![Aspect::Content],
        not_looked_into: content.is_none().then_some("more content than is looked into"),
        unexplained: !ours && content.as_ref().is_none_or(|content| !content.complete),
        content,
        attributions,
    }
}

/// What the section is called in reports.
pub(super) const METADATA: &str = "metadata";
/// The largest kernel that is looked into, in bytes.
const MOST_KERNEL_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::{DiffLimits, compare};
    use crate::side::Side;
    use crate::testing::{Archive, gzip};
    use caution_rootfs::Limits;
    use std::path::Path;

    fn image(folder: &Path, kernel: &str, version: &str) -> Side {
        let file = std::io::Cursor::new(Vec::new());
        let mut writer = caution_eif::Writer::new(file, caution_eif::HeaderOptions::default()).unwrap();
        writer.kernel(kernel.as_bytes()).unwrap();
        writer.cmdline(kernel).unwrap();
        writer.metadata(&caution_eif::Metadata::new(version)).unwrap();
        writer.ramdisk(&gzip(&Archive::new().file("init", "x").end())[..]).unwrap();
        let path = folder.join(format!("{kernel}-{version}"));
        std::fs::write(&path, writer.finish().unwrap().0.into_inner()).unwrap();
        Side::open(&path, &Limits::default(), folder).unwrap()
    }

    #[test]
    fn metadata_is_compared_though_no_register_covers_it() {
        let folder = tempfile::tempdir().unwrap();
        let [left, right] = ["6.12.1", "6.12.2"].map(|version| image(folder.path(), "one", version));
        let comparison = compare(&left, &right, &DiffLimits::default(), folder.path()).unwrap();
        assert!(!comparison.is_same() && comparison.registers == Some(Vec::new()), "{comparison:?}");
        let [difference] = &comparison.differences[..] else { panic!("one differs: {comparison:?}") };
        assert!(difference.path == "metadata" && difference.unexplained, "{difference:?}");
        let text = comparison.to_text(5);
        assert!(text.contains("metadata  content · a note that no register covers\n"), "{text}");
        assert!(text.contains("6.12.2"), "{text}");
        assert!(compare(&left, &left, &DiffLimits::default(), folder.path()).unwrap().is_same());
    }

    #[test]
    fn the_kernel_of_others_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let image = |kernel: &str| image(folder.path(), kernel, "6.12.1");
        let (left, right) = (image("one"), image("two"));
        let comparison = compare(&left, &right, &DiffLimits::default(), folder.path()).unwrap();
        let paths: Vec<&str> = comparison.differences.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["command line", "kernel"]);
        for difference in &comparison.differences {
            assert!(difference.attributions.is_empty() && difference.unexplained, "{difference:?}");
            assert_eq!(difference.layer, "image");
        }
    }
}
