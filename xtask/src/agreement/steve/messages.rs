//! Binary HTTP: bytes that may be a message, and heads that may be written as one.

use super::{Answer, Question, cut, hex, pieces};
use crate::agreement::changes::meddled;
use crate::agreement::random::Random;
use caution_steve::http::{Decoder, Encoder, Fields, MessageError, Part, RequestHead, ResponseHead};
use serde::Serialize;

/// A head to write; values are hex digits.
#[derive(Serialize)]
pub(super) struct Request {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    fields: Vec<(String, String)>,
}

#[derive(Serialize)]
pub(super) struct Response {
    status: u16,
    fields: Vec<(String, String)>,
}

pub(super) fn message(random: &mut Random) -> (Question, Answer) {
    let is_request = random.one_in(2);
    let mut bytes = written(is_request, random);
    if random.one_in(3) {
        bytes = meddled(&bytes, random);
    }
    let pieces = pieces(bytes.len(), random);
    let decoder = if is_request { Decoder::request() } else { Decoder::response() };
    let what = if is_request { "request" } else { "response" };
    let answer = read(decoder, cut(&bytes, &pieces));
    (Question::Message { what, bytes: hex(&bytes), pieces }, answer)
}

/// A head that is honest in most of its parts.
pub(super) fn head(random: &mut Random) -> (Question, Answer) {
    let mut out = Vec::new();
    let fields = fields(random);
    let shown = |fields: &Fields| fields.iter().map(|(name, value)| (name.clone(), hex(value))).collect();
    if random.one_in(3) {
        let head = ResponseHead { status: status(random), fields };
        let written = Encoder::new().response(&head, &mut out);
        let question = Response { status: head.status, fields: shown(&head.fields) };
        return (Question::Response { head: question }, outcome(written, &out));
    }
    let [method, scheme, authority, path] = control(random);
    let head = RequestHead { method, scheme, authority, path, fields };
    let written = Encoder::new().request(&head, &mut out);
    let fields = shown(&head.fields);
    let RequestHead { method, scheme, authority, path, .. } = head;
    (Question::Request { head: Request { method, scheme, authority, path, fields } }, outcome(written, &out))
}

fn outcome(written: Result<(), MessageError>, out: &[u8]) -> Answer {
    match written {
        Ok(()) => Answer::ok(hex(out)),
        Err(error) => Answer::refused("", &error),
    }
}

/// The parts as they come, content in a row; then all of them written again.
fn read<'a>(mut decoder: Decoder, pieces: impl Iterator<Item = &'a [u8]>) -> Answer {
    let (mut said, mut content) = (Vec::new(), Vec::new());
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let mut step = |part: Part| {
        if !matches!(part, Part::Content(_)) && !content.is_empty() {
            said.push(format!("content {}; ", hex(&content)));
            encoder.content(&content, &mut out);
            content.clear();
        }
        match part {
            Part::Content(bytes) => content.extend_from_slice(&bytes),
            Part::Request(head) => {
                let RequestHead { method, scheme, authority, path, fields } = &head;
                said.push(format!("request {method} {scheme} {authority} {path} {}; ", field_lines(fields)));
                encoder.request(&head, &mut out)?;
            }
            Part::Response(head) => {
                said.push(format!("response {} {}; ", head.status, field_lines(&head.fields)));
                encoder.response(&head, &mut out)?;
            }
            Part::End(trailers) => {
                said.push(format!("end {}; ", field_lines(&trailers)));
                encoder.end(&trailers, &mut out)?;
            }
        }
        Ok(())
    };
    let all = || {
        for piece in pieces {
            decoder.feed(piece);
            while let Some(part) = decoder.next_part()? {
                step(part)?;
            }
        }
        decoder.finish()
    };
    match all() {
        Ok(()) => Answer::ok(said.concat() + &hex(&out)),
        Err(error) => Answer::refused(&said.concat(), &error),
    }
}

fn field_lines(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", hex(value))).collect::<Vec<_>>().join(",")
}

/// Bytes of a message in which something may be odd.
fn written(is_request: bool, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let framing = if is_request { 2 } else { 3 };
    length(&mut out, if random.one_in(40) { random.below(70) } else { framing }, random);
    if is_request {
        for text in control(random) {
            string(&mut out, text.as_bytes(), random);
        }
        lines(&mut out, &fields(random), random);
    } else {
        while random.one_in(3) {
            length(&mut out, random.pick(&[100, 103, 199]), random);
            lines(&mut out, &fields(random), random);
        }
        length(&mut out, status(random).into(), random);
        lines(&mut out, &fields(random), random);
    }
    while !random.one_in(3) {
        let long = random.one_in(30);
        let length = if long { random.pick(&[16_383, 16_384, 70_000]) } else { random.pick(&[1, 5, 63, 64]) };
        let bytes = vec![random.byte(); length];
        string(&mut out, &bytes, random);
    }
    length(&mut out, 0, random);
    lines(&mut out, &if random.one_in(4) { fields(random) } else { Fields::new() }, random);
    if random.one_in(20) {
        out.push(random.byte());
    }
    out
}

fn lines(out: &mut Vec<u8>, fields: &Fields, random: &mut Random) {
    for (name, value) in fields {
        string(out, name.as_bytes(), random);
        string(out, value, random);
    }
    length(out, 0, random);
}

fn string(out: &mut Vec<u8>, bytes: &[u8], random: &mut Random) {
    length(out, bytes.len(), random);
    out.extend_from_slice(bytes);
}

/// A varint of RFC 9000, seldom in another form than the shortest.
fn length(out: &mut Vec<u8>, value: usize, random: &mut Random) {
    let value = u64::try_from(value).expect("lengths here are small");
    let shortest = if value < 0x40 { 0 } else { 1 + usize::from(value >= 0x4000) };
    let form = if random.one_in(300) { shortest + random.below(4 - shortest) } else { shortest };
    let prefix = u64::try_from(form).expect("0 to 3") << 62;
    let whole = (prefix | value << (64 - (8 << form))).to_be_bytes();
    // The prefix takes the place of two zero bits of the value's own form.
    out.extend_from_slice(&whole[..1 << form]);
}

/// Method, scheme, authority and path.
fn control(random: &mut Random) -> [String; 4] {
    let mut control = ["POST", "https", "app.example", "/notes?q=1"].map(str::to_owned);
    if random.one_in(4) {
        let odd = [
            "",
            "GET",
            "OPTIONS",
            "HEAD",
            "get it",
            "http",
            "HTTPS",
            "*",
            "a@b",
            "a:8443",
            "[::1]",
            "é",
            "/é",
            "/#",
            "/ ",
            "/%2e",
            "//",
            "/\u{7f}",
            "x",
            "/\"<>",
            "a\n",
            "\u{feff}/",
        ];
        let chosen = random.pick(&odd);
        chosen.clone_into(&mut control[random.below(4)]);
    }
    if random.one_in(12) {
        "OPTIONS".clone_into(&mut control[0]);
        "*".clone_into(&mut control[3]);
    }
    if random.one_in(60) {
        control[3] += &"x".repeat(random.pick(&[65_480, 65_500, 65_520, 65_536]) + random.below(8));
    }
    control
}

fn status(random: &mut Random) -> u16 {
    if random.one_in(12) {
        random.pick(&[100, 199, 600, 99, 0, 65_535])
    } else {
        random.pick(&[200, 204, 404, 599])
    }
}

fn fields(random: &mut Random) -> Fields {
    let names = [
        "a",
        "x-b",
        "accept",
        "content-type",
        "content-length",
        "te",
        "connection",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "Upper",
        "",
        "sp ace",
        "é",
        "a:b",
        "\u{feff}x",
        "x_y",
        "`|~",
    ];
    let values: [&[u8]; 24] = [
        b"",
        b"v",
        b"text/plain",
        b"trailers",
        b"TrAilers",
        b"gzip",
        b"0",
        b"5",
        b"64",
        b"+5",
        b" 5",
        b"5 ",
        b"\t",
        b"a\tb",
        b"a\rb",
        b"a\nb",
        b"\0",
        b"\x7f",
        b"\x80\xff",
        b"0005",
        b"18446744073709551615",
        b"18446744073709551616",
        b"\xef\xbc\x95",
        b"\xef\xbb\xbf5",
    ];
    let mut fields = Fields::new();
    if random.one_in(50) {
        let count = 254 + random.below(5);
        fields = (0..count).map(|at| (format!("n{at}"), vec![b'v'; random.below(3)])).collect();
    }
    if random.one_in(100) {
        let long = random.pick(&[65_400, 65_500, 65_530, 65_537]) + random.below(12);
        fields.push(("long".to_owned(), vec![b'v'; long]));
    }
    while random.one_in(2) {
        let odd = random.one_in(8);
        let name = if odd { random.pick(&names) } else { random.pick(&names[..5]) };
        let value = if odd { random.pick(&values) } else { random.pick(&values[1..8]) };
        let is_length = name == "content-length" && !random.one_in(4);
        let value = if is_length { random.pick(&[&b"0"[..], b"5", b"64", b"1"]) } else { value };
        fields.push((name.to_owned(), value.to_vec()));
    }
    fields
}
