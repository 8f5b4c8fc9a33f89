#![no_main]
//! What a host can put in the place of STEVE's messages: no input panics, and what is read is the one form of its value.
use caution_steve::http::Decoder;
use caution_steve::websocket::{FrameReader, Piece, Sender};
use caution_steve::{EpochClaims, SealedError, decode_key_configs, encode_key_configs};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(configs) = decode_key_configs(data) {
        assert_eq!(encode_key_configs(&configs), data);
    }
    if let Some(claims) = EpochClaims::from_bytes(data) {
        assert_eq!(claims.to_bytes(), data);
    }
    if let Ok(error) = SealedError::from_bytes(data) {
        assert_eq!(error.to_bytes(), data);
    }
    for sender in [Sender::Client, Sender::Server] {
        let read = |size: usize| {
            let (mut reader, mut text) = (FrameReader::new(sender), Vec::new());
            for piece in data.chunks(size) {
                reader.feed(piece);
                while let Some(piece) = reader.next_piece().ok()? {
                    match piece {
                        Piece::Data { content, .. } | Piece::Ping(content) | Piece::Pong(content) | Piece::Close(content) => {
                            text.extend(content);
                        }
                    }
                }
            }
            Some(text)
        };
        assert_eq!(read(1), read(data.len().max(1)));
    }
    for decoder in [Decoder::request, Decoder::response] {
        let read = |size: usize| {
            let (mut decoder, mut parts) = (decoder(), 0);
            for piece in data.chunks(size) {
                decoder.feed(piece);
                while decoder.next_part().ok()?.is_some() {
                    parts += 1;
                }
            }
            decoder.finish().ok().map(|()| parts > 0)
        };
        assert_eq!(read(1), read(data.len().max(1)));
    }
});
