use super::*;
use proptest::prelude::*;

fn head(fields: &[(&str, &str)]) -> RequestHead {
    RequestHead {
        method: "POST".into(),
        scheme: "https".into(),
        authority: "app.example".into(),
        path: "/notes?all".into(),
        fields: fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

fn encoded(head: &RequestHead, content: &[&[u8]], trailers: &Fields) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.request(head, &mut out).unwrap();
    for piece in content {
        encoder.content(piece, &mut out);
    }
    encoder.end(trailers, &mut out).unwrap();
    out
}

/// The parts of a message that comes in pieces of `size`; content in one.
fn decoded(mut decoder: Decoder, bytes: &[u8], size: usize) -> Result<Vec<Part>, MessageError> {
    let mut parts = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        while let Some(part) = decoder.next_part()? {
            match (parts.last_mut(), part) {
                (Some(Part::Content(content)), Part::Content(more)) => content.extend(more),
                (_, part) => parts.push(part),
            }
        }
    }
    decoder.finish().map(|()| parts)
}

#[test]
fn requests_pass_in_any_pieces() {
    let head = head(&[("accept", "a"), ("accept", "b"), ("content-length", "8")]);
    let trailers: Fields = vec![("sum".into(), b"x".to_vec())];
    let bytes = encoded(&head, &[b"some", b"", b"more"], &trailers);
    let expected = [Part::Request(head), Part::Content(b"somemore".to_vec()), Part::End(trailers)];
    for size in 1..=bytes.len() {
        assert_eq!(decoded(Decoder::request(), &bytes, size).unwrap(), expected, "pieces of {size}");
    }
}

#[test]
fn responses_pass_with_those_before_them() {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    let early = ResponseHead { status: 103, fields: vec![("link".into(), b"</a>".to_vec())] };
    let head = ResponseHead { status: 200, fields: vec![] };
    encoder.response(&early, &mut bytes).unwrap();
    encoder.response(&head, &mut bytes).unwrap();
    encoder.content(b"hi", &mut bytes);
    encoder.end(&vec![], &mut bytes).unwrap();
    let expected =
        [Part::Response(early), Part::Response(head), Part::Content(b"hi".to_vec()), Part::End(vec![])];
    for size in 1..=bytes.len() {
        assert_eq!(decoded(Decoder::response(), &bytes, size).unwrap(), expected);
    }
    assert_eq!(decoded(Decoder::request(), &bytes, 64), Err(MessageError::Framing(3)));
}

#[test]
fn a_message_cut_anywhere_is_cut() {
    let bytes = encoded(&head(&[("a", "b")]), &[b"content"], &vec![]);
    for cut in 0..bytes.len() {
        assert_eq!(decoded(Decoder::request(), &bytes[..cut], 4), Err(MessageError::Truncated));
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(decoded(Decoder::request(), &more, 4), Err(MessageError::AfterEnd));
}

#[test]
fn the_example_of_the_standard_is_written_byte_by_byte() {
    // RFC 9292, section 5.1: the indeterminate-length request, without its padding, as https asks it.
    let head = RequestHead {
        method: "GET".into(),
        scheme: "https".into(),
        authority: "www.example.com".into(),
        path: "/hello.txt".into(),
        fields: vec![("user-agent".into(), b"curl/7.16.3".to_vec())],
    };
    let mut expected = b"\x02\x03GET\x05https\x0fwww.example.com\x0a/hello.txt".to_vec();
    expected.extend_from_slice(b"\x0auser-agent\x0bcurl/7.16.3\0\0\0");
    assert_eq!(encoded(&head, &[], &vec![]), expected);
}

#[test]
fn what_would_smuggle_is_refused_by_name() {
    use MessageError as E;
    let field = |name: &str, value: &str| head(&[(name, value)]).check();
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        assert_eq!(field(name, "x"), Err(E::ConnectionField(name.into())));
    }
    assert_eq!(field("te", "gzip"), Err(E::ConnectionField("te".into())));
    assert_eq!(field("te", "trailers"), Ok(()));
    for name in ["", ":path", "a b", "Upper", "a:", "é", "a\r\nb"] {
        assert_eq!(field(name, "x"), Err(E::FieldName), "{name:?}");
    }
    for value in ["a\r\nb: c", "a\nb", "a\0b", " a", "a\t", "\u{7f}"] {
        assert_eq!(field("a", value), Err(E::FieldValue("a".into())), "{value:?}");
    }
    assert_eq!(field("a", "t\tab"), Ok(()));
    for value in ["", "+1", "-1", "1,1", "0x10", "99999999999999999999"] {
        assert_eq!(field("content-length", value), Err(E::ContentLength), "{value:?}");
    }
    let twice = head(&[("content-length", "1"), ("content-length", "1")]);
    assert_eq!(twice.check(), Err(E::ContentLength));

    let control = |change: fn(&mut RequestHead)| {
        let mut head = head(&[]);
        change(&mut head);
        head.check()
    };
    assert_eq!(control(|head| head.method = "G T".into()), Err(E::Control("method")));
    assert_eq!(control(|head| head.scheme = "http".into()), Err(E::Control("scheme")));
    assert_eq!(control(|head| head.authority = "user@app".into()), Err(E::Control("authority")));
    assert_eq!(control(|head| head.authority.clear()), Err(E::Control("authority")));
    for path in ["", "notes", "*", "/a b", "/a#b", "/\r\n", "http://app/"] {
        let mut head = head(&[]);
        head.path = path.into();
        assert_eq!(head.check(), Err(E::Control("path")), "{path:?}");
    }
    assert_eq!(ResponseHead { status: 99, fields: vec![] }.check(), Err(E::Status(99)));
    assert_eq!(ResponseHead { status: 600, fields: vec![] }.check(), Err(E::Status(600)));
}

#[test]
fn content_has_the_length_that_its_request_says() {
    let exact = head(&[("content-length", "4")]);
    assert!(decoded(Decoder::request(), &encoded(&exact, &[b"four"], &vec![]), 64).is_ok());
    for content in [&b"thr"[..], b"fives", b""] {
        let bytes = encoded(&exact, &[content], &vec![]);
        assert_eq!(decoded(Decoder::request(), &bytes, 64), Err(MessageError::ContentLength));
    }
}

#[test]
fn heads_are_bounded() {
    let long = "v".repeat(MAX_HEAD);
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    assert_eq!(encoder.request(&head(&[("a", &long)]), &mut out), Err(MessageError::HeadTooLong));
    assert!(out.is_empty());

    // A head that never ends, however it comes.
    let mut endless = b"\x02\x03GET\x05https\x01a\x01/".to_vec();
    endless.extend(b"\x01a\x3f".iter().chain(&[b'v'; 63]).copied().cycle().take(MAX_HEAD));
    assert_eq!(decoded(Decoder::request(), &endless, 1000), Err(MessageError::TooManyFields));
    let mut endless = b"\x02\x03GET\x05https\x01a\x01/\x01a\x80\x01\x00\x00".to_vec();
    endless.extend(vec![b'v'; MAX_HEAD]);
    assert_eq!(decoded(Decoder::request(), &endless, 1000), Err(MessageError::HeadTooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
        let whole = decoded(Decoder::request(), &bytes, 300);
        prop_assert_eq!(decoded(Decoder::request(), &bytes, size), whole);
    }
}
