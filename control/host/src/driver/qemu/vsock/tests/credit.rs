//! What the guest may send before it is taken from it, over all connections.

use super::*;

/// The guest's side of one of many connections.
struct Sender {
    key: (u32, u32),
    /// It may send as far as this, and has sent so much.
    until: u32,
    sent: u32,
    /// What the device last said of it.
    room: u32,
    client: UnixStream,
}

/// A guest with one more connection, which it has accepted.
fn open(guest: &mut Guest) -> Sender {
    let (ours, client) = HostStream::pair().unwrap();
    guest.device.connect(8080, ours);
    let request = guest.expect_op(Op::Request);
    guest.key = (request.src_port, 8080);
    guest.send(Op::Response, 0, b"");
    let until = request.fwd_cnt.wrapping_add(request.buf_alloc);
    Sender { key: guest.key, until, sent: 0, room: request.buf_alloc, client }
}

/// Sends what may be sent, and follows what the device says of it.
fn send_all(guest: &mut Guest, sender: &mut Sender) {
    guest.key = sender.key;
    while sender.sent < sender.until {
        let length = (sender.until - sender.sent).min(65536);
        guest.send(Op::Data, 0, &vec![7; length as usize]);
        sender.sent += length;
        while let Some((header, _)) = guest.packet() {
            assert_eq!((header.op, header.src_port), (Op::CreditUpdate, sender.key.0));
            let until = header.fwd_cnt.wrapping_add(header.buf_alloc);
            assert!(until >= sender.until, "what was promised stays promised");
            (sender.until, sender.room) = (until, header.buf_alloc);
        }
    }
}

#[test]
fn what_is_held_for_slow_clients_is_shared_out_among_them() {
    let mut guest = Guest::new();
    let mut senders: Vec<Sender> = (0..1500).map(|_| open(&mut guest)).collect();
    assert_eq!(senders[0].room, BUFFER);
    assert_eq!(senders[1499].room, 64 * 1024 * 1024 / 1500);
    for sender in &mut senders {
        // Beside what it is told to hold, each client's socket takes some.
        send_all(&mut guest, sender);
    }
    // Without shares it would be 375 MiB. The old ones used up what they were promised when they were few, and
    // now have as little as all others.
    let held = guest.device.buffered();
    assert!((60 << 20..=64 << 20).contains(&held), "{held}");
}

#[test]
fn a_share_that_became_smaller_breaks_no_promise_and_one_byte_beyond_it_ends_the_connection() {
    let mut guest = Guest::new();
    let mut first = open(&mut guest);
    let _others: Vec<Sender> = (0..1000).map(|_| open(&mut guest)).collect();
    send_all(&mut guest, &mut first);
    guest.expect_silence();
    guest.key = first.key;
    guest.send(Op::Data, 0, b"!");
    assert_eq!(guest.expect_op(Op::Reset).src_port, first.key.0);
}

#[test]
fn a_client_that_reads_gets_everything_with_a_small_share() {
    let mut guest = Guest::new();
    let _others: Vec<Sender> = (0..1000).map(|_| open(&mut guest)).collect();
    let mut last = open(&mut guest);
    let client = last.client.try_clone().unwrap();
    let wanted = last.room as usize * 100;
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        (&client).take(wanted as u64).read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    while !reader.is_finished() {
        send_all(&mut guest, &mut last);
        guest.key = last.key;
        while let Some((header, _)) = guest.packet() {
            (last.until, last.room) = (header.fwd_cnt.wrapping_add(header.buf_alloc), header.buf_alloc);
        }
    }
    assert_eq!(reader.join().unwrap(), wanted);
}
