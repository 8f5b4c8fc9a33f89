//! Contents that were asked for, kept in a nameless file until they are compared.

use crate::side::{Place, Side, SideError};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Contents of one side.
pub(super) struct Spool {
    file: File,
    /// Where each begins, and how long it is.
    spans: HashMap<Place, (u64, u64)>,
}

impl Spool {
    pub(super) fn fill(side: &Side, places: &[Place], scratch: &Path) -> Result<Self, SideError> {
        let failed = |source| SideError::Scratch { path: scratch.to_owned(), source };
        let mut file = tempfile::tempfile_in(scratch).map_err(failed)?;
        let (mut spans, mut at) = (HashMap::new(), 0);
        side.contents(places, |place, content| -> Result<(), SideError> {
            let mut output = Output { file: &mut file, failed: None };
            let length = match (io::copy(content, &mut output), output.failed) {
                (_, Some(source)) => return Err(failed(source)),
                (Ok(length), None) => length,
                (Err(source), None) => return Err(SideError::Content { path: Vec::new(), source }),
            };
            spans.insert(place, (at, length));
            at += length;
            Ok(())
        })?;
        Ok(Self { file, spans })
    }

    /// The content that was at this place; `None` where it was not asked for.
    pub(super) fn read(&self, place: Place) -> Option<Vec<u8>> {
        let (at, length) = *self.spans.get(&place)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }
}

/// Tells a disk that is full from content that cannot be read.
struct Output<'f> {
    file: &'f mut File,
    failed: Option<io::Error>,
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
