//! The three registers of an image, computed while its sections pass by.

use crate::header::SectionKind;
use caution_measure::{Measurements, Pcr, PcrHasher};

/// The numbers of the registers that a section enters, given how many ramdisks stand before it.
pub(crate) const fn registers(kind: SectionKind, ramdisks_before: usize) -> &'static [u8] {
    match (kind, ramdisks_before) {
        (SectionKind::Kernel | SectionKind::Cmdline, _) | (SectionKind::Ramdisk, 0) => &[0, 1],
        (SectionKind::Ramdisk, _) => &[0, 2],
        (SectionKind::Signature, _) => &[8],
        (SectionKind::Metadata, _) => &[],
    }
}

/// Hashes sections into PCR0 to PCR2 in the order they stand in the file.
#[derive(Default)]
pub(crate) struct Measurer {
    image: PcrHasher,
    /// PCR1, as soon as a second ramdisk makes PCR0 go on without it: up to there both see the same bytes.
    enclave_os: Option<PcrHasher>,
    application: PcrHasher,
    ramdisks: usize,
    covers: &'static [u8],
}

impl Measurer {
    /// The next section begins.
    pub(crate) fn begin(&mut self, kind: SectionKind) {
        self.covers = registers(kind, self.ramdisks);
        if kind == SectionKind::Ramdisk {
            if self.ramdisks == 1 {
                self.enclave_os = Some(self.image.clone());
            }
            self.ramdisks += 1;
        }
    }

    /// Content of the section at hand; `beside` is done at the same time, on this thread.
    pub(crate) fn update(&mut self, content: &[u8], beside: impl FnOnce()) {
        let Self { image, application, covers, .. } = self;
        let (in_image, in_application) = (covers.contains(&0), covers.contains(&2));
        if content.len() < WORTH_A_THREAD || !in_image {
            beside();
            if in_image {
                image.update(content);
            }
            if in_application {
                application.update(content);
            }
            return;
        }
        // Hashing is nearly all the work of measuring, and the two chains do not depend on each other.
        std::thread::scope(|scope| {
            scope.spawn(|| image.update(content));
            beside();
            if in_application {
                application.update(content);
            }
        });
    }

    /// PCR0 of what has passed.
    pub(crate) fn pcr0(&self) -> Pcr {
        self.image.clone().finish()
    }

    /// The registers.
    pub(crate) fn finish(self) -> Measurements {
        let pcr0 = self.image.finish();
        let pcr1 = self.enclave_os.map_or(pcr0, PcrHasher::finish);
        Measurements { pcr0, pcr1, pcr2: self.application.finish() }
    }
}

/// Below this many bytes starting a thread costs more than it saves.
const WORTH_A_THREAD: usize = 128 * 1024;
