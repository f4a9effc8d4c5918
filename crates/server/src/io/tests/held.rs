//! Slots that somebody holds for long: their clients wait, and nobody else does.

use super::{client, received, step, thread};
use crate::accept::Accepted;
use crate::io::{IoThread, Message};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tessera_config::Config;
use tessera_config::table::general::ProtectedAction;

/// Another thread's number.
const HOLDER: usize = 1;

fn thread_with_debug() -> IoThread {
    let mut config = Config::default();
    config.general.enable_debug_command = ProtectedAction::Yes;
    thread(config)
}

fn ask(thread: &mut IoThread, far: &mut UnixStream, line: &str) -> String {
    far.write_all(format!("{line}\r\n").as_bytes()).expect("there is room");
    step(thread);
    answer(far)
}

fn answer(far: &mut UnixStream) -> String {
    String::from_utf8(received(far).expect("it is connected")).expect("text")
}

/// Turns until the client has its answer.
fn await_answer(thread: &mut IoThread, far: &mut UnixStream) -> String {
    let started = Instant::now();
    loop {
        let found = answer(far);
        if !found.is_empty() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "no answer");
        step(thread);
    }
}

#[test]
fn clients_of_a_held_slot_wait_and_all_others_are_served() {
    const WAITING: usize = 50;
    let mut thread = thread(Config::default());
    let engine = Arc::clone(&thread.server.engine);
    let mut other = client(&mut thread, b"");
    ask(&mut thread, &mut other, "MSET held 0 free 0");
    let slot = engine.keyspace.locate(b"held").slot();
    let mut world = engine.keyspace.enter(HOLDER);
    let held = world.lock(slot);

    let mut waiting: Vec<UnixStream> =
        (0..WAITING).map(|_| client(&mut thread, b"INCR held\r\nPING\r\n")).collect();
    let mut slowest = Duration::ZERO;
    for number in 1..=200 {
        let started = Instant::now();
        other.write_all(b"INCR free\r\n").expect("there is room");
        assert_eq!(await_answer(&mut thread, &mut other), format!(":{number}\r\n"));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_millis(300), "an answer took {slowest:?}");
    assert!(waiting.iter_mut().all(|far| answer(far).is_empty()), "they wait");

    // When the slot is free, then each runs once, in order with what follows.
    drop(held);
    drop(world);
    let mut numbers: Vec<usize> = waiting
        .iter_mut()
        .map(|far| {
            let answer = await_answer(&mut thread, far);
            let number =
                answer.strip_prefix(':').and_then(|rest| rest.strip_suffix("\r\n+PONG\r\n"));
            number.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=WAITING).collect::<Vec<_>>());
}

#[test]
fn who_waits_at_a_held_slot_can_be_killed_and_is_gone() {
    let mut thread = thread(Config::default());
    let engine = Arc::clone(&thread.server.engine);
    let mut other = client(&mut thread, b"");
    let slot = engine.keyspace.locate(b"held").slot();
    let mut world = engine.keyspace.enter(HOLDER);
    let held = world.lock(slot);
    let mut waiting = client(&mut thread, b"INCR held\r\n");
    step(&mut thread);
    assert_eq!(ask(&mut thread, &mut other, "CLIENT KILL ID 2"), ":1\r\n");
    step(&mut thread);
    assert_eq!(received(&mut waiting), None);
    drop(held);
    drop(world);
    assert_eq!(ask(&mut thread, &mut other, "EXISTS held"), ":0\r\n");
}

#[test]
fn a_flush_waits_for_a_long_command_and_nobody_else_does() {
    let mut thread = thread(Config::default());
    let engine = Arc::clone(&thread.server.engine);
    let mut other = client(&mut thread, b"");
    ask(&mut thread, &mut other, "SET key v");
    let long = engine.keyspace.enter(HOLDER);
    let mut flushing = client(&mut thread, b"FLUSHALL\r\n");
    for _ in 0..100 {
        assert_eq!(ask(&mut thread, &mut other, "GET key"), "$1\r\nv\r\n");
    }
    assert_eq!(answer(&mut flushing), "");
    drop(long);
    assert_eq!(await_answer(&mut thread, &mut flushing), "+OK\r\n");
    assert_eq!(ask(&mut thread, &mut other, "GET key"), "$-1\r\n");
}

#[test]
fn a_long_command_lets_its_own_threads_clients_run() {
    let mut thread = thread_with_debug();
    let mut other = client(&mut thread, b"");
    let mut behind = client(&mut thread, b"");
    ask(&mut thread, &mut other, "SET free 0");
    // The long command comes first, and what comes after it on its own connection waits.
    let mut long = client(&mut thread, b"DEBUG HOLD held 0.5\r\nSET held mine\r\nGET free\r\n");
    let mut second = client(&mut thread, b"DEBUG HOLD free 0.1\r\n");
    other.write_all(&b"INCR free\r\n".repeat(20)).expect("there is room");
    behind.write_all(b"SET held other\r\n").expect("there is room");
    let started = Instant::now();
    let asker = std::thread::spawn(move || {
        // While this test's thread runs the long command, the others are answered.
        let mut times = Vec::new();
        let mut got = Vec::new();
        while got.len() < 20 * 5 - 12 {
            got.extend(received(&mut other).expect("it is connected"));
            times.push(started.elapsed());
            std::thread::sleep(Duration::from_millis(1));
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", got.escape_ascii());
        }
        (String::from_utf8(got).expect("text"), started.elapsed())
    });
    step(&mut thread);
    let took = started.elapsed();
    let (got, at) = asker.join().expect("it was answered");
    assert!(got.starts_with(":1\r\n:2\r\n") && got.ends_with(":20\r\n"), "{got}");
    assert!(at < Duration::from_millis(400), "answered after {at:?}");
    assert!(took >= Duration::from_millis(500), "the long command ended after {took:?}");

    // Then what waited behind it runs; the second one ran after the first.
    assert_eq!(await_answer(&mut thread, &mut behind), "+OK\r\n");
    assert_eq!(await_answer(&mut thread, &mut second), "+OK\r\n");
    let mut all = String::new();
    while !all.ends_with("$2\r\n20\r\n") {
        all += &await_answer(&mut thread, &mut long);
    }
    assert_eq!(all, "+OK\r\n+OK\r\n$2\r\n20\r\n");
}

#[test]
fn who_is_killed_in_a_long_command_is_gone_when_it_is_through() {
    let mut thread = thread_with_debug();
    let mut long = client(&mut thread, b"DEBUG HOLD held 0.2\r\nSET held mine\r\n");
    let mut other = client(&mut thread, b"CLIENT KILL ID 1\r\n");
    step(&mut thread);
    step(&mut thread);
    assert_eq!(await_answer(&mut thread, &mut other), ":1\r\n");
    let started = Instant::now();
    while received(&mut long).is_some() {
        assert!(started.elapsed() < Duration::from_secs(5), "it is still there");
        step(&mut thread);
    }
    assert_eq!(ask(&mut thread, &mut other, "EXISTS held"), ":0\r\n");
}

#[test]
fn a_long_command_whose_client_has_left_is_not_run_for_the_next_one() {
    let mut thread = thread_with_debug();
    let mailbox = Arc::clone(&thread.server.mailboxes[0]);
    let places = Arc::clone(&thread.server.places);
    let mut long = client(&mut thread, b"DEBUG HOLD held 0.5\r\n");
    let leaving = client(&mut thread, b"DEBUG HOLD free 0.01\r\n");
    let meanwhile = std::thread::spawn(move || {
        let turns = || std::thread::sleep(Duration::from_millis(100));
        turns();
        drop(leaving);
        turns();
        // It gets the number of the one that has left.
        let (near, far) = UnixStream::pair().expect("two sockets");
        near.set_nonblocking(true).expect("a socket can");
        far.set_nonblocking(true).expect("a socket can");
        let socket = std::os::fd::OwnedFd::from(near).into();
        let place = places.take(usize::MAX).expect("there is room");
        let (peer, local) = ("next".to_owned(), "local".to_owned());
        let accepted = Accepted { socket, place, peer, local, is_local: true, is_unix: true };
        mailbox.send(Message::Accept(accepted));
        far
    });
    step(&mut thread);
    let mut next = meanwhile.join().expect("it has come");
    step(&mut thread);
    assert_eq!(await_answer(&mut thread, &mut long), "+OK\r\n");
    assert_eq!(answer(&mut next), "", "it has asked nothing");
    assert_eq!(ask(&mut thread, &mut next, "ECHO own"), "$3\r\nown\r\n");
}

#[test]
fn what_was_answered_before_a_long_command_is_sent() {
    let mut thread = thread_with_debug();
    let mut long = client(&mut thread, b"PING\r\nDEBUG HOLD held 0.05\r\n");
    let mut all = String::new();
    while !all.ends_with("+OK\r\n") {
        step(&mut thread);
        all += &await_answer(&mut thread, &mut long);
    }
    assert_eq!(all, "+PONG\r\n+OK\r\n");
}
