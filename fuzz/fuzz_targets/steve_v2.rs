#![no_main]
//! What a host can put in the place of version 2's messages: no input panics, and what is read can be written again.
use caution_steve::v2::{Envelope, Request, Response, SessionRequest, SessionResponse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = SessionRequest::from_bytes(data) {
        assert_eq!(SessionRequest::from_bytes(&request.to_bytes()), Ok(request));
    }
    if let Ok(response) = SessionResponse::from_bytes(data) {
        assert_eq!(SessionResponse::from_bytes(&response.to_bytes()), Ok(response));
    }
    if let Ok(whole) = Envelope::from_bytes(data) {
        let begun = Envelope::beginning(data).expect("what is read as a whole can be begun");
        let begun = begun.expect("all of it is there");
        assert_eq!((begun.session, begun.sequence), (whole.session, Some(whole.sequence)));
    }
    let _ = Envelope::beginning(data);
    if let Ok(Request { head, body }) = Request::from_bytes(data) {
        let body = body.map(|body| &data[body]);
        let written = Request::write(&head.method, &head.path, &head.fields, body);
        let again = Request::from_bytes(&written).expect("what was read can be written");
        assert_eq!((again.head.fields, again.body.map(|body| &written[body])), (head.fields, body));
    }
    if let Ok(Response::App { status, fields, body }) = Response::from_bytes(data) {
        let written = Response::write(status, &fields, &data[body]);
        assert!(Response::from_bytes(&written).is_ok());
    }
});
