//! Records: a request sealed, and a response that somebody on the way may have changed, opened.

use super::handshakes::Pair;
use super::{Answer, cut, hex, pieces};
use crate::agreement::changes::meddled;
use crate::agreement::random::Random;
use caution_steve::{Beginning, Kind, Opener, RecordError, Sealer};
use serde::Serialize;

/// One exchange. Bytes are hex digits.
#[derive(Serialize)]
pub(super) struct Records {
    suite: &'static str,
    header: String,
    /// What the client seals.
    seal: Vec<Sealed>,
    /// What comes back, and in which pieces.
    stream: String,
    pieces: Vec<usize>,
}

#[derive(Serialize)]
struct Sealed {
    #[serde(rename = "type")]
    kind: u8,
    content: String,
    bucket: usize,
    last: bool,
}

/// The next exchange of a session.
pub(super) fn play(pair: &mut Pair, random: &mut Random) -> (Records, Answer) {
    let suite = pair.client.session().suite().name();
    let (header, sealer, opener) = pair.client.exchange().expect("far from the last exchange");
    let (seal, request) = sealed(sealer, random);
    let fixed = header.clone().try_into().expect("a header has 25 bytes");
    let pending = pair.server.exchange(&fixed).expect("our own header");
    let whole: Vec<u8> = request.concat();
    let Ok(Beginning::Begun(begun)) = pending.feed(&mut pair.server, &whole, true) else {
        unreachable!("the first record is whole")
    };
    let (_, response) = sealed(begun.sealer, random);
    let stream = if random.one_in(40) { whole.clone() } else { changed(response, random) };
    let pieces = pieces(stream.len(), random);
    let answer = opened(opener, &whole, &stream, &pieces);
    (Records { suite, header: hex(&header), seal, stream: hex(&stream), pieces }, answer)
}

/// Some records, and the bytes of each.
fn sealed(mut sealer: Sealer, random: &mut Random) -> (Vec<Sealed>, Vec<Vec<u8>>) {
    let most = sealer.max_content();
    let (count, mut asked, mut chunks) = (1 + random.below(5), Vec::new(), Vec::new());
    for at in 0..count {
        let length = match random.below(96) {
            0 => most,
            1 => most - 1,
            2..=9 => random.below(2000),
            _ => random.below(80),
        };
        let byte = random.pick(&[0, 0, 1, 0xff]);
        let content = vec![byte; length];
        let bucket = if random.one_in(60) { 70_000 } else { random.pick(&[0, 1, 1, 256, 512]) };
        let byte = random.pick(KINDS);
        let kind = Kind::from_byte(byte).expect("these are known");
        let last = at + 1 == count && !random.one_in(8);
        let mut chunk = Vec::new();
        sealer.pad_to(bucket);
        sealer.seal(kind, &content, last, &mut chunk);
        chunks.push(chunk);
        asked.push(Sealed { kind: byte, content: hex(&content), bucket, last });
    }
    (asked, chunks)
}

/// The stream, as it was made or not.
fn changed(mut chunks: Vec<Vec<u8>>, random: &mut Random) -> Vec<u8> {
    let (from, to) = (random.below(chunks.len()), random.below(chunks.len()));
    match random.below(10) {
        0 => drop(chunks.remove(from)),
        1 => chunks.swap(from, to),
        2 => chunks.insert(from, chunks[to].clone()),
        3 => {
            let mut stream = chunks.concat();
            stream.truncate(random.below(stream.len()));
            return stream;
        }
        4 => chunks.push(vec![random.byte(); random.pick(&[1, 16, 17, 70_000])]),
        5 => chunks[from] = meddled(&chunks[from], random),
        // A length in another form, of nothing, or of more than may be.
        6 => {
            let odd: [&[u8]; 6] =
                [&[0x40, 0x11], &[0x80, 0, 0, 0x11], &[0xc0; 8], &[0x01], &[0x80, 1, 0, 0x12], &[0x0f]];
            chunks.insert(from, random.pick(&odd).to_vec());
        }
        _ => {}
    }
    chunks.concat()
}

/// What was sealed, then the records that open, to the end or to what breaks the stream.
fn opened(mut opener: Opener, request: &[u8], stream: &[u8], pieces: &[usize]) -> Answer {
    let mut said = vec![format!("{}; ", hex(request))];
    let mut show = |record: caution_steve::Record| {
        said.push(format!("{} {} {}; ", record.kind.byte(), hex(&record.content), record.last));
    };
    let mut all = || -> Result<(), RecordError> {
        for piece in cut(stream, pieces) {
            opener.feed(piece)?;
            while let Some(record) = opener.next_record()? {
                show(record);
            }
        }
        while let Some(record) = opener.end()? {
            show(record);
        }
        Ok(())
    };
    match all() {
        Ok(()) => Answer::ok(said.concat()),
        Err(error) => Answer::refused(&said.concat(), &error),
    }
}

const KINDS: &[u8] = &[0x01, 0x01, 0x01, 0x02, 0x03, 0x04, 0x10, 0x90, 0x11, 0x91, 0x12, 0x13, 0x14, 0x15];
