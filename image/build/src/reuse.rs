//! The store of a build: what is told about it, and how large it may get.

use crate::request::{Progress, Request};
use caution_rootfs::{Reuse, Store};

/// The most that a store holds when a build ends: 8 GiB of unpacked layers and compressed blocks.
pub const STORE_BYTES: u64 = 8 << 30;

/// The request's store. A build without one takes longer, and that is all.
pub(crate) fn open(request: &Request<'_>) -> Option<Store> {
    let folder = request.store?;
    match Store::open(folder) {
        Ok(store) => Some(store),
        Err(error) => {
            (request.progress)(Progress::Note(&format!(
                "nothing is kept for the next build: {} cannot be used: {error}",
                folder.display()
            )));
            None
        }
    }
}

/// Tells what was wrong with the store, brings it down to its size, and says what it was good for.
pub(crate) fn close(request: &Request<'_>, store: &Store) -> Reuse {
    let note = |line: String| (request.progress)(Progress::Note(&line));
    let reuse = store.reuse();
    if reuse.damaged > 0 {
        note(format!("{} files kept by earlier builds were damaged, and made again", reuse.damaged));
    }
    if let Some(error) = store.take_trouble() {
        note(format!("not everything is kept for the next build: {error}"));
    }
    if let Err(error) = store.trim(STORE_BYTES) {
        note(format!("what earlier builds kept cannot be cleared up: {error}"));
    }
    reuse
}

/// How many compressed layers were there already, where there are any.
pub(crate) fn layers(reuse: &Reuse) -> Option<String> {
    let all = reuse.layers_ready + reuse.layers_unpacked;
    (all > 0).then(|| format!(" · {} of {all} compressed layers were ready", reuse.layers_ready))
}

/// How much of the image was there already, where anything was.
pub(crate) fn share(reuse: &Reuse) -> Option<String> {
    let all = reuse.bytes_ready + reuse.bytes_compressed;
    let percent = reuse.bytes_ready.saturating_mul(100).checked_div(all)?;
    (percent > 0).then(|| format!(" · {percent} % of the bytes were ready"))
}
