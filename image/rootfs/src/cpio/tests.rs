use super::*;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

fn entry(path: &str, kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.into(), kind, mode, uid: 0, gid: 0 }
}

fn file(path: &str, size: u64) -> Entry {
    entry(path, EntryKind::File { size })
}

fn written(entries: &[(Entry, &[u8])]) -> Result<Vec<u8>, CpioError> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &content[..])?;
    }
    writer.finish()
}

/// One entry of every kind.
fn sample() -> Vec<(Entry, &'static [u8])> {
    let link = |path| entry(path, EntryKind::HardLink { group: 77, names: 3, size: 5 });
    vec![
        (entry("a", EntryKind::Directory), b""),
        (file("a-b", 0), b""),
        (link("a/hard1"), b"linked-not-read"),
        (Entry { mode: 0o4755, uid: 1000, gid: u32::MAX, ..file("a/setuid", 3) }, b"abc"),
        (entry("block", EntryKind::BlockDevice { major: 4095, minor: 0x000f_ffff }), b""),
        (entry("char", EntryKind::CharDevice { major: 1, minor: 3 }), b""),
        (entry("fifo", EntryKind::Fifo), b""),
        (link("hard2"), b""),
        (link("hard3"), b"12345"),
        (Entry { mode: 0o777, ..entry("link", EntryKind::Symlink(b"a/../\xff".to_vec())) }, b""),
        (Entry { path: b"name-\xff\n".to_vec(), ..file("", 1) }, b"x"),
    ]
}

#[test]
fn every_kind_reads_back_with_canonical_numbers() {
    let archive = written(&sample()).unwrap();
    assert_eq!(archive.len() % 512, 0);
    let mut reader = Reader::new(archive.as_slice());
    let mut inodes = Vec::new();
    let mut contents = Vec::new();
    for (expected, _) in sample() {
        let found = reader.next_entry().unwrap().unwrap();
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        assert_eq!(found.mtime, 0);
        match (&expected.kind, &found.entry.kind) {
            (EntryKind::HardLink { .. }, EntryKind::HardLink { group, names: 3, size }) => {
                assert_eq!((*group, *size), (found.inode.into(), content.len() as u64));
            }
            (wanted, kind) => assert_eq!(wanted, kind),
        }
        assert_eq!(
            (expected.path, expected.mode, expected.uid, expected.gid),
            (found.entry.path, found.entry.mode, found.entry.uid, found.entry.gid)
        );
        inodes.push(found.inode);
        contents.push(content);
    }
    assert_eq!(reader.next_entry().unwrap(), None);
    assert!(reader.finish().unwrap().is_empty());
    assert_eq!(inodes, [1, 2, 3, 4, 5, 6, 7, 3, 3, 8, 9]);
    assert_eq!(contents[2], b"", "only the last name carries the content");
    assert_eq!(contents[8], b"12345");
}

#[test]
fn headers_have_the_documented_bytes() {
    let archive = written(&[(Entry { mode: 0o600, uid: 1, gid: 2, ..file("ab", 2) }, b"hi")]).unwrap();
    let header = "070701000000010000818000000001000000020000000100000000000000020000000000000000\
                  0000000000000000000000030000000";
    let expected = [header.as_bytes(), b"0ab\0\0\0\0hi\0\0"].concat();
    assert_eq!(archive[..expected.len()].escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn refusals_are_named() {
    for path in ["", "/a", "a//b", "./a", "a/..", "a/", "TRAILER!!!", "a\0"] {
        assert!(matches!(written(&[(file(path, 0), b"")]), Err(CpioError::Path { .. })), "{path:?}");
    }
    let dir = (entry("d", EntryKind::Directory), &b""[..]);
    let order = [(file("b", 0), &b""[..]), (file("a", 0), b"")];
    assert!(matches!(written(&order), Err(CpioError::Order { .. })));
    assert!(matches!(written(&[dir.clone(), dir.clone()]), Err(CpioError::Order { .. })));
    assert!(matches!(written(&[(file("d/x", 0), b"")]), Err(CpioError::NoParent { .. })));
    assert!(matches!(written(&[(file("a", 2), b"1")]), Err(CpioError::ContentLength { .. })));
    assert!(matches!(written(&[(file("a", 0), b"1")]), Err(CpioError::ContentLength { .. })));
    let too_large = [
        file("a", 1 << 32),
        file(&"x".repeat(4096), 0),
        Entry { mode: 0o10000, ..file("a", 0) },
        entry("a", EntryKind::CharDevice { major: 4096, minor: 0 }),
        entry("a", EntryKind::BlockDevice { major: 0, minor: 1 << 20 }),
        entry("a", EntryKind::Symlink(vec![b'x'; 4096])),
    ];
    for bad in too_large {
        assert!(matches!(written(&[(bad, b"")]), Err(CpioError::TooLarge { .. })));
    }
    assert!(matches!(written(&[(entry("a", EntryKind::Symlink(vec![])), b"")]), Err(CpioError::Path { .. })));
    let link = |path, names, size| (entry(path, EntryKind::HardLink { group: 1, names, size }), &b"x"[..]);
    for links in [vec![link("a", 2, 1)], vec![link("a", 1, 1)], vec![link("a", 2, 1), link("b", 2, 2)]] {
        assert!(matches!(written(&links), Err(CpioError::HardLink { .. })));
    }
}

#[test]
fn broken_archives_are_refused_and_never_panic() {
    let archive = written(&sample()).unwrap();
    let read = |bytes: &[u8]| Reader::new(bytes).finish().map(drop);
    read(&archive).unwrap();
    let trailer = archive.windows(10).position(|w| w == TRAILER).unwrap();
    for end in 0..trailer + TRAILER.len() {
        assert!(matches!(read(&archive[..end]), Err(CpioError::Malformed { .. })), "cut at {end}");
    }
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0x20;
        // Whatever it says, it says it without panic and in bounded memory.
        drop(read(&changed));
    }
    let followed = [archive.as_slice(), b"x"].concat();
    assert!(matches!(read(&followed), Err(CpioError::Malformed { .. })));
}

#[test]
fn the_systems_cpio_reads_the_same() {
    let Ok(mut child) = Command::new("cpio")
        .args(["-itv", "--quiet", "--numeric-uid-gid"])
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("NOT TESTED: no `cpio` here (apt-get install cpio)");
        return;
    };
    child.stdin.take().unwrap().write_all(&written(&sample()).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let listing: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        listing,
        [
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 a",
            "-rw-r--r-- 1 0 0 0 Jan 1 1970 a-b",
            "-rw-r--r-- 3 0 0 0 Jan 1 1970 a/hard1",
            "-rwsr-xr-x 1 1000 4294967295 3 Jan 1 1970 a/setuid",
            "brw-r--r-- 1 0 0 4095, 1048575 Jan 1 1970 block",
            "crw-r--r-- 1 0 0 1, 3 Jan 1 1970 char",
            "prw-r--r-- 1 0 0 0 Jan 1 1970 fifo",
            "-rw-r--r-- 3 0 0 0 Jan 1 1970 hard2",
            "-rw-r--r-- 3 0 0 5 Jan 1 1970 hard3",
            "lrwxrwxrwx 1 0 0 6 Jan 1 1970 link -> a/../\u{fffd}",
            "-rw-r--r-- 1 0 0 1 Jan 1 1970 name-\u{fffd}",
            "",
        ]
    );
}

/// An output that remembers between which bytes it was told of boundaries.
#[derive(Default)]
struct Recorder(Vec<u8>, Vec<usize>);

impl io::Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Recorder {
    fn boundary(&mut self) -> io::Result<()> {
        self.1.push(self.0.len());
        Ok(())
    }
}

#[test]
fn large_files_have_blocks_of_their_own() {
    let large = usize::try_from(OWN_BLOCKS).unwrap();
    let mut writer = Writer::new(Recorder::default());
    for (name, size) in [("a", 5), ("b", large - 1), ("c", large), ("d", large + 7)] {
        writer.append(&file(name, size as u64), &mut vec![b'x'; size].as_slice()).unwrap();
    }
    let Recorder(archive, boundaries) = writer.finish().unwrap();
    let lengths: Vec<usize> = boundaries.chunks(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(lengths, [large, large + 7]);
    for pair in boundaries.chunks(2) {
        assert!(archive[pair[0]..pair[1]].iter().all(|byte| *byte == b'x'));
    }
}
