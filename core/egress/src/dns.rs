//! Names: the app's questions, EnclaveOS' questions for them, and answers with allowed addresses only.
//!
//! Nothing of the app's message is passed on but the name and that its IPv4 addresses are wanted, and
//! nothing of the parent's but allowed addresses (RFC 1035).

use std::net::Ipv4Addr;

/// The longest query that is read: what every resolver of a C library sends fits.
pub const MAX_QUERY: usize = 512;
/// The longest response that is read, and announced to the parent's resolver (RFC 6891).
pub const MAX_RESPONSE: u16 = 4096;
/// The most addresses of an answer: with the longest name it stays below the 512 bytes that need no TCP.
pub const MAX_ADDRESSES: usize = 15;

/// A question of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The app's number for it.
    id: [u8; 2],
    /// Whether the app asked for recursion; echoed.
    recursion_desired: bool,
    /// Labels with their lengths, the final zero, type and class, as they were asked.
    question: Vec<u8>,
    wants: Wants,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// IPv4 addresses.
    Addresses,
    /// What there is none of here: IPv6 addresses, and hints at services.
    Nothing,
    /// Anything else. Free text could carry anything.
    Other,
}

/// What is to be done with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this answer.
    Answer(Vec<u8>),
    /// Ask the parent's resolver.
    Ask,
}

impl Query {
    /// Reads a query of one question. `None`: not a query, which deserves no answer.
    pub fn parse(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_QUERY {
            return None;
        }
        let (header, rest) = message.split_first_chunk::<HEADER>()?;
        let [id0, id1, flags, _, 0, 1, 0, 0, 0, 0, 0, additional] = *header else { return None };
        // A standard query; at most the extension record follows, and says nothing that is needed.
        if flags & !RECURSION_DESIRED != 0 || additional > 1 {
            return None;
        }
        let name = name_length(rest, false)?;
        let question = rest.get(..name + 4)?;
        let [kind0, kind1, class0, class1] = *question.last_chunk()?;
        let wants = match (u16::from_be_bytes([kind0, kind1]), [class0, class1]) {
            (A, INTERNET) => Wants::Addresses,
            (AAAA | SVCB | HTTPS, INTERNET) => Wants::Nothing,
            _ => Wants::Other,
        };
        let recursion_desired = flags & RECURSION_DESIRED != 0;
        Some(Self { id: [id0, id1], recursion_desired, question: question.to_vec(), wants })
    }

    /// What to do with it.
    pub fn step(&self) -> Step {
        match self.wants {
            Wants::Addresses => Step::Ask,
            Wants::Nothing => Step::Answer(self.answer(NO_ERROR, &[])),
            Wants::Other => Step::Answer(self.answer(REFUSED, &[])),
        }
    }

    /// The question for the parent's resolver, under a number of EnclaveOS' own.
    pub fn upstream(&self, id: [u8; 2]) -> Vec<u8> {
        let mut message = vec![id[0], id[1], RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(&self.question);
        // The extension record: root name, type, the size we take, no flags, no data.
        message.extend_from_slice(&[0, 0, OPT]);
        message.extend_from_slice(&MAX_RESPONSE.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
        message
    }

    /// The answer for the app out of the parent's response to [`Query::upstream`]; `None` where it is no
    /// response to that.
    ///
    /// All addresses are given for the name that was asked, aliases left out. Where there are
    /// addresses and none is allowed, the answer is "refused".
    pub fn answer_from(
        &self,
        id: [u8; 2],
        response: &[u8],
        allowed: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Vec<u8>> {
        let (header, rest) = response.split_first_chunk::<HEADER>()?;
        let [id0, id1, flags, more, 0, 1, answers0, answers1, ..] = *header else { return None };
        let is_ours = [id0, id1] == id && flags & (RESPONSE | OPCODE) == RESPONSE;
        if !is_ours || !self.is_echoed(rest) {
            return None;
        }
        let rest = &rest[self.question.len()..];
        let truncated = flags & TRUNCATED != 0;
        Some(match more & CODE {
            NO_ERROR => match addresses(rest, u16::from_be_bytes([answers0, answers1])) {
                None => self.server_failure(),
                Some(found) if found.is_empty() && truncated => self.server_failure(),
                Some(found) if found.is_empty() => self.answer(NO_ERROR, &[]),
                Some(mut found) => {
                    found.retain(|(address, _)| allowed(*address));
                    found.truncate(MAX_ADDRESSES);
                    self.answer(if found.is_empty() { REFUSED } else { NO_ERROR }, &found)
                }
            },
            NAME_ERROR => self.answer(NAME_ERROR, &[]),
            _ => self.server_failure(),
        })
    }

    /// The answer where the parent's resolver has none.
    pub fn server_failure(&self) -> Vec<u8> {
        self.answer(SERVER_FAILURE, &[])
    }

    /// Whether a response repeats the question. Resolvers may change the case of letters.
    fn is_echoed(&self, question: &[u8]) -> bool {
        question.get(..self.question.len()).is_some_and(|echo| echo.eq_ignore_ascii_case(&self.question))
    }

    fn answer(&self, code: u8, addresses: &[Address]) -> Vec<u8> {
        let flags = RESPONSE | if self.recursion_desired { RECURSION_DESIRED } else { 0 };
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let mut message = vec![self.id[0], self.id[1], flags, RECURSION_AVAILABLE | code];
        message.extend_from_slice(&[0, 1, 0, count, 0, 0, 0, 0]);
        message.extend_from_slice(&self.question);
        for (address, lifetime) in addresses {
            // The name: where the question has it.
            message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
            message.extend_from_slice(lifetime);
            message.extend_from_slice(&[0, 4]);
            message.extend_from_slice(&address.octets());
        }
        message
    }
}

/// An address and how long it may be kept, as the message has it.
type Address = (Ipv4Addr, [u8; 4]);

/// The IPv4 addresses among the first `count` records; `None` where these are not records.
fn addresses(mut records: &[u8], count: u16) -> Option<Vec<Address>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let name = name_length(records, true)?;
        let (fixed, rest) = records.get(name..)?.split_first_chunk::<10>()?;
        let [kind0, kind1, class0, class1, t0, t1, t2, t3, length0, length1] = *fixed;
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length0, length1])))?;
        if (u16::from_be_bytes([kind0, kind1]), [class0, class1]) == (A, INTERNET) {
            let address: [u8; 4] = data.try_into().ok()?;
            found.push((address.into(), [t0, t1, t2, t3]));
        }
        records = rest;
    }
    Some(found)
}

/// The bytes a name takes, at most 255; a pointer to elsewhere may end it where names are `compressed`.
fn name_length(bytes: &[u8], compressed: bool) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            label @ 1..=63 => at += 1 + usize::from(label),
            0xc0.. if compressed => return bytes.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at >= MAX_NAME {
            return None;
        }
    }
}

const HEADER: usize = 12;
/// Bytes of a name, its final zero included.
const MAX_NAME: usize = 255;
const INTERNET: [u8; 2] = [0, 1];
const A: u16 = 1;
const AAAA: u16 = 28;
const OPT: u8 = 41;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
/// Bits of the third byte.
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
/// Bits of the fourth.
const RECURSION_AVAILABLE: u8 = 0x80;
const CODE: u8 = 0x0f;
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const REFUSED: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03api\x07example\x03com\x00";

    fn query(kind: u8) -> Vec<u8> {
        [&[7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], NAME, &[0, kind, 0, 1]].concat()
    }

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(data.len()).unwrap();
        [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, length], data].concat()
    }

    fn response(id: [u8; 2], flags: [u8; 2], records: &[Vec<u8>]) -> Vec<u8> {
        let count = u8::try_from(records.len()).unwrap();
        let header = [id[0], id[1], flags[0], flags[1], 0, 1, 0, count, 0, 0, 0, 0];
        let upper = NAME.to_ascii_uppercase();
        [&header[..], &upper, &[0, 1, 0, 1], &records.concat()].concat()
    }

    fn allowed(address: Ipv4Addr) -> bool {
        address.octets()[0] == 203
    }

    #[test]
    fn only_the_question_is_passed_on() {
        let with_extension = [&query(1)[..11], &[1], &query(1)[12..], b"\0\0\x29secret data"].concat();
        let query = Query::parse(&with_extension).unwrap();
        assert_eq!(query.step(), Step::Ask);
        let upstream = query.upstream([1, 2]);
        let expected = [
            &[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1],
            NAME,
            &[0, 1, 0, 1],
            &[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(upstream, expected.concat());
    }

    #[test]
    fn only_allowed_addresses_come_back_and_no_aliases() {
        let query = Query::parse(&query(1)).unwrap();
        let records = [
            record(5, b"\x04edge\xc0\x10"),
            record(1, &[203, 0, 113, 5]),
            record(1, &[10, 0, 0, 5]),
            record(16, b"\x05hello"),
        ];
        let answer = query.answer_from([1, 2], &response([1, 2], [0x81, 0x80], &records), allowed).unwrap();
        let expected = [
            &[7, 9, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
            NAME,
            &[0, 1, 0, 1],
            &record(1, &[203, 0, 113, 5])[..],
        ];
        assert_eq!(answer, expected.concat());
    }

    #[test]
    fn what_is_not_allowed_is_refused_and_what_is_not_there_is_told() {
        let query = Query::parse(&query(1)).unwrap();
        let code = |flags, records: &[Vec<u8>]| {
            query.answer_from([1, 2], &response([1, 2], flags, records), allowed).unwrap()[3] & CODE
        };
        let private = record(1, &[10, 0, 0, 5]);
        assert_eq!(code([0x81, 0x80], std::slice::from_ref(&private)), REFUSED);
        assert_eq!(code([0x81, 0x80], &[]), NO_ERROR);
        assert_eq!(code([0x81, 0x83], &[]), NAME_ERROR);
        assert_eq!(code([0x81, 0x85], &[]), SERVER_FAILURE);
        assert_eq!(code([0x83, 0x80], &[]), SERVER_FAILURE);
        assert_eq!(code([0x81, 0x80], &[private[..10].to_vec()]), SERVER_FAILURE);
    }

    #[test]
    fn a_response_to_something_else_is_none() {
        let query = Query::parse(&query(1)).unwrap();
        let good = response([1, 2], [0x81, 0x80], &[]);
        assert!(query.answer_from([1, 2], &good, allowed).is_some());
        assert_eq!(query.answer_from([1, 3], &good, allowed), None);
        assert_eq!(query.answer_from([1, 2], &response([1, 2], [0x01, 0x80], &[]), allowed), None);
        let mut other_name = good.clone();
        other_name[14] = b'b';
        assert_eq!(query.answer_from([1, 2], &other_name, allowed), None);
        for end in 0..good.len() {
            assert_eq!(query.answer_from([1, 2], &good[..end], allowed), None);
        }
    }

    #[test]
    fn other_kinds_are_answered_without_asking_anybody() {
        let code = |kind| match Query::parse(&query(kind)).unwrap().step() {
            Step::Answer(answer) => (answer[3] & CODE, answer[7]),
            Step::Ask => panic!("{kind} would be asked"),
        };
        for kind in [28, 64, 65] {
            assert_eq!(code(kind), (NO_ERROR, 0));
        }
        for kind in [2, 12, 15, 16, 33, 255] {
            assert_eq!(code(kind), (REFUSED, 0));
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let good = query(1);
        assert!(Query::parse(&good).is_some());
        for end in 0..good.len() {
            assert_eq!(Query::parse(&good[..end]), None);
        }
        for (at, byte) in [(2, 0x81), (2, 0x11), (5, 2), (7, 1), (9, 1), (11, 2), (12, 0xc0), (12, 64)] {
            let mut wrong = good.clone();
            wrong[at] = byte;
            assert_eq!(Query::parse(&wrong), None, "{at}");
        }
        assert_eq!(Query::parse(&[&good[..], &[0; MAX_QUERY]].concat()), None);
        let long = [&good[..12], &[&[63][..], &[b'a'; 63]].concat().repeat(4), &[0, 0, 1, 0, 1]].concat();
        assert_eq!(Query::parse(&long), None);
    }

    #[test]
    fn the_longest_answer_needs_no_tcp() {
        let labels =
            [&[[&[62][..], &[b'a'; 62]].concat().repeat(4), vec![1, b'b']].concat()[..], &[0]].concat();
        assert_eq!(labels.len(), MAX_NAME);
        let query = [&query(1)[..12], &labels, &[0, 1, 0, 1]].concat();
        let addresses = vec![(Ipv4Addr::new(203, 0, 113, 5), [0; 4]); MAX_ADDRESSES];
        assert!(Query::parse(&query).unwrap().answer(NO_ERROR, &addresses).len() <= 512);
    }
}
