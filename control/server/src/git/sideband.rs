//! The end of a push, kept open: what git answered is on its way to the client, and what becomes of the push is still
//! to be said, before the packet that ends the conversation.
//!
//! git answers in packets: four hex digits of length, with themselves, and the content; `0000` ends a section. The first
//! section is what the server has, the second the result, each packet of which begins with the number of its band.
//! Source: gitprotocol-common(5), gitprotocol-pack(5).

/// Passes git's answer on up to its last packet.
#[derive(Debug, Default)]
pub(super) struct Sideband {
    pending: Vec<u8>,
    sections: u8,
    bands: bool,
    held: bool,
    lost: bool,
}

impl Sideband {
    /// What of the answer goes to the client now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.lost {
            return bytes.to_vec();
        }
        self.pending.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.pending.len());
        let mut at = 0;
        while let Some(head) = self.pending.get(at..at + 4) {
            let digits = std::str::from_utf8(head).ok();
            let Some(length) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
                self.lost = true;
                break;
            };
            if std::mem::take(&mut self.held) {
                out.extend_from_slice(FLUSH);
            }
            let packet = match length {
                0 if self.sections == 0 => {
                    self.sections = 1;
                    FLUSH
                }
                0 => {
                    self.held = true;
                    at += 4;
                    continue;
                }
                1..=3 => head,
                _ => match self.pending.get(at..at + length) {
                    Some(packet) => packet,
                    None => break,
                },
            };
            if self.sections > 0 && packet.len() > 4 {
                self.bands = (1..=3).contains(&packet[4]);
            }
            out.extend_from_slice(packet);
            at += packet.len();
        }
        self.pending.drain(..at);
        if self.lost {
            out.append(&mut self.pending);
        }
        out
    }

    /// A text as the client is shown it, `remote: …`; nothing where the client would not understand it.
    pub(super) fn say(&self, text: &[u8]) -> Option<Vec<u8>> {
        if !(self.held && self.bands) {
            return None;
        }
        let mut out = Vec::with_capacity(text.len() + 5);
        for part in text.chunks(MAX_TEXT) {
            out.extend_from_slice(format!("{:04x}\x02", part.len() + 5).as_bytes());
            out.extend_from_slice(part);
        }
        Some(out)
    }

    /// What was kept back.
    pub(super) fn end(self) -> Vec<u8> {
        let mut out = self.pending;
        if self.held {
            out.extend_from_slice(FLUSH);
        }
        out
    }
}

const FLUSH: &[u8] = b"0000";
/// The longest text in one packet: clients of old understand 1,000 bytes.
const MAX_TEXT: usize = 995;

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"0008refs00000008\x01abc0000";

    #[test]
    fn the_last_packet_waits_however_the_answer_is_cut() {
        let answer = b"0008refs00000009\x02hook0008\x01abc0000";
        for size in 1..=answer.len() {
            let mut side = Sideband::default();
            let out: Vec<u8> = answer.chunks(size).flat_map(|part| side.pass(part)).collect();
            assert_eq!(out, b"0008refs00000009\x02hook0008\x01abc", "{size}");
            assert_eq!(side.say(b"hello\n").unwrap(), b"000b\x02hello\n");
            assert_eq!(side.end(), FLUSH);
        }
    }

    #[test]
    fn without_bands_or_before_the_end_nothing_is_put_in() {
        let mut side = Sideband::default();
        assert_eq!(side.pass(b"0008refs0000"), b"0008refs0000");
        assert_eq!(side.say(b"x"), None);
        assert_eq!(side.end(), b"");
        let mut side = Sideband::default();
        side.pass(b"0008refs0000000aunpack0000");
        assert_eq!(side.say(b"x"), None);
        let mut side = Sideband::default();
        side.pass(ANSWER);
        assert!(side.say(&[b'x'; 2000]).unwrap().len() > 2000);
        let mut side = Sideband::default();
        assert_eq!(side.pass(b"what is this?"), b"what is this?");
        assert_eq!(side.pass(b"0000"), b"0000");
    }
}
