//! The store of a build: what is told about it, and how large it may get.

use crate::request::{Progress, Request};
use crate::size::human_size;
use caution_rootfs::{Reuse, Store};
use std::io;
use std::path::Path;

/// The most that a store holds when a build ends: 8 GiB of unpacked layers and compressed blocks.
pub const STORE_BYTES: u64 = 8 << 30;

/// Where less than this is free, 2 GiB, nothing is added to a store: the image itself needs that room more.
pub const STORE_LEAVES_FREE: u64 = 2 << 30;

/// The request's store, brought down to its size: a build that failed did not do that. A build without one takes longer, and that is all.
pub(crate) fn open(request: &Request<'_>) -> Option<Store> {
    let folder = request.store?;
    match Store::open(folder) {
        Ok(store) => {
            trim(request, &store);
            if let Some(why) = free_bytes(folder).and_then(scarce) {
                store.keep_no_more(why);
            }
            Some(store)
        }
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
    trim(request, store);
    reuse
}

fn trim(request: &Request<'_>, store: &Store) {
    if let Err(error) = store.trim(STORE_BYTES) {
        let line = format!("what earlier builds kept cannot be cleared up: {error}");
        (request.progress)(Progress::Note(&line));
    }
}

/// Bytes that this user may still write beside a folder, where that can be told.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// Why nothing is kept on a disk with so many free bytes.
fn scarce(free: u64) -> Option<io::Error> {
    let why = format!("its disk has {} left, less than {}", human_size(free), human_size(STORE_LEAVES_FREE));
    (free < STORE_LEAVES_FREE).then(|| io::Error::new(io::ErrorKind::StorageFull, why))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_leaves_room_for_the_image() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert!(scarce(STORE_LEAVES_FREE).is_none());
        let why = scarce(3 << 20).expect("is scarce").to_string();
        assert_eq!(why, "its disk has 3.0 MiB left, less than 2.0 GiB");
    }
}
