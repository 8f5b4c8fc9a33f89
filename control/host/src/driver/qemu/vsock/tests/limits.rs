//! What a guest or its clients can make the device hold: limits, floods, and that nothing is left.

use super::*;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::collections::HashSet;

#[test]
fn a_flood_of_refusals_pauses_the_guest_and_resets_are_not_answered() {
    let mut guest = Guest::new();
    guest.send(Op::Reset, 0, b"");
    guest.expect_silence();
    while !guest.device.input_paused() {
        guest.send(Op::Data, 0, b"");
    }
    guest.expect_op(Op::Reset);
    assert!(!guest.device.input_paused());
}

#[test]
fn connections_are_capped_and_the_apps_clients_keep_no_verifier_out() {
    let mut guest = Guest::new();
    guest.device.max_connections = 2;
    let connect = |guest: &mut Guest, port| {
        let (ours, theirs) = HostStream::pair().unwrap();
        guest.device.connect(port, ours);
        theirs
    };
    let _clients = [connect(&mut guest, 8080), connect(&mut guest, 8081)];
    assert_eq!((read_all(&connect(&mut guest, 8080)), guest.device.take_news()), (Vec::new(), Some(1)));
    for counted in [Some(2), None, Some(4), None] {
        drop(connect(&mut guest, 8080));
        assert_eq!(guest.device.take_news(), counted);
    }
    let mut asked: Vec<u32> = (0..2).map(|_| guest.expect_op(Op::Request).dst_port).collect();
    let _verifier = connect(&mut guest, u32::from(caution_abi::ports::ATTESTATION));
    asked.push(guest.expect_op(Op::Request).dst_port);
    assert_eq!(asked, [8080, 8081, 49502]);
    guest.send(Op::Request, 0, b"");
    guest.expect_op(Op::Response);
}

/// Connections that are opened, filled and given up while the service is busy with the first.
#[test]
fn a_busy_service_holds_few_connections_of_a_guest_given_up_ones_too() {
    let mut guest = Guest::new();
    let mut accepted = 0;
    for port in 1..200 {
        guest.key.1 = port;
        guest.send(Op::Request, 0, b"");
        let answer = guest.expect_packet().0.op;
        accepted += usize::from(answer == Op::Response);
        for _ in 0..4 {
            guest.send(Op::Data, 0, &vec![0; 60_000]);
        }
        guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
        guest.send(Op::Reset, 0, b"");
        while guest.packet().is_some() {}
    }
    assert_eq!(accepted, MAX_WAITING);
    assert!(guest.device.held() <= MAX_WAITING);
}

#[test]
fn connections_of_the_guests_own_making_are_capped() {
    let mut guest = Guest::new();
    let mut services = Vec::new();
    for port in 1..200 {
        guest.key.1 = port;
        guest.send(Op::Request, 0, b"");
        guest.expect_packet();
        services.extend(guest.accepted.try_recv());
    }
    assert_eq!(services.len(), 64);
    let (ours, theirs) = HostStream::pair().unwrap();
    guest.device.connect(8080, ours);
    guest.expect_op(Op::Request);
    drop(theirs);
}

#[test]
fn clients_of_a_guest_that_drops_their_requests_are_reset_in_time() {
    let (mut guest, mut client) = Guest::with_patience(Duration::from_millis(20)).ask_by_tcp();
    // What becomes readable is what wakes the worker.
    guest.device.epoll().wait(&mut [EpollEvent::empty()], EpollTimeout::NONE).unwrap();
    guest.expect_op(Op::Reset);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(guest.device.held(), 0);
    // An answer that comes too late finds no connection, and the next client is asked for as ever.
    guest.send(Op::Response, 0, b"");
    guest.expect_op(Op::Reset);
    let (guest, _client) = guest.ask_by_tcp();
    assert_eq!(guest.device.held(), 1);
}

#[test]
fn a_flood_of_questions_has_one_answer() {
    let (mut guest, _service) = Guest::connected();
    for _ in 0..10_000 {
        guest.send(Op::CreditRequest, 0, b"");
    }
    guest.expect_op(Op::CreditUpdate);
    guest.expect_silence();
}

/// Whatever a guest sends, in whatever order: the device stays within its limits and serves who behaves.
#[test]
fn a_guest_that_floods_reorders_and_drops_harms_only_itself() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut guest = Guest::new();
    let mut clients: Vec<UnixStream> = Vec::new();
    let mut asked: Vec<(u32, u32)> = Vec::new();
    for _ in 0..20_000 {
        if random(50) == 0 && clients.len() < 100 {
            let (ours, theirs) = HostStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            guest.device.connect(8080, ours);
            clients.push(theirs);
        }
        if let Some(client) = clients.last_mut() {
            let _ = client.write(&[1; 100]);
            let _ = client.read(&mut [0; 5000]);
        }
        if random(80) == 0 {
            clients.pop();
        }
        let at = usize::try_from(random(100)).unwrap();
        guest.key = asked.get(at).copied().unwrap_or((SERVICE, 1 + u32::try_from(random(40)).unwrap()));
        let ops = [
            Op::Request,
            Op::Response,
            Op::Reset,
            Op::Shutdown,
            Op::Data,
            Op::CreditUpdate,
            Op::CreditRequest,
        ];
        // Mostly what keeps connections alive, so that they get old.
        let op =
            ops[usize::try_from([1, 4, 4, 4, 5, random(7)][usize::try_from(random(6)).unwrap()]).unwrap()];
        let data = vec![2; usize::try_from(random(3000)).unwrap()];
        guest.taken = u32::try_from(random(5000)).unwrap();
        guest.send(op, u32::try_from(random(4)).unwrap(), if op == Op::Data { &data } else { b"" });
        drop(guest.accepted.try_recv());
        // Packets of the device are dropped, but for what it asks.
        if let Some((header, _)) = guest.packet()
            && header.op == Op::Request
        {
            asked.insert(0, (header.src_port, header.dst_port));
            asked.truncate(100);
        }
    }
    while guest.packet().is_some() {}
    assert!(guest.device.held() <= 64 + 2 * 100 + MAX_WAITING, "{}", guest.device.held());
    let (mut guest, mut client) = guest.ask_by_tcp();
    guest.taken = 0;
    guest.send(Op::Response, 0, b"");
    guest.send(Op::Data, 0, b"still here");
    client.read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn connections_in_a_row_leave_nothing_behind() {
    in_a_row(10_000);
}

#[test]
#[ignore = "ten seconds"]
fn a_hundred_thousand_connections_in_a_row_leave_nothing_behind() {
    in_a_row(100_000);
}

fn in_a_row(count: usize) {
    let mut guest = Guest::new();
    let mut given = HashSet::new();
    for at in 0..count {
        let (ours, mut theirs) = HostStream::pair().unwrap();
        given.insert(format!("socket:[{}]", nix::sys::stat::fstat(&ours).unwrap().st_ino));
        guest.device.connect(8080, ours);
        guest.key = (guest.expect_op(Op::Request).src_port, 8080);
        match at % 3 {
            0 => guest.send(Op::Reset, 0, b""),
            1 => drop(theirs),
            _ => {
                guest.taken = 0;
                guest.send(Op::Response, 0, b"");
                theirs.write_all(b"question").unwrap();
                theirs.shutdown(Shutdown::Write).unwrap();
                guest.expect_op(Op::Data);
                guest.expect_op(Op::Shutdown);
                guest.send(Op::Data, 0, b"answer");
                guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
                assert_eq!(read_all(&theirs), b"answer");
            }
        }
        if at % 3 == 1 {
            guest.send(Op::Response, 0, b"");
            guest.expect_op(Op::Shutdown);
            guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
        }
    }
    guest.expect_silence();
    assert_eq!(guest.device.remembered(), 0);
    // By name, since other tests of this program have descriptors of their own.
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.unwrap().path().read_link().ok());
    assert_eq!(open.filter(|link| link.to_str().is_some_and(|name| given.contains(name))).count(), 0);
}
