//! The three registers of an image, computed while its sections pass by.

use crate::header::SectionKind;
use caution_measure::{Measurements, Pcr, PcrHasher};

/// Hashes sections into PCR0 to PCR2 in the order they stand in the file.
#[derive(Default)]
pub(crate) struct Measurer {
    image: PcrHasher,
    enclave_os: PcrHasher,
    application: PcrHasher,
    ramdisks: usize,
    covers: Covers,
}

/// Which registers the section at hand enters besides PCR0.
#[derive(Clone, Copy, Default)]
enum Covers {
    #[default]
    Nothing,
    EnclaveOs,
    Application,
}

impl Measurer {
    /// The next section begins.
    pub(crate) fn begin(&mut self, kind: SectionKind) {
        self.covers = match kind {
            SectionKind::Kernel | SectionKind::Cmdline => Covers::EnclaveOs,
            SectionKind::Ramdisk if self.ramdisks == 0 => Covers::EnclaveOs,
            SectionKind::Ramdisk => Covers::Application,
            SectionKind::Signature | SectionKind::Metadata => Covers::Nothing,
        };
        if kind == SectionKind::Ramdisk {
            self.ramdisks += 1;
        }
    }

    /// Content of the section at hand.
    pub(crate) fn update(&mut self, content: &[u8]) {
        let Self { image, enclave_os, application, covers, .. } = self;
        let second = match covers {
            Covers::Nothing => return,
            Covers::EnclaveOs => enclave_os,
            Covers::Application => application,
        };
        if content.len() < WORTH_A_THREAD {
            image.update(content);
            second.update(content);
            return;
        }
        // Hashing is nearly all the work of measuring, and the two chains do not depend on each other.
        std::thread::scope(|scope| {
            scope.spawn(|| image.update(content));
            second.update(content);
        });
    }

    /// PCR0 of what has passed.
    pub(crate) fn pcr0(&self) -> Pcr {
        self.image.clone().finish()
    }

    /// The registers.
    pub(crate) fn finish(self) -> Measurements {
        Measurements {
            pcr0: self.image.finish(),
            pcr1: self.enclave_os.finish(),
            pcr2: self.application.finish(),
        }
    }
}

/// Below this many bytes starting a thread costs more than it saves.
const WORTH_A_THREAD: usize = 128 * 1024;
