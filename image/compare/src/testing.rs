//! Archives and images for tests, odd ones too: nothing here refuses a path.

use caution_eif::{HeaderOptions, Writer};
use caution_measure::Sha256Digest;
use std::io::{Cursor, Write as _};

/// An archive of the newc form, entry by entry.
#[derive(Default)]
pub(crate) struct Archive(Vec<u8>, u32);

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.raw(path, 0o100_644, 1, content)
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.raw(path, 0o040_755, 2, "")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(path, 0o120_777, 1, target)
    }

    /// One name of the file with inode 7.
    pub(crate) fn hard_link(mut self, path: &str, content: &str) -> Self {
        let count = std::mem::replace(&mut self.1, 6);
        let mut archive = self.raw(path, 0o100_644, 2, content);
        archive.1 = count;
        archive
    }

    pub(crate) fn raw(self, path: &str, mode: u32, links: u32, content: &str) -> Self {
        self.header(b"070701", (path, mode, links, 0), content)
    }

    /// A file with a checksum in its header.
    pub(crate) fn checked(self, path: &str, sum: u32, content: &str) -> Self {
        self.header(b"070702", (path, 0o100_644, 1, sum), content)
    }

    fn header(
        mut self,
        magic: &[u8],
        (path, mode, links, check): (&str, u32, u32, u32),
        content: &str,
    ) -> Self {
        self.1 += 1;
        self.0.extend_from_slice(magic);
        let length = |text: &str| u32::try_from(text.len()).unwrap();
        let fields =
            [self.1, mode, 1000, 100, links, 86400, length(content), 0, 0, 1, 3, length(path) + 1, check];
        for field in fields {
            write!(self.0, "{field:08X}").unwrap();
        }
        for text in [&format!("{path}\0"), content] {
            self.0.extend_from_slice(text.as_bytes());
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.raw("TRAILER!!!", 0, 1, "").0
    }

    /// Without the entry that ends it.
    pub(crate) fn unended(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
    let mut out = 0x184c_2102_u32.to_le_bytes().to_vec();
    for block in bytes.chunks(8 << 20) {
        let packed = lz4_flex::block::compress(block);
        out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An enclave image with these ramdisks.
pub(crate) fn eif(ramdisks: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).unwrap();
    writer.kernel(&b"kernel"[..]).unwrap();
    writer.cmdline("reboot=k").unwrap();
    writer.metadata(&caution_eif::Metadata::new("6.12.1")).unwrap();
    for ramdisk in ramdisks {
        writer.ramdisk(*ramdisk).unwrap();
    }
    writer.finish().unwrap().0.into_inner()
}

/// An error and its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(" / ")
}

/// What `docker save` wrote before it knew layouts: an image of one layer with these files.
pub(crate) fn container(files: &[(&str, &str)]) -> Vec<u8> {
    container_with(files, "{}")
}

/// The same with what says how it is started.
pub(crate) fn container_with(files: &[(&str, &str)], started: &str) -> Vec<u8> {
    container_of(&[files], started, "[]")
}

/// One of several layers, with its history.
pub(crate) fn container_of(layers: &[&[(&str, &str)]], started: &str, history: &str) -> Vec<u8> {
    let archive = |files: &[(&str, &[u8])]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o640);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let bytes = |files: &&[(&str, &str)]| {
        archive(&files.iter().map(|(name, text)| (*name, text.as_bytes())).collect::<Vec<_>>())
    };
    let layers: Vec<(String, Vec<u8>)> =
        layers.iter().enumerate().map(|(index, files)| (format!("{index}.tar"), bytes(files))).collect();
    let diff_ids: Vec<String> =
        layers.iter().map(|(_, layer)| format!("\"sha256:{}\"", Sha256Digest::of(layer))).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{started},"history":{history},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let names: Vec<String> = layers.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let manifest = format!(r#"[{{"Config":"config.json","Layers":[{}]}}]"#, names.join(","));
    let mut files = vec![("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())];
    files.extend(layers.iter().map(|(name, layer)| (name.as_str(), layer.as_slice())));
    archive(&files)
}
