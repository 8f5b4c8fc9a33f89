//! What an enclave image holds besides files: registers, kernel, command line.

use super::{Aspect, Difference, EntryFacts, RegisterDifference, Status};
use crate::cause::Cause;
use crate::content::{self, Change, Explanation};
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

/// Kernel and command line, where they differ.
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
            complete: true,
        };
        found.push(difference("command line", &l, &r, SectionKind::Cmdline, Some(explanation)));
    }
    if l.digest(SectionKind::Kernel) != r.digest(SectionKind::Kernel) {
        let explanation =
            l.kernel().zip(r.kernel()).map(|(left, right)| content::compare(b"kernel", &left, &right));
        found.push(difference("kernel", &l, &r, SectionKind::Kernel, explanation));
    }
    found
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

    fn digest(&self, kind: SectionKind) -> Option<Sha256Digest> {
        let index = self.image.sections.iter().position(|section| section.kind == kind)?;
        self.digests.get(index).copied()
    }

    fn facts(&self, kind: SectionKind) -> Option<EntryFacts> {
        let section = self.image.sections_of(kind).next()?;
        Some(EntryFacts {
            kind: "section",
            size: Some(section.size),
            sha256: self.digest(kind).map(|digest| digest.to_string()),
            mode: None,
            owner: None,
            target: None,
        })
    }

    /// The kernel; `None` where it is too large to look into or cannot be read again.
    fn kernel(&self) -> Option<Vec<u8>> {
        let section = self.image.sections_of(SectionKind::Kernel).next()?;
        if section.size > MOST_KERNEL_BYTES {
            return None;
        }
        let mut file = File::open(self.side.path()).ok()?;
        file.seek(SeekFrom::Start(section.offset)).ok()?;
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
    let pcr1 = |sections: &Sections<'_>| sections.image.measurements.pcr1.abbreviated();
    let evidence = format!("the {name} is part of EnclaveOS: PCR1 {} → {}", pcr1(left), pcr1(right));
    let mut attributions = vec![Cause::EnclaveOs.shown_by(evidence)];
    let mut content = content;
    if let Some(content) = &mut content {
        attributions.append(&mut content.attributions);
    }
    Difference {
        layer: LayerName::EnclaveOs.to_string(),
        path: name.into(),
        status: Status::Changed,
        left: left.facts(kind),
        right: right.facts(kind),
        aspects: vec![Aspect::Content],
        not_looked_into: content.is_none().then_some("more content than is looked into"),
        content,
        attributions,
        unexplained: false,
    }
}

/// The largest kernel that is looked into, in bytes.
const MOST_KERNEL_BYTES: u64 = 64 << 20;
