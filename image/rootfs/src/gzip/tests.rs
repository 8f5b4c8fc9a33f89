use super::*;
use caution_measure::Sha256Digest;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// Text, noise and zeros from a fixed generator: 2.5 blocks.
fn sample() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut out = Vec::with_capacity(BLOCK * 5 / 2);
    while out.len() < BLOCK * 5 / 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match out.len() / (BLOCK / 4) % 3 {
            0 => out.extend_from_slice(format!("word{} ", state % 500).as_bytes()),
            1 => out.extend_from_slice(&state.to_le_bytes()),
            _ => out.extend_from_slice(&[0; 8]),
        }
    }
    out
}

fn compressed(input: &[u8], threads: usize, piece: usize) -> Vec<u8> {
    let mut writer = GzipWriter::with_threads(Vec::new(), threads, None).unwrap();
    for piece in input.chunks(piece) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // One member: `GzDecoder` stops after the first, so anything behind it would be left over.
    let mut decoder = flate2::bufread::GzDecoder::new(gzip);
    decoder.read_to_end(&mut out).unwrap();
    assert!(decoder.into_inner().is_empty(), "more than one member");
    out
}

#[test]
fn bytes_depend_on_the_input_alone() {
    let input = sample();
    let expected = compressed(&input, 1, input.len());
    assert_eq!(unpacked(&expected), input);
    for (threads, piece) in [(0, 1000), (2, input.len()), (3, 4097), (8, BLOCK)] {
        assert!(compressed(&input, threads, piece) == expected, "{threads} threads, pieces of {piece}");
    }
}

#[test]
fn the_golden_bytes_have_not_moved() {
    // When this fails the PCRs of every image change: do not correct it, find out what moved.
    let digest = Sha256Digest::of(&compressed(&sample(), 2, BLOCK)).to_string();
    assert_eq!(digest, ENCODER);
}

#[test]
fn block_boundaries_and_nothing_at_all() {
    let input = sample();
    for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
        let gzip = compressed(&input[..length], 2, 64 * 1024);
        assert_eq!(gzip[..10], HEADER);
        assert!(unpacked(&gzip) == input[..length], "{length}");
    }
    assert_eq!(compressed(&[], 1, 1).len(), 20);
}

/// What is inserted before a boundary changes no block behind it.
#[test]
fn blocks_behind_a_boundary_do_not_depend_on_what_comes_before_it() {
    let large = &sample()[..BLOCK * 3 / 2];
    let gzip = |before: &[u8]| {
        let mut writer = GzipWriter::with_threads(Vec::new(), 2, None).unwrap();
        writer.write_all(before).unwrap();
        // Twice, at the start and with nothing between: there are no empty blocks.
        writer.boundary().unwrap();
        writer.boundary().unwrap();
        writer.write_all(large).unwrap();
        writer.boundary().unwrap();
        writer.finish().unwrap()
    };
    let alone = gzip(b"");
    assert!(alone == compressed(large, 1, large.len()), "a boundary at the start or the end changes bytes");
    let shifted = gzip(b"something");
    assert!(unpacked(&shifted) == [b"something", large].concat());
    let blocks = &alone[HEADER.len()..alone.len() - 8];
    assert!(shifted[..shifted.len() - 8].ends_with(blocks));
}

#[test]
fn noise_grows_by_little() {
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(BLOCK + 5)
    .collect();
    let gzip = compressed(&noise, 1, BLOCK);
    assert!(unpacked(&gzip) == noise && gzip.len() < noise.len() + noise.len() / 100, "{}", gzip.len());
}

#[test]
fn zcat_unpacks_it() {
    let Ok(mut child) = Command::new("zcat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("NOT TESTED: no `zcat` here (apt-get install gzip)");
        return;
    };
    let input = sample();
    let gzip = compressed(&input, 2, BLOCK);
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&gzip));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success() && output.stdout == input);
}

#[test]
fn a_failing_output_is_an_error_and_leaves_no_thread() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = GzipWriter::with_threads(Full(100), 2, None).unwrap();
    let input = sample();
    let result = (0..8).try_for_each(|_| writer.write_all(&input)).and_then(|()| writer.finish().map(drop));
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
}
