//! Bytes in, parts of a message out.

use super::fields::{Fields, MAX_FIELDS, MAX_HEAD, check, content_length};
use super::{MessageError, REQUEST, RESPONSE, RequestHead, ResponseHead};
use crate::varint;

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The head of a request.
    Request(RequestHead),
    /// The head of a response; of an informational one, with others after it.
    Response(ResponseHead),
    /// Content, as much as came.
    Content(Vec<u8>),
    /// Trailers: the end of the message.
    End(Fields),
}

/// Reads one message from bytes that come in any pieces.
#[derive(Debug)]
pub struct Decoder {
    framing: usize,
    waiting: Vec<u8>,
    state: State,
    /// What the request says its content has, and has not come yet.
    declared: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Framing,
    Head,
    ContentLength,
    /// So many bytes of content are to come.
    Content(usize),
    Trailers,
    Ended,
}

impl Decoder {
    /// A decoder of a request.
    pub fn request() -> Self {
        Self { framing: REQUEST, waiting: Vec::new(), state: State::Framing, declared: None }
    }

    /// A decoder of a response.
    pub fn response() -> Self {
        Self { framing: RESPONSE, ..Self::request() }
    }

    /// Takes bytes. Call [`Decoder::next_part`] until there is none before the next: so no more than
    /// these and one head ever wait here.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next part that is there.
    pub fn next_part(&mut self) -> Result<Option<Part>, MessageError> {
        let mut input = Input { bytes: &self.waiting, at: 0 };
        let (part, state) = Self::step(self.framing, self.state, &mut self.declared, &mut input)?;
        let used = input.at;
        self.state = state;
        self.waiting.drain(..used);
        Ok(part)
    }

    /// The bytes have ended: whether the message has, too.
    pub fn finish(&self) -> Result<(), MessageError> {
        if self.state == State::Ended { Ok(()) } else { Err(MessageError::Truncated) }
    }

    fn step(
        framing: usize,
        mut state: State,
        declared: &mut Option<u64>,
        input: &mut Input<'_>,
    ) -> Result<(Option<Part>, State), MessageError> {
        if state == State::Framing {
            match input.number()? {
                None => return Ok((None, state)),
                Some(number) if number == framing => state = State::Head,
                Some(number) => return Err(MessageError::Framing(number)),
            }
        }
        if state == State::ContentLength {
            match input.number()? {
                None => return Ok((None, state)),
                Some(0) => {
                    if declared.is_some_and(|missing| missing > 0) {
                        return Err(MessageError::ContentLength);
                    }
                    state = State::Trailers;
                }
                Some(length) => {
                    if let Some(missing) = declared {
                        let more = u64::try_from(length).unwrap_or(u64::MAX);
                        *missing = missing.checked_sub(more).ok_or(MessageError::ContentLength)?;
                    }
                    state = State::Content(length);
                }
            }
        }
        match state {
            State::Head if framing == REQUEST => input.whole(Input::request).map(|head| match head {
                None => (None, state),
                Some((head, length)) => {
                    *declared = length;
                    (Some(Part::Request(head)), State::ContentLength)
                }
            }),
            State::Head => input.whole(Input::response).map(|head| match head {
                None => (None, state),
                Some(head) => {
                    let next = if head.is_informational() { State::Head } else { State::ContentLength };
                    (Some(Part::Response(head)), next)
                }
            }),
            State::Content(left) => {
                let content = input.some(left);
                let next = match left - content.len() {
                    0 => State::ContentLength,
                    left => State::Content(left),
                };
                let part = (!content.is_empty()).then(|| Part::Content(content.to_vec()));
                Ok((part, next))
            }
            State::Trailers => input.whole(Input::fields).map(|trailers| match trailers {
                None => (None, state),
                Some(trailers) => (Some(Part::End(trailers)), State::Ended),
            }),
            State::Ended if input.bytes.is_empty() => Ok((None, state)),
            State::Ended => Err(MessageError::AfterEnd),
            State::Framing | State::ContentLength => unreachable!("left above"),
        }
    }
}

/// Bytes that came; `at` of them are used.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// None where bytes are missing.
type Read<T> = Result<Option<T>, MessageError>;

impl<'a> Input<'a> {
    fn number(&mut self) -> Read<usize> {
        let number = varint::read(&self.bytes[self.at..]).map_err(|_| MessageError::Length)?;
        Ok(number.map(|(number, used)| {
            self.at += used;
            number
        }))
    }

    /// What `read` reads, or nothing at all; at most [`MAX_HEAD`] bytes may wait for it.
    fn whole<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let start = self.at;
        let value = read(self)?;
        let length = if value.is_some() { self.at - start } else { self.bytes.len() - start };
        if length > MAX_HEAD {
            return Err(MessageError::HeadTooLong);
        }
        if value.is_none() {
            self.at = start;
        }
        Ok(value)
    }

    /// Bytes after their length.
    fn string(&mut self) -> Read<&'a [u8]> {
        let Some(length) = self.number()? else { return Ok(None) };
        if length > MAX_HEAD {
            return Err(MessageError::HeadTooLong);
        }
        let string = self.bytes[self.at..].get(..length);
        self.at += string.map_or(0, <[u8]>::len);
        Ok(string)
    }

    /// At most `most` bytes of those that are there.
    fn some(&mut self, most: usize) -> &'a [u8] {
        let there = &self.bytes[self.at..];
        let taken = &there[..there.len().min(most)];
        self.at += taken.len();
        taken
    }

    fn request(&mut self) -> Read<(RequestHead, Option<u64>)> {
        let mut control = [const { String::new() }; 4];
        for (text, what) in control.iter_mut().zip(["method", "scheme", "authority", "path"]) {
            let Some(bytes) = self.string()? else { return Ok(None) };
            *text = String::from_utf8(bytes.to_vec()).map_err(|_| MessageError::Control(what))?;
        }
        let Some(fields) = self.fields()? else { return Ok(None) };
        let [method, scheme, authority, path] = control;
        let head = RequestHead { method, scheme, authority, path, fields };
        head.check()?;
        let length = content_length(&head.fields)?;
        Ok(Some((head, length)))
    }

    fn response(&mut self) -> Read<ResponseHead> {
        let Some(status) = self.number()? else { return Ok(None) };
        let Some(fields) = self.fields()? else { return Ok(None) };
        let head =
            ResponseHead { status: u16::try_from(status).map_err(|_| MessageError::Status(status))?, fields };
        head.check()?;
        Ok(Some(head))
    }

    /// Field lines to an empty name.
    fn fields(&mut self) -> Read<Fields> {
        let mut fields = Fields::new();
        loop {
            let Some(name) = self.string()? else { return Ok(None) };
            if name.is_empty() {
                check(&fields)?;
                return Ok(Some(fields));
            }
            if fields.len() == MAX_FIELDS {
                return Err(MessageError::TooManyFields);
            }
            let name = String::from_utf8(name.to_vec()).map_err(|_| MessageError::FieldName)?;
            let Some(value) = self.string()? else { return Ok(None) };
            fields.push((name, value.to_vec()));
        }
    }
}
