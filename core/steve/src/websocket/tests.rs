use super::*;

fn pieces(sender: Sender, bytes: &[u8], step: usize) -> Result<Vec<Piece>, FrameError> {
    let (mut reader, mut pieces) = (FrameReader::new(sender), Vec::new());
    for bytes in bytes.chunks(step) {
        reader.feed(bytes);
        while let Some(piece) = reader.next_piece()? {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

/// Pieces of a message put together, so that where bytes were cut does not matter.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    let mut open = None;
    for piece in pieces {
        match (piece, open) {
            (Piece::Data { content, end, .. }, Some(at)) => {
                let Some(Piece::Data { content: whole, end: ended, .. }) = all.get_mut::<usize>(at) else {
                    panic!()
                };
                whole.extend(content);
                *ended = end;
                open = (!end).then_some(at);
            }
            (piece, _) => {
                if matches!(piece, Piece::Data { end: false, .. }) {
                    open = Some(all.len());
                }
                all.push(piece);
            }
        }
    }
    all
}

fn data(text: bool, content: &[u8]) -> Piece {
    Piece::Data { text, content: content.to_vec(), end: true }
}

/// RFC 6455, section 5.7.
#[test]
fn frames_are_those_of_the_rfc() {
    let hello = data(true, b"Hello");
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let cases: [(Sender, Vec<u8>, Vec<Piece>); 6] = [
        (Sender::Server, vec![0x81, 5, b'H', b'e', b'l', b'l', b'o'], vec![hello.clone()]),
        (Sender::Client, masked.to_vec(), vec![hello.clone()]),
        (Sender::Server, vec![0x01, 3, b'H', b'e', b'l', 0x80, 2, b'l', b'o'], vec![hello]),
        (
            Sender::Server,
            vec![0x89, 2, b'H', b'i', 0x88, 0],
            vec![Piece::Ping(b"Hi".to_vec()), Piece::Close(vec![])],
        ),
        (Sender::Server, [&[0x82, 126, 1, 0][..], &[7; 256]].concat(), vec![data(false, &[7; 256])]),
        (
            Sender::Server,
            [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &vec![7; 65_536]].concat(),
            vec![data(false, &[7; 65_536])],
        ),
    ];
    for (sender, bytes, expected) in cases {
        for step in [1, 3, 4096, bytes.len()] {
            assert_eq!(joined(pieces(sender, &bytes, step).unwrap()), expected, "{step} bytes at a time");
        }
    }
    let mut out = Vec::new();
    write_frame(Opcode::Text, true, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
    assert_eq!(out, masked);
}

#[test]
fn what_is_written_is_read_and_control_frames_stand_between_parts() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
        let content: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[0]).collect();
        for (sender, mask) in [(Sender::Client, Some([1, 2, 3, 4])), (Sender::Server, None)] {
            let mut bytes = Vec::new();
            let (half, rest) = content.split_at(length / 2);
            write_frame(Opcode::Binary, false, half, mask, &mut bytes);
            write_frame(Opcode::Ping, true, b"there?", mask, &mut bytes);
            write_frame(Opcode::More, false, b"", mask, &mut bytes);
            write_frame(Opcode::More, true, rest, mask, &mut bytes);
            let read = joined(pieces(sender, &bytes, 1000).unwrap());
            assert_eq!(read.len(), 2, "{length}");
            assert!(read.contains(&data(false, &content)) && read.contains(&Piece::Ping(b"there?".to_vec())));
        }
    }
}

#[test]
fn what_is_no_frame_is_refused_by_name() {
    let long = [&[0x89, 126, 0, 126][..], &[0; 126]].concat();
    let cases: [(&[u8], FrameError); 13] = [
        (&[0xc1, 0], FrameError::Reserved),
        (&[0x83, 0], FrameError::Opcode(3)),
        (&[0x81, 0x80], FrameError::Mask),
        (&[0x81, 126, 0, 125], FrameError::Length),
        (&[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], FrameError::Length),
        (&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], FrameError::Length),
        (&[0x09, 0], FrameError::Control),
        (&long, FrameError::Control),
        (&[0x80, 0], FrameError::Order),
        (&[0x01, 1, b'a', 0x81, 0], FrameError::Order),
        (&[0x88, 1, 3], FrameError::Close),
        (&[0x88, 2, 3, 0xed], FrameError::Close),
        (&[0x88, 3, 3, 0xe8, 0xff], FrameError::Close),
    ];
    for (bytes, expected) in cases {
        assert_eq!(pieces(Sender::Server, bytes, 1), Err(expected), "{bytes:?}");
    }
    assert_eq!(pieces(Sender::Client, &[0x81, 0], 1), Err(FrameError::Mask));
}

#[test]
fn after_a_close_nothing_is_said() {
    let bytes = [0x88, 2, 3, 0xe8, 0x81, 1, b'a', 0xff];
    assert_eq!(pieces(Sender::Server, &bytes, 100), Ok(vec![Piece::Close(vec![3, 0xe8])]));
}

#[test]
fn codes_that_only_stand_for_something_are_not_sent() {
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        assert!(!is_close(&code.to_be_bytes()), "{code}");
    }
    for code in [1000_u16, 1003, 1007, 1014, 3000, 4999] {
        assert!(is_close(&code.to_be_bytes()), "{code}");
    }
    assert!(is_close(b"") && !is_close(b"\x03"));
    assert!(is_close(&[&[3, 0xe8][..], &[b'a'; 123]].concat()));
    assert!(!is_close(&[&[3, 0xe8][..], &[b'a'; 124]].concat()));
}

/// RFC 6455, section 1.3.
#[test]
fn the_answer_to_a_key_is_that_of_the_rfc() {
    assert_eq!(key_of(b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for key in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"AAAA", b"!"] {
        assert_eq!(accept_of(key), None);
    }
}
