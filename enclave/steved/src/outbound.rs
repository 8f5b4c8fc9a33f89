//! A response on its way into the tunnel.

use crate::body::Sink;
use bytes::Bytes;
use caution_steve::http::{Encoder, Fields, MAX_HEAD, MessageError, ResponseHead};
use caution_steve::websocket::{Opcode, write_frame};
use caution_steve::{Kind, SealedError, Sealer};

/// Writes a message, and the records it is in.
pub(crate) struct Outbound {
    sink: Sink,
    sealer: Sealer,
    encoder: Encoder,
    /// Each record is a message of a WebSocket.
    is_socket: bool,
    /// The last record is sealed.
    ended: bool,
    /// What is written and not yet sealed.
    waiting: Vec<u8>,
}

/// Nobody reads the response any more.
#[derive(Debug)]
pub(crate) struct Gone;

impl Outbound {
    pub(crate) fn new(sealer: Sealer, sink: Sink) -> Self {
        Self {
            sink,
            sealer,
            encoder: Encoder::new(),
            is_socket: false,
            ended: false,
            waiting: Vec::with_capacity(HEAD),
        }
    }

    /// One whose records are messages of a WebSocket.
    pub(crate) fn socket(sealer: Sealer, sink: Sink) -> Self {
        Self { is_socket: true, ..Self::new(sealer, sink) }
    }

    /// A head; nothing of it is sent before [`Outbound::flush`].
    pub(crate) fn head(&mut self, head: &ResponseHead) -> Result<(), MessageError> {
        if hides_lengths(&head.fields) {
            self.sealer.pad_to(BUCKET);
        }
        self.encoder.response(head, &mut self.waiting)
    }

    /// Content. Of much of it, whole records are sent.
    pub(crate) async fn content(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.encoder.content(bytes, &mut self.waiting);
        if self.waiting.len() >= self.sealer.max_content() { self.flush().await } else { Ok(()) }
    }

    /// The end.
    pub(crate) async fn end(mut self, trailers: &Fields) -> Result<(), Gone> {
        // What may not pass is left out: the content is whole without it.
        let none = Fields::new();
        let trailers = if may_pass(trailers) { trailers } else { &none };
        self.encoder.end(trailers, &mut self.waiting).map_err(|_| Gone)?;
        let sealed = self.seal(true);
        self.last(sealed).await;
        Ok(())
    }

    /// Nothing is left to say.
    pub(crate) async fn close(self) {
        self.last(Vec::new()).await;
    }

    /// Nothing is left to say after this.
    async fn last(self, mut bytes: Vec<u8>) {
        if self.is_socket {
            write_frame(Opcode::Close, true, &1000_u16.to_be_bytes(), None, &mut bytes);
        }
        self.sink.last(bytes.into()).await;
    }

    /// Sends what waits.
    pub(crate) async fn flush(&mut self) -> Result<(), Gone> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let sealed = self.seal(false);
        self.send(sealed).await
    }

    /// Sends a record that says nothing.
    pub(crate) async fn pad(&mut self) -> Result<(), Gone> {
        self.say(Kind::Pad, b"").await
    }

    /// A record of its own, of at most 16,384 bytes: the least that a longest chunk has.
    pub(crate) async fn say(&mut self, kind: Kind, content: &[u8]) -> Result<(), Gone> {
        let mut sealed = Vec::new();
        self.record(kind, content, false, &mut sealed);
        self.send(sealed).await
    }

    /// How a WebSocket ends: a close, and then the last record.
    pub(crate) async fn closing(&mut self, content: &[u8]) -> Result<(), Gone> {
        let mut sealed = Vec::new();
        self.record(Kind::WsClose, content, false, &mut sealed);
        self.record(Kind::Pad, b"", true, &mut sealed);
        self.send(sealed).await
    }

    /// Says why there is no response, or no more of it, where the last word is not said yet.
    pub(crate) async fn fail(mut self, error: &SealedError) {
        let mut sealed = Vec::new();
        if !self.ended {
            self.record(Kind::Error, &error.to_bytes(), true, &mut sealed);
        }
        self.last(sealed).await;
    }

    /// The records of what waits.
    fn seal(&mut self, last: bool) -> Vec<u8> {
        let most = self.sealer.max_content();
        let mut sealed = Vec::with_capacity(self.waiting.len() + 64);
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while rest.len() > most {
            let (chunk, others) = rest.split_at(most);
            self.record(Kind::Data, chunk, false, &mut sealed);
            rest = others;
        }
        self.record(Kind::Data, rest, last, &mut sealed);
        waiting.clear();
        self.waiting = waiting;
        sealed
    }

    fn record(&mut self, kind: Kind, content: &[u8], last: bool, out: &mut Vec<u8>) {
        self.ended = last;
        if !self.is_socket {
            return self.sealer.seal(kind, content, last, out);
        }
        let mut message = Vec::new();
        self.sealer.seal(kind, content, last, &mut message);
        write_frame(Opcode::Binary, true, &message, None, out);
    }

    async fn send(&mut self, sealed: Vec<u8>) -> Result<(), Gone> {
        if self.sink.data(Bytes::from(sealed)).await { Ok(()) } else { Err(Gone) }
    }
}

/// Whether these fields can end a message.
fn may_pass(trailers: &Fields) -> bool {
    // A length in front of each name and value has four bytes at most.
    let length: usize = trailers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    length < MAX_HEAD && ResponseHead { status: 200, fields: trailers.clone() }.check().is_ok()
}

/// Types whose pieces say much by their lengths: tokens of a language model, one by one.
fn hides_lengths(fields: &Fields) -> bool {
    fields.iter().filter(|(name, _)| name == "content-type").any(|(_, value)| {
        let value = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        [&b"text/event-stream"[..], b"application/x-ndjson"].iter().any(|it| value.eq_ignore_ascii_case(it))
    })
}

const BUCKET: usize = 256;
/// Room for most heads, and short content.
const HEAD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_that_cannot_end_a_message_are_known() {
        let field = |name: &str, length| (name.to_owned(), vec![b'x'; length]);
        assert!(may_pass(&vec![]) && may_pass(&vec![field("a", 60_000)]));
        assert!(!may_pass(&vec![field("a", 65_536)]));
        assert!(!may_pass(&vec![field("a", 300); 250]));
        assert!(!may_pass(&vec![field("a", 1); 257]));
        assert!(!may_pass(&vec![field("connection", 1)]));
        assert!(!may_pass(&vec![("a".to_owned(), b"b\nc".to_vec())]));
    }
}
