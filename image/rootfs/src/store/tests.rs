use super::*;
use crate::cpio::Output as _;
use crate::gzip::GzipWriter;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Three blocks worth keeping, and one that is not.
fn content() -> Vec<Vec<u8>> {
    let text = |word: &str, length: usize| word.repeat(length / word.len()).into_bytes();
    vec![text("one ", 1 << 20), text("two ", 100_000), b"small".to_vec(), text("three ", 1_000_000)]
}

fn compressed(store: Option<&Store>) -> Vec<u8> {
    let mut writer = GzipWriter::with_store(Vec::new(), store).unwrap();
    for block in content() {
        writer.write_all(&block).unwrap();
        writer.boundary().unwrap();
    }
    writer.finish().unwrap()
}

/// What a new build finds, and what comes of it.
fn again(folder: &Path) -> (Vec<u8>, Reuse) {
    let store = Store::open(folder).unwrap();
    let gzip = compressed(Some(&store));
    (gzip, store.reuse())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    list(folder, &mut files).unwrap();
    let mut files: Vec<PathBuf> = files.into_iter().map(|kept| kept.path).collect();
    files.sort();
    files
}

#[test]
fn a_store_changes_no_byte_and_no_block_is_compressed_twice() {
    let expected = compressed(None);
    let folder = tempfile::tempdir().unwrap();
    for (ready, compressed) in [(0, 4), (3, 1)] {
        let (gzip, reuse) = again(folder.path());
        assert!(gzip == expected);
        assert_eq!((reuse.blocks_ready, reuse.blocks_compressed), (ready, compressed));
        let all = content().concat().len() as u64;
        assert_eq!(reuse.bytes_ready + reuse.bytes_compressed, all);
    }
    assert!(files(&folder.path().join(INCOMING)).is_empty());
}

#[test]
fn damaged_blocks_are_noticed_and_made_again() {
    let expected = compressed(None);
    let folder = tempfile::tempdir().unwrap();
    again(folder.path());
    let blocks = files(&folder.path().join(BLOCKS));
    assert_eq!(blocks.len(), 3);
    // Of digest, CRC, length and content, one bit.
    for at in [0, 32, 36, 60] {
        for block in &blocks {
            let mut bytes = fs::read(block).unwrap();
            bytes[at] ^= 1;
            fs::write(block, bytes).unwrap();
        }
        let (gzip, reuse) = again(folder.path());
        assert!(gzip == expected, "{at}");
        assert_eq!((reuse.damaged, reuse.blocks_compressed), (3, 4), "{at}");
    }
    // A part of a file, an empty one, and another block's.
    fs::write(&blocks[0], &fs::read(&blocks[0]).unwrap()[..50]).unwrap();
    fs::write(&blocks[1], b"").unwrap();
    fs::copy(&blocks[0], &blocks[2]).unwrap();
    let (gzip, reuse) = again(folder.path());
    assert!(gzip == expected);
    assert_eq!((reuse.damaged, again(folder.path()).1.damaged), (3, 0));
}

/// Nothing waits for a pipe, follows a link or stumbles over a folder, now or at the next build.
#[test]
fn what_is_no_file_is_removed_and_made_again() {
    let expected = compressed(None);
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    elsewhere.as_file().set_modified(std::time::UNIX_EPOCH).unwrap();
    again(folder.path());
    let blocks = files(&folder.path().join(BLOCKS));
    for block in &blocks {
        fs::remove_file(block).unwrap();
    }
    let pipe = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    pipe(&blocks[0]);
    std::os::unix::fs::symlink(elsewhere.path(), &blocks[1]).unwrap();
    fs::create_dir(&blocks[2]).unwrap();
    fs::write(blocks[2].join("inside"), b"").unwrap();
    pipe(&folder.path().join(INCOMING).join("pipe"));
    let (gzip, reuse) = again(folder.path());
    assert!(gzip == expected);
    assert_eq!((reuse.damaged, again(folder.path()).1.blocks_ready), (3, 3));
    assert_eq!(elsewhere.as_file().metadata().unwrap().modified().unwrap(), std::time::UNIX_EPOCH);
    Store::open(folder.path()).unwrap().trim(u64::MAX).unwrap();
    assert!(files(&folder.path().join(INCOMING)).is_empty());
}

/// The seal of a block holds for whoever wrote it.
#[test]
fn what_another_user_kept_is_not_used() {
    let expected = compressed(None);
    let folder = tempfile::tempdir().unwrap();
    again(folder.path());
    let mut store = Store::open(folder.path()).unwrap();
    Arc::get_mut(&mut store.0).unwrap().owner += 1;
    assert!(compressed(Some(&store)) == expected);
    let reuse = store.reuse();
    assert_eq!((reuse.blocks_ready, reuse.blocks_compressed, reuse.damaged), (0, 4, 0));
}

/// A file that says it has terabytes is not read to its end.
#[test]
fn a_kept_layer_longer_than_any_layer_may_be_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = Sha256Digest::of(b"layer");
    let file = File::create(store.layer_path(&digest)).unwrap();
    file.set_len(1 << 42).unwrap();
    assert!(store.layer(&digest, 5).is_none());
    fs::write(store.layer_path(&digest), b"layer").unwrap();
    assert!(store.layer(&digest, 5).is_some());
}

/// A killed process leaves what it was writing, and nothing under a final name.
#[test]
fn files_appear_whole_and_what_killed_builds_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (blocks, incoming) = (folder.path().join(BLOCKS), folder.path().join(INCOMING));
    let path = blocks.join("new");
    store.keep(&path, |file| {
        file.write_all(b"half")?;
        assert_eq!((files(&blocks).len(), files(&incoming).len()), (0, 1));
        // Another build ends meanwhile.
        store.trim(u64::MAX)?;
        assert_eq!(files(&incoming).len(), 1);
        file.write_all(b" and half")
    });
    assert_eq!(fs::read(&path).unwrap(), b"half and half");
    assert!(files(&incoming).is_empty());
    fs::write(incoming.join("left"), b"half").unwrap();
    store.trim(u64::MAX).unwrap();
    assert!(files(&incoming).is_empty() && path.exists());
}

#[test]
fn what_was_used_last_stays_and_what_is_open_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Sha256Digest::of(b"first"), Sha256Digest::of(b"second"));
    let keep = |digest: &Sha256Digest, content: &[u8], age: u64| {
        let store = Store::open(folder.path()).unwrap();
        fs::write(store.layer_path(digest), content).unwrap();
        let file = File::options().write(true).open(store.layer_path(digest)).unwrap();
        file.set_modified(store.0.opened - Duration::from_secs(age)).unwrap();
    };
    keep(&first, b"first", 200);
    keep(&second, b"second", 100);
    let store = Store::open(folder.path()).unwrap();
    let older = store.layer(&second, u64::MAX).unwrap();
    // Being read makes it the newer one.
    let used = store.layer(&first, u64::MAX).unwrap();
    fs::File::open(store.layer_path(&second)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    store.trim(5).unwrap();
    let reuse = store.reuse();
    assert!(store.layer(&first, u64::MAX).is_some() && store.layer(&second, u64::MAX).is_none());
    assert_eq!((reuse.layers_ready, reuse.damaged), (2, 0));
    let mut bytes = [0; 6];
    older.file().read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((&bytes, used.length()), (b"second", 5));
    store.trim(0).unwrap();
    assert!(files(&folder.path().join(LAYERS)).is_empty());
}

#[test]
fn a_store_that_keeps_no_more_still_has_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    again(folder.path());
    fs::remove_file(&files(&folder.path().join(BLOCKS))[0]).unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.keep_no_more(io::ErrorKind::StorageFull.into());
    compressed(Some(&store));
    assert_eq!((store.reuse().blocks_ready, files(&folder.path().join(BLOCKS)).len()), (2, 2));
}

/// A full disk, a folder of someone else: the image is made all the same.
#[test]
fn what_cannot_be_kept_stops_nothing() {
    let expected = compressed(None);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    fs::remove_dir(folder.path().join(INCOMING)).unwrap();
    assert!(compressed(Some(&store)) == expected);
    assert!(store.take_trouble().is_some_and(|error| error.kind() == io::ErrorKind::NotFound));
    assert!(files(&folder.path().join(BLOCKS)).is_empty());
    fs::write(folder.path().join("file"), b"").unwrap();
    assert!(Store::open(&folder.path().join("file")).is_err());
}
