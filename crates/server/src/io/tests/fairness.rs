//! The cost of some of a thread's clients for the others.

use super::{client, received, thread};
use crate::io::{Conn, IoThread};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use tessera_config::Config;

/// Much output, as `conn.rs` has it.
const MUCH: usize = 256 << 10;
const VALUE: usize = 100_000;

/// A turn with as many events as the thread itself takes.
fn step(thread: &mut IoThread) {
    thread.step(&mut Vec::with_capacity(256)).expect("epoll waits");
}

/// The output that waits for all clients together.
fn pending(thread: &mut IoThread) -> usize {
    let conns = thread.conns.ids();
    conns.filter_map(|index| thread.conns.get_mut(index).map(|conn| conn.output.pending())).sum()
}

/// A thread with `key`, whose value has [`VALUE`] bytes, and a client.
fn with_large_value() -> (IoThread, UnixStream) {
    let mut thread = thread(Config::default());
    let mut other = client(&mut thread, format!("SETRANGE key {} x\r\n", VALUE - 1).as_bytes());
    step(&mut thread);
    assert_eq!(received(&mut other), Some(format!(":{VALUE}\r\n").into_bytes()));
    (thread, other)
}

#[test]
fn many_clients_that_do_not_read_leave_the_others_their_turns() {
    const HOGS: usize = 200;
    const GETS: usize = 200;
    let (mut thread, mut other) = with_large_value();
    let requests = "GET key\r\n".repeat(GETS);
    let mut hogs: Vec<UnixStream> =
        (0..HOGS).map(|_| client(&mut thread, requests.as_bytes())).collect();
    // When 200 clients ask for 4 GB and do not read, then a turn makes 16 MiB of it and, as long as
    // they are not known to be behind, little more than each one's first share.
    let first = HOGS * (MUCH + 2 * VALUE);
    let each = 64 * (MUCH + 2 * VALUE);
    let mut before = 0;
    for turn in 0..6 {
        other.write_all(b"PING\r\n").expect("there is room");
        step(&mut thread);
        assert_eq!(received(&mut other).as_deref(), Some(&b"+PONG\r\n"[..]), "turn {turn}");
        let now = pending(&mut thread);
        let most = if turn == 0 { first } else { each };
        assert!(now > before && now - before <= most, "turn {turn}: {before}, {now}");
        before = now;
    }

    // Then each of them gets on: nobody is left out turn after turn.
    let mut least = 0;
    for _ in 0..40 {
        step(&mut thread);
        let conns = thread.conns.ids();
        least = conns
            .filter_map(|index| thread.conns.get_mut(index).map(|conn| conn.output.pending()))
            .filter(|&pending| pending > 0)
            .min()
            .unwrap_or(0);
    }
    assert!(least > 2 * MUCH, "{least}");
    assert_eq!(
        thread.conns.ids().filter(|&at| thread.conns.get_mut(at).is_some()).count(),
        HOGS + 1
    );
    hogs.clear();
    step(&mut thread);
}

#[test]
fn large_requests_are_read_in_shares_and_all_of_them_get_on() {
    const UPLOADS: usize = 8;
    const LENGTH: usize = 8 << 20;
    let mut thread = thread(Config::default());
    let mut other = client(&mut thread, b"");
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${LENGTH}\r\n");
    let mut uploads: Vec<(UnixStream, usize)> =
        (0..UPLOADS).map(|_| (client(&mut thread, head.as_bytes()), 0)).collect();
    let piece = vec![b'x'; 1 << 20];
    let mut turns = 0;
    while uploads.iter().any(|(_, sent)| *sent < LENGTH + 2) {
        for (far, sent) in &mut uploads {
            let rest = &piece[..piece.len().min(LENGTH.saturating_sub(*sent))];
            let rest = if *sent >= LENGTH { &b"\r\n"[*sent - LENGTH..] } else { rest };
            match far.write(rest) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        other.write_all(b"PING\r\n").expect("there is room");
        let before = input(&mut thread);
        step(&mut thread);
        turns += 1;
        assert_eq!(received(&mut other).as_deref(), Some(&b"+PONG\r\n"[..]));
        let read = input(&mut thread).saturating_sub(before);
        // 2 MiB, and what the last socket had.
        assert!(read <= 3 << 20, "{read} bytes in a turn");
        let all = uploads.iter().map(|(_, sent)| *sent);
        let (least, most) = (all.clone().min().unwrap_or(0), all.max().unwrap_or(0));
        assert!(most - least <= 6 << 20, "some get on and others do not: {least}, {most}");
        assert!(turns < 10_000);
    }
    for (far, _) in &mut uploads {
        let mut all = Vec::new();
        while all.is_empty() {
            step(&mut thread);
            all = received(far).expect("the connection is there");
        }
        assert_eq!(all, b"+OK\r\n");
    }
}

/// Bytes of input that wait for all clients together.
fn input(thread: &mut IoThread) -> usize {
    let conns = thread.conns.ids();
    conns.filter_map(|index| thread.conns.get_mut(index).map(|conn| Conn::input_bytes(conn))).sum()
}
