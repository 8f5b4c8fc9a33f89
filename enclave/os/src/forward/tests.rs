//! The forwarder over loopback on both sides.

use super::*;
use caution_enclave_sys::poll::reset_on_close;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::thread;

/// An app's listener, and a forwarder that leads to it.
fn forwarder(limit: usize) -> (TcpListener, Forwarder, u16) {
    let app = TcpListener::bind("127.0.0.1:0").unwrap();
    let (forwarder, way_in) = forwarder_to(app.local_addr().unwrap().port(), limit);
    (app, forwarder, way_in)
}

fn forwarder_to(port: u16, limit: usize) -> (Forwarder, u16) {
    let way_in = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = way_in.local_addr().unwrap().port();
    (Forwarder::new([(way_in.into(), port)], limit).unwrap(), at)
}

/// A client connected through a running forwarder with an app.
fn forwarded() -> (TcpStream, TcpStream) {
    let (app, forwarder, way_in) = forwarder(16);
    thread::spawn(move || forwarder.run());
    let client = TcpStream::connect(("127.0.0.1", way_in)).unwrap();
    (client, app.accept().unwrap().0)
}

/// Lets the forwarder work in this thread until `done`.
fn work(forwarder: &mut Forwarder, mut done: impl FnMut(&Forwarder) -> bool) {
    let mut events = Events::with_room_for(16);
    while !done(forwarder) {
        forwarder.turn(&mut events, false).unwrap();
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn bytes_pass_unchanged_both_ways_at_once() {
    let (client, app) = forwarded();
    let send = |stream: &TcpStream, bytes: Vec<u8>| {
        let mut stream = stream.try_clone().unwrap();
        thread::spawn(move || {
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        })
    };
    let (there, back) = (noise(3_000_001), noise(2_000_003));
    let senders = [send(&client, there.clone()), send(&app, back.clone())];
    let receive = |mut stream: TcpStream| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let (client, app) = (receive(client), receive(app));
    assert!(client.join().unwrap() == back);
    assert!(app.join().unwrap() == there);
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn the_end_of_one_direction_passes_on_while_the_other_lives() {
    let (mut client, mut app) = forwarded();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    app.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    app.write_all(b"answer").unwrap();
    drop(app);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn a_reset_is_not_taken_for_an_end() {
    let (mut client, app) = forwarded();
    reset_on_close(&app);
    drop(app);
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    let (client, mut app) = forwarded();
    reset_on_close(&client);
    drop(client);
    assert_eq!(app.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_port_nobody_listens_on_resets_the_connection() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (forwarder, way_in) = forwarder_to(port, 16);
    thread::spawn(move || forwarder.run());
    let mut client = TcpStream::connect(("127.0.0.1", way_in)).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn over_the_limit_connections_are_reset_and_those_that_end_make_room() {
    let (app, forwarder, way_in) = forwarder(2);
    thread::spawn(move || forwarder.run());
    let connect = || TcpStream::connect(("127.0.0.1", way_in)).unwrap();
    let (first, mut second) = (connect(), connect());
    let mut inside = [app.accept().unwrap().0, app.accept().unwrap().0];
    assert_eq!(connect().read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop(first);
    // One of the two has ended, and its end is passed on before the number is free again.
    for stream in &mut inside {
        stream.set_nonblocking(true).unwrap();
    }
    let ended = loop {
        let ended = inside.iter_mut().position(|stream| matches!(stream.read(&mut [0]), Ok(0)));
        if let Some(at) = ended {
            break at;
        }
    };
    let [a, b] = inside;
    let (gone, mut kept) = if ended == 0 { (a, b) } else { (b, a) };
    drop(gone);
    kept.set_nonblocking(false).unwrap();
    let mut third = loop {
        let mut third = connect();
        third.write_all(b"x").unwrap();
        third.set_nonblocking(true).unwrap();
        app.set_nonblocking(true).unwrap();
        let accepted = loop {
            match (app.accept(), third.read(&mut [0])) {
                (Ok((stream, _)), _) => break Some(stream),
                (_, Err(e)) if e.kind() == ErrorKind::ConnectionReset => break None,
                _ => {}
            }
        };
        if let Some(stream) = accepted {
            break stream;
        }
    };
    third.set_nonblocking(false).unwrap();
    let mut byte = [0];
    third.read_exact(&mut byte).unwrap();
    second.write_all(b"y").unwrap();
    kept.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"y");
}

#[test]
fn an_idle_connection_holds_no_buffer_and_a_slow_reader_one_chunk() {
    let (app, mut forwarder, way_in) = forwarder(2);
    let mut client = TcpStream::connect(("127.0.0.1", way_in)).unwrap();
    work(&mut forwarder, |forwarder| forwarder.pairs.count() == 1);
    let mut inside = app.accept().unwrap().0;
    client.write_all(b"hello").unwrap();
    inside.set_nonblocking(true).unwrap();
    let mut hello = [0; 5];
    work(&mut forwarder, |_| matches!(inside.peek(&mut hello), Ok(5)));
    inside.read_exact(&mut hello).unwrap();
    let capacity =
        |forwarder: &Forwarder| forwarder.pairs.slots[0].as_ref().map(Pair::held).unwrap_or_default();
    assert_eq!((capacity(&forwarder), forwarder.room.waiting), (0, 0));

    // Nobody reads: the client is stopped, and what it could still send waits in sockets, not here.
    let sent = noise(1 << 20);
    client.set_nonblocking(true).unwrap();
    let mut total = 0_usize;
    let mut idle = 0;
    let mut events = Events::with_room_for(16);
    while idle < 1000 {
        forwarder.turn(&mut events, false).unwrap();
        match client.write(&sent[total % sent.len()..]) {
            Ok(length) => (total, idle) = (total + length, 0),
            Err(_) => idle += 1,
        }
    }
    assert!((1..=pair::CHUNK).contains(&forwarder.room.waiting), "{}", forwarder.room.waiting);
    assert!(capacity(&forwarder) <= pair::CHUNK);
    client.shutdown(Shutdown::Write).unwrap();
    let (mut received, mut buffer, mut ended) = (0, vec![0; 1 << 16], false);
    work(&mut forwarder, |_| {
        match inside.read(&mut buffer) {
            Ok(0) => ended = true,
            Ok(length) => {
                let expected = sent.iter().cycle().skip(received % sent.len()).take(length);
                assert!(expected.eq(&buffer[..length]));
                received += length;
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        ended
    });
    assert_eq!(received, total);
    assert_eq!((capacity(&forwarder), forwarder.room.waiting), (0, 0));
}

#[test]
fn when_much_waits_little_is_read_at_once() {
    let mut room = Room::new();
    assert_eq!(room.chunk().len(), pair::CHUNK);
    room.waiting = pair::ENOUGH;
    assert_eq!(room.chunk().len(), pair::SMALL_CHUNK);
}

/// The app of one port never accepts and its queue is full; the other's clients do not notice.
#[test]
fn an_app_that_takes_no_connections_holds_up_no_other_port() {
    let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
    let stuck_port = stuck.local_addr().unwrap().port();
    let lively = TcpListener::bind("127.0.0.1:0").unwrap();
    let ways = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let at = [ways[0].local_addr().unwrap(), ways[1].local_addr().unwrap()];
    let [to_stuck, to_lively] = ways;
    let doors = [(to_stuck.into(), stuck_port), (to_lively.into(), lively.local_addr().unwrap().port())];
    let forwarder = Forwarder::new(doors, 1024).unwrap();
    thread::spawn(move || forwarder.run());
    // More than std's queue of 128 holds.
    let _waiting: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(at[0]).unwrap()).collect();
    let mut client = TcpStream::connect(at[1]).unwrap();
    client.write_all(b"x").unwrap();
    lively.accept().unwrap().0.read_exact(&mut [0]).unwrap();
}

/// Connections one after another, each with a word and an end, leave nothing behind.
fn in_a_row(count: usize) {
    let (app, mut forwarder, way_in) = forwarder(64);
    let inside = thread::spawn(move || {
        for _ in 0..count {
            let mut stream = app.accept().unwrap().0;
            let mut word = Vec::new();
            stream.read_to_end(&mut word).unwrap();
            stream.write_all(&word).unwrap();
        }
    });
    let clients = thread::spawn(move || {
        for _ in 0..count {
            let mut stream = TcpStream::connect(("127.0.0.1", way_in)).unwrap();
            stream.write_all(b"word").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut word = Vec::new();
            stream.read_to_end(&mut word).unwrap();
            assert_eq!(word, b"word");
        }
    });
    let mut events = Events::with_room_for(16);
    let mut most = 0;
    while !clients.is_finished() || forwarder.pairs.count() > 0 {
        forwarder.turn(&mut events, false).unwrap();
        most = most.max(forwarder.pairs.slots.len());
    }
    clients.join().unwrap();
    inside.join().unwrap();
    assert!(most <= 4, "{most} at a time");
    assert_eq!((forwarder.room.waiting, forwarder.queue.len(), forwarder.queue.capacity()), (0, 0, 0));
}

#[test]
fn connections_in_a_row_leave_nothing_behind() {
    in_a_row(2_000);
}

#[test]
#[ignore = "a minute; `make test-long`"]
fn a_hundred_thousand_connections_in_a_row_leave_nothing_behind() {
    in_a_row(100_000);
}
