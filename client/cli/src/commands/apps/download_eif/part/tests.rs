use super::*;
use caution_measure::{Measurements, Pcr};
use std::cell::Cell;

/// A source that breaks off after so many bytes a time.
struct Source {
    claim: Claim,
    bytes: Vec<u8>,
    breaks_after: usize,
    asked_from: Cell<u64>,
}

impl Source {
    fn of(bytes: &[u8]) -> Self {
        let measurements = Measurements { pcr0: Pcr::ZERO, pcr1: Pcr::ZERO, pcr2: Pcr::ZERO };
        let claim = Claim {
            id: "0123abcd".to_owned(),
            name: "app".to_owned(),
            size: bytes.len() as u64,
            sha256: Sha256Digest::of(bytes),
            measurements,
            attestation_url: None,
        };
        Self { claim, bytes: bytes.to_vec(), breaks_after: usize::MAX, asked_from: Cell::new(u64::MAX) }
    }

    /// Downloads to `target`, as a command of its own would.
    fn download(&self, target: &Path) -> Result<Beginning, CliError> {
        let (mut part, beginning) = Part::open(target, &self.claim)?;
        part.fetch(self, &mut |_| {})?;
        part.finish(false)?;
        Ok(beginning)
    }
}

impl DeployedImage for Source {
    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn read_from(&self, offset: u64) -> io::Result<Box<dyn io::Read + '_>> {
        self.asked_from.set(offset);
        let rest = &self.bytes[usize::try_from(offset).unwrap()..];
        let broken = io::Read::chain(
            &rest[..rest.len().min(self.breaks_after)],
            Broken(rest.len() > self.breaks_after),
        );
        Ok(Box::new(broken))
    }
}

struct Broken(bool);

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if self.0 { Err(io::Error::other("the line is dead")) } else { Ok(0) }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    let mut source = Source { breaks_after: 3, ..Source::of(b"0123456789") };
    let error = source.download(&target).unwrap_err();
    assert_eq!((error.causes, error.hint.unwrap().as_str()), (vec!["the line is dead".to_owned()], GOES_ON));
    assert_eq!(names(folder.path()), ["app.eif.part", "app.eif.part.json"]);
    source.breaks_after = usize::MAX;
    assert_eq!(source.download(&target).unwrap(), Beginning::Resumed(3));
    assert_eq!(source.asked_from.get(), 3);
    assert_eq!(names(folder.path()), ["app.eif"]);
    assert_eq!(fs::read(&target).unwrap(), b"0123456789");
}

#[test]
fn what_is_of_another_image_or_of_none_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    let part = beside(&target, ".part");
    let source = Source::of(b"0123456789");
    // Another image; bytes that nobody says anything about; more bytes than the image has.
    for prepare in [
        &(|| drop(Source { breaks_after: 3, ..Source::of(b"abcdefghij") }.download(&target).unwrap_err()))
            as &dyn Fn(),
        &|| fs::write(&part, "012").unwrap(),
        &|| {
            drop(Source { breaks_after: 3, ..Source::of(b"0123456789") }.download(&target).unwrap_err());
            fs::write(&part, "0123456789 and more").unwrap();
        },
    ] {
        prepare();
        assert_eq!(source.download(&target).unwrap(), Beginning::Anew);
        assert_eq!(source.asked_from.get(), 0);
        assert_eq!(fs::read(&target).unwrap(), b"0123456789");
        fs::remove_file(&target).unwrap();
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn too_few_and_too_many_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    let mut source = Source::of(b"0123456789");
    source.bytes.push(b'X');
    assert!(source.download(&target).unwrap_err().message.contains("more than the 10 bytes"));
    source.bytes.truncate(9);
    assert!(source.download(&target).unwrap_err().message.contains("after 9 of 10 bytes"));
    source.bytes.push(b'9');
    assert_eq!(source.download(&target).unwrap(), Beginning::Resumed(9));
}

#[test]
fn one_download_at_a_time_writes_to_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    let source = Source::of(b"0123456789");
    let (first, _) = Part::open(&target, &source.claim).unwrap();
    let second = source.download(&target).unwrap_err();
    assert!(second.message.starts_with("Another download writes to "), "{}", second.message);
    drop(first);
    assert_eq!(source.download(&target).unwrap(), Beginning::New);
}

#[test]
fn a_file_that_came_meanwhile_stays_and_so_does_the_download() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    fs::write(&target, "mine").unwrap();
    let source = Source::of(b"0123456789");
    let error = source.download(&target).unwrap_err();
    assert!(error.message.ends_with("app.eif exists."), "{}", error.message);
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    let (part, beginning) = Part::open(&target, &source.claim).unwrap();
    assert_eq!(beginning, Beginning::Resumed(10));
    part.finish(true).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"0123456789");
    assert_eq!(names(folder.path()), ["app.eif"]);
}

#[test]
fn a_link_in_the_place_of_the_download_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("app.eif");
    let other = folder.path().join("other");
    fs::write(&other, "mine").unwrap();
    std::os::unix::fs::symlink(&other, beside(&target, ".part")).unwrap();
    let error = Source::of(b"0123456789").download(&target).unwrap_err();
    assert!(error.message.ends_with("app.eif.part is not a file."), "{}", error.message);
    assert_eq!(fs::read(&other).unwrap(), b"mine");
}

#[test]
fn a_full_disk_says_what_to_do() {
    let error = not_written(Path::new("app.eif.part"), &ErrorKind::StorageFull.into());
    assert_eq!(error.hint.unwrap(), format!("make room for it, then: {GOES_ON}"));
}
