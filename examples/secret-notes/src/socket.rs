//! WebSockets (RFC 6455), as far as drafts need them: what one writes, all others see.

use crate::notebook::quoted;
use crate::room::Room;
use std::io::{self, BufRead, Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};

/// The longest message.
const MAX_MESSAGE: usize = 16 * 1024;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the server answers to a client's key.
pub fn accept(key: &str) -> String {
    base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// Passes on what one client writes until it leaves, and to it what others write.
pub fn relay(room: &Mutex<Room>, from: &mut impl BufRead, stream: &TcpStream) -> io::Result<()> {
    let with_room =
        |work: &mut dyn FnMut(&mut Room)| work(&mut room.lock().unwrap_or_else(PoisonError::into_inner));
    let mut joined = None;
    with_room(&mut |room| joined = Some(room.join()));
    let (number, messages) = joined.ok_or(ErrorKind::Other)?;
    let to = Mutex::new(stream);
    let send =
        |kind, content: &[u8]| frame(*to.lock().unwrap_or_else(PoisonError::into_inner), kind, content);
    let say = |text: &str| {
        let message = format!(r#"{{"who":{number},"draft":{}}}"#, quoted(text));
        with_room(&mut |room| room.say(&message, number));
    };
    let send = &send;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = messages.iter().try_for_each(|message| send(TEXT, message.as_bytes()));
            // Who is left behind, or cannot be written to, has to come again.
            let _ = stream.shutdown(Shutdown::Both);
        });
        let ended = loop {
            match read(from) {
                Ok((TEXT, content)) => say(&String::from_utf8_lossy(&content)),
                Ok((PING, content)) => drop(send(PONG, &content)),
                Ok((CLOSE, content)) => break send(CLOSE, content.get(..2).unwrap_or_default()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        say("");
        with_room(&mut |room| room.leave(number));
        ended
    })
}

/// Reads a message: its kind and content. Parts of one are put together; what comes between them is answered by nobody.
fn read(from: &mut impl BufRead) -> io::Result<(u8, Vec<u8>)> {
    let (mut kind, mut message) = (0, Vec::new());
    loop {
        let mut head = [0; 2];
        from.read_exact(&mut head)?;
        let (is_last, opcode) = (head[0] & 0x80 != 0, head[0] & 0x0f);
        if head[0] & 0x70 != 0 || head[1] & 0x80 == 0 {
            return Err(Error::new(ErrorKind::InvalidData, "that is no frame of a client"));
        }
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(exactly(from)?)),
            127 => u64::from_be_bytes(exactly(from)?),
            short => u64::from(short),
        };
        if length > (MAX_MESSAGE - message.len()) as u64 {
            return Err(Error::new(ErrorKind::InvalidData, "a message is too long"));
        }
        let mask: [u8; 4] = exactly(from)?;
        let mut content = Vec::new();
        from.take(length).read_to_end(&mut content)?;
        if (content.len() as u64) < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        content.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        if opcode >= CLOSE {
            return Ok((opcode, content));
        }
        if opcode != 0 {
            kind = opcode;
        }
        message.append(&mut content);
        if is_last {
            return Ok((kind, message));
        }
    }
}

fn exactly<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a message in one frame.
fn frame(mut to: impl Write, kind: u8, content: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0x80 | kind];
    match content.len() {
        short @ 0..=125 => bytes.push(short as u8),
        long @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((long as u16).to_be_bytes());
        }
        longer => {
            bytes.push(127);
            bytes.extend((longer as u64).to_be_bytes());
        }
    }
    bytes.extend(content);
    to.write_all(&bytes)
}

/// FIPS 180-4. RFC 6455 wants it, and nothing depends on its strength there.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8 + 63) / 64 * 64 - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> = block
            .chunks(4)
            .map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mixed, constant) = match at / 20 {
                0 => (b & c | !b & d, 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let sum = [a.rotate_left(5), mixed, e, constant, *word]
                .iter()
                .fold(0_u32, |sum, one| sum.wrapping_add(*one));
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        for (one, more) in state.iter_mut().zip([a, b, c, d, e]) {
            *one = one.wrapping_add(more);
        }
    }
    let mut digest = [0; 20];
    for (four, word) in digest.chunks_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;
    use std::net::TcpListener;

    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let hex: String = sha1(&[b'a'; 1000]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "291e9a6c66994949b57ba5e650361e98fc36b1ba");
        assert_eq!([base64(b"f"), base64(b"fo"), base64(b"foo")], ["Zg==", "Zm8=", "Zm9v"]);
    }

    fn masked(first: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | content.len() as u8, 1, 2, 3, 4];
        bytes.extend(content.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[test]
    fn messages_are_read_in_parts_and_never_beyond_the_limit() {
        let parts = [masked(0x01, b"sec"), masked(0x80, b"ret")].concat();
        assert_eq!(read(&mut &parts[..]).expect("reads"), (TEXT, b"secret".to_vec()));
        for broken in
            [&parts[..8], &[0x81, 0x05, 1, 2, 3][..], &[0x81, 0xff, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            read(&mut &broken[..]).expect_err("broken");
        }
    }

    #[test]
    fn what_one_writes_others_see_until_it_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let room: &'static Mutex<Room> = Box::leak(Box::default());
        let other = room.lock().expect("a room").join().1;
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            relay(room, &mut BufReader::new(&stream), &stream)
        });
        let mut client = TcpStream::connect(address).expect("connects");
        client.write_all(&[masked(0x81, b"a dra"), masked(0x89, b"?")].concat()).expect("writes");
        assert_eq!(other.recv().as_deref(), Ok(r#"{"who":2,"draft":"a dra"}"#));
        room.lock().expect("a room").say("hello", 0);
        let mut answers = [0; 10];
        client.read_exact(&mut answers).expect("reads");
        // The pong and the message, in either order.
        assert!(answers.ends_with(b"\x81\x05hello") || answers.starts_with(b"\x81\x05hello"), "{answers:?}");
        client.write_all(&masked(0x88, &[3, 232])).expect("writes");
        assert_eq!(other.recv().as_deref(), Ok("hello"));
        assert_eq!(other.recv().as_deref(), Ok(r#"{"who":2,"draft":""}"#));
        serving.join().expect("ends").expect("ends well");
    }
}
