use super::*;
use crate::hpke::TAG;
use crate::varint;

const MAX_CHUNK: u32 = 16_384;

fn block() -> Block {
    Block::new([1; 32], &crate::kdf::Secret::new([2; 32]), &[b"test"])
}

fn sealer() -> Sealer {
    Sealer::new(block(), MAX_CHUNK)
}

fn opener() -> Opener {
    Opener::new(block(), MAX_CHUNK)
}

/// A chunk with these bytes inside, sealed as the first of the stream.
fn chunk(inner: &[u8], last: bool) -> Vec<u8> {
    let mut sealed = inner.to_vec();
    let tag = block().next(|key, nonce| key.seal_in_place_separate_tag(nonce, aad(last), &mut sealed));
    sealed.extend_from_slice(tag.unwrap().as_ref());
    sealed
}

fn framed(chunk: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    varint::put(&mut stream, chunk.len());
    [stream, chunk.to_vec()].concat()
}

fn open(stream: &[u8], end: bool) -> Result<Vec<Record>, RecordError> {
    let mut opener = opener();
    opener.feed(stream)?;
    let mut records = Vec::new();
    while let Some(record) = opener.next_record()? {
        records.push(record);
    }
    while end && let Some(record) = opener.end()? {
        records.push(record);
    }
    Ok(records)
}

#[test]
fn contents_of_every_length_pass_with_every_padding() {
    let longest = MAX_CHUNK as usize;
    for length in [0, 1, 46, 47, 48, 255, 256, 16_000, longest - 1, longest] {
        for bucket in [0, 1, 256, 512, 100_000] {
            let content = vec![0; length];
            let mut stream = Vec::new();
            let mut sealer = sealer();
            sealer.pad_to(bucket);
            sealer.seal(Kind::Data, &content, false, &mut stream);
            sealer.seal(Kind::WsText { more: true }, &content, true, &mut stream);
            let expected = [
                Record { kind: Kind::Data, content: content.clone(), last: false },
                Record { kind: Kind::WsText { more: true }, content, last: true },
            ];
            assert_eq!(open(&stream, true).unwrap(), expected, "{length} bytes, bucket {bucket}");
        }
    }
}

#[test]
fn padding_hides_lengths_up_to_the_bucket() {
    let sealed = |length: usize| {
        let mut stream = Vec::new();
        let mut sealer = sealer();
        sealer.pad_to(256);
        sealer.seal(Kind::Data, &vec![7; length], false, &mut stream);
        stream.len()
    };
    assert_eq!(sealed(1), sealed(255));
    assert_eq!(sealed(255) + 256, sealed(256));
}

#[test]
fn lengths_have_one_form() {
    let good = chunk(&[b'x', 1], false);
    assert_eq!(good.len(), 2 + TAG);
    let length = u8::try_from(good.len()).unwrap();
    assert!(open(&[&[length][..], &good].concat(), false).is_ok());
    for long in
        [vec![0x40, length], vec![0x80, 0, 0, length], vec![0xc0, 0, 0, 0, 0, 0, 0, length], vec![0x40, 0]]
    {
        assert_eq!(open(&[&long[..], &good].concat(), false), Err(RecordError::Length), "{long:x?}");
    }
}

#[test]
fn no_chunk_is_longer_than_agreed() {
    let most = MAX_CHUNK as usize + 1 + TAG;
    let mut stream = Vec::new();
    varint::put(&mut stream, most + 1);
    // Its length alone is enough.
    assert_eq!(open(&stream, false), Err(RecordError::TooLong { length: most + 1, most }));
    let last = [&[0][..], &vec![0; most + 1]].concat();
    assert_eq!(open(&last, false), Err(RecordError::TooLong { length: most + 1, most }));
}

#[test]
fn content_needs_a_type_that_is_known() {
    assert_eq!(open(&framed(&chunk(&[0; 10], false)), false), Err(RecordError::Type(0)));
    assert_eq!(open(&framed(&chunk(&[], false)), false), Err(RecordError::Type(0)));
    for unknown in [0x05, 0x0f, 0x16, 0x7f, 0x81, 0x92, 0xff] {
        let stream = framed(&chunk(&[b'x', unknown, 0, 0], false));
        assert_eq!(open(&stream, false), Err(RecordError::Type(unknown)));
    }
    for (byte, kind) in Kind::KNOWN {
        assert_eq!(Kind::from_byte(kind.byte()), Ok(kind));
        assert_eq!(kind.byte(), byte);
    }
}

#[test]
fn the_last_chunk_is_no_other_and_no_other_is_the_last() {
    let (middle, last) = (chunk(&[b'x', 1], false), chunk(&[b'x', 1], true));
    assert!(open(&[&[0][..], &last].concat(), true).is_ok());
    assert_eq!(open(&[&[0][..], &middle].concat(), true), Err(RecordError::NotAuthentic));
    assert_eq!(open(&framed(&last), false), Err(RecordError::NotAuthentic));
    // Shorter than a tag.
    assert_eq!(open(&[0, 1, 2], true), Err(RecordError::NotAuthentic));
    assert_eq!(open(&[0], true), Err(RecordError::NotAuthentic));
    assert_eq!(open(&[], true), Err(RecordError::Truncated));
}

#[test]
fn keys_change_where_both_sides_count_the_same() {
    let ratcheted = |interval| {
        let mut block = block();
        block.set_interval(interval);
        block
    };
    let mut sealer = Sealer::new(ratcheted(3), MAX_CHUNK);
    let mut streams: Vec<Vec<u8>> = Vec::new();
    for at in 0..10_u8 {
        let mut stream = Vec::new();
        sealer.seal(Kind::Data, &[at], at == 9, &mut stream);
        streams.push(stream);
    }
    let read = |interval: u64| -> Result<Vec<u8>, RecordError> {
        let mut opener = Opener::new(ratcheted(interval), MAX_CHUNK);
        let mut contents = Vec::new();
        for stream in &streams {
            opener.feed(stream)?;
            contents.extend(opener.next_record()?.map(|record| record.content[0]));
        }
        contents.extend(opener.end()?.map(|record| record.content[0]));
        Ok(contents)
    };
    assert_eq!(read(3), Ok((0..10).collect()));
    assert_eq!(read(4), Err(RecordError::NotAuthentic));
    assert_eq!(read(2), Err(RecordError::NotAuthentic));
}

#[test]
fn sealed_errors_have_one_form() {
    for code in SealedCode::ALL {
        for retry_after_s in [None, Some(7)] {
            let error = SealedError { code, executed: false, retry_after_s };
            let bytes = error.to_bytes();
            assert_eq!(SealedError::from_bytes(&bytes), Ok(error));
            let trailing = [&bytes[..], &[0]].concat();
            assert_eq!(SealedError::from_bytes(&trailing), Err(RecordError::MalformedError));
        }
    }
    // Keys the wrong way round, a code nobody knows, a longer head.
    for wrong in [
        &b"\xa2\x02\xf4\x01\x64busy"[..],
        b"\xa2\x01\x64nope\x02\xf4",
        b"\xa2\x01\x78\x04busy\x02\xf4",
        b"\xa1\x01\x64busy",
        b"",
    ] {
        assert_eq!(SealedError::from_bytes(wrong), Err(RecordError::MalformedError));
    }
}

#[test]
fn a_message_of_a_socket_is_one_chunk() {
    let (mut sealer, mut opener) = (sealer(), opener());
    let mut chunk = |content: &[u8], last| {
        let mut bytes = Vec::new();
        sealer.seal(Kind::WsText { more: false }, content, last, &mut bytes);
        bytes
    };
    for content in [&b"one"[..], b"", &[7; 10_000]] {
        assert_eq!(opener.message(&chunk(content, false)).unwrap().content, content);
    }
    let last = opener.message(&chunk(b"last", true)).unwrap();
    assert!(last.last && last.content == b"last");
    assert_eq!(opener.message(b""), Err(RecordError::Truncated));
    assert_eq!(opener.message(b"more"), Err(RecordError::AfterEnd));
    let one = framed(&self::chunk(b"a\x10", false));
    for (bytes, expected) in [
        (vec![], RecordError::Truncated),
        (one[..one.len() - 1].to_vec(), RecordError::Truncated),
        ([&one[..], &one].concat(), RecordError::Length),
        ([&one[..], b"\0"].concat(), RecordError::Length),
    ] {
        assert_eq!(self::opener().message(&bytes), Err(expected));
    }
}
