//! An I/O thread that a test drives turn by turn, with its clocks.

use super::Mailbox;
use super::thread::IoThread;
use crate::accept::Accepted;
use crate::server::Server;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tessera_config::Config;
use tessera_config::value::{Bytes, BytesOrPercent};
use tessera_log::ReplId;
use tessera_slot::Millis;

mod fairness;
mod foreign;
mod held;
mod interleaved;
mod killed;

const HOUR: u64 = 3_600_000;

/// A thread of a server that is not a cluster's.
fn thread(config: Config) -> IoThread {
    let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
    let server = Server::with_mailboxes(config, None, vec![mailbox]);
    IoThread::new(0, server, Vec::new()).expect("epoll")
}

/// A client of this thread that has sent something.
fn client(thread: &mut IoThread, sent: &[u8]) -> UnixStream {
    client_from(thread, "peer", sent)
}

/// A client with this address; its local address is `here`, those of others are `local`.
fn client_from(thread: &mut IoThread, peer: &str, sent: &[u8]) -> UnixStream {
    let (near, mut far) = UnixStream::pair().expect("two sockets");
    near.set_nonblocking(true).expect("a socket can");
    far.set_nonblocking(true).expect("a socket can");
    let local = if peer == "waiter" { "here" } else { "local" }.to_owned();
    let peer = peer.to_owned();
    let place = thread.server.places.take(usize::MAX).expect("there is room");
    let socket = std::os::fd::OwnedFd::from(near).into();
    thread.serve(Accepted { socket, place, peer, local, is_local: true, is_unix: true });
    far.write_all(sent).expect("there is room");
    far
}

/// One turn, as the thread itself takes it.
fn step(thread: &mut IoThread) {
    thread.step(&mut Vec::with_capacity(16)).expect("epoll waits");
}

/// A turn at these times.
fn turn_at(thread: &mut IoThread, unix: Millis, steady: Millis) {
    (thread.now, thread.steady) = (unix, steady);
    thread.turn();
}

/// The bytes that have come; `None` if the connection has ended.
fn received(far: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 1 << 20];
    match far.read(&mut bytes) {
        Ok(0) => None,
        Ok(count) => Some(bytes[..count].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn who_sets_the_clock_neither_ends_nor_prolongs_a_wait() {
    for (command, answer) in [("BLPOP key 5\r\n", "*-1\r\n"), ("WAIT 1 5000\r\n", ":0\r\n")] {
        let mut thread = thread(Config::default());
        let mut far = client(&mut thread, command.as_bytes());
        step(&mut thread);
        let (unix, steady) = (thread.now, thread.steady);

        // When the clock is set forward by an hour, then back by one.
        turn_at(&mut thread, unix.plus(HOUR), steady.plus(1000));
        turn_at(&mut thread, Millis(unix.0 - HOUR), steady.plus(4999));
        // Then the client waits.
        assert_eq!(received(&mut far).as_deref(), Some(&b""[..]), "{command}");

        // When five seconds are over, then it waits no more.
        turn_at(&mut thread, Millis(unix.0 - HOUR), steady.plus(5000));
        assert_eq!(received(&mut far).as_deref(), Some(answer.as_bytes()), "{command}");
    }
}

#[test]
fn who_waits_again_and_again_does_not_leave_a_buffer_each_time() {
    let mut thread = thread(Config::default());
    let mut far = client(&mut thread, b"");
    for round in 0..50 {
        far.write_all(b"WAIT 1 10\r\n").expect("there is room");
        step(&mut thread);
        let (unix, steady) = (thread.now.plus(10), thread.steady.plus(10));
        turn_at(&mut thread, unix, steady);
        assert_eq!(received(&mut far).as_deref(), Some(&b":0\r\n"[..]));
        far.write_all(b"PING\r\n").expect("there is room");
        step(&mut thread);
        assert_eq!(received(&mut far).as_deref(), Some(&b"+PONG\r\n"[..]));
        assert!(thread.spare.count() <= 2, "{} buffers after {round} rounds", thread.spare.count());
    }
}

/// A replica that has resumed this thread's history, and is fed.
fn replica(thread: &mut IoThread) -> UnixStream {
    let id = ReplId::from_random([1; 20]);
    thread.server.engine.log.activate(id);
    let next = thread.server.engine.log.offset().0 + 1;
    let mut far = client(thread, format!("PSYNC {id} {next}\r\n").as_bytes());
    step(thread);
    let answer = received(&mut far).expect("it is connected");
    assert!(answer.starts_with(b"+CONTINUE"), "{}", answer.escape_ascii());
    far
}

#[test]
fn a_pause_holds_clients_and_no_replicas() {
    let mut thread = thread(Config::default());
    let mut far = replica(&mut thread);
    let mut other = client(&mut thread, b"CLIENT PAUSE 600000 ALL\r\nECHO b\r\n");
    far.write_all(b"REPLCONF ACK 0\r\nECHO a\r\n").expect("there is room");
    for _ in 0..2 {
        step(&mut thread);
    }
    assert_eq!(received(&mut far).as_deref(), Some(&b"$1\r\na\r\n"[..]));
    assert_eq!(received(&mut other).as_deref(), Some(&b"+OK\r\n"[..]));
}

#[test]
fn a_replica_that_is_timed_out_while_it_waits_is_in_no_list() {
    for command in ["WAIT 9 0", "BLPOP key 600"] {
        let mut thread = thread(Config::default());
        let mut far = replica(&mut thread);
        far.write_all(format!("{command}\r\n").as_bytes()).expect("there is room");
        step(&mut thread);

        // When it has not acknowledged anything for longer than `repl-timeout`.
        let (unix, steady) = (thread.now.plus(HOUR), thread.steady.plus(120_000));
        turn_at(&mut thread, unix, steady);
        let started = std::time::Instant::now();
        while received(&mut far).is_some() {
            assert!(started.elapsed() < std::time::Duration::from_secs(5), "{command}");
        }
        // Then nothing is left by which the next connection with its number could be met.
        assert_eq!(thread.waiting.count(), 0, "{command}");
        assert_eq!(thread.waiting.next_deadline(), None, "{command}");
    }
}

#[test]
fn who_sets_the_clock_does_not_make_clients_idle() {
    let mut config = Config::default();
    config.network.timeout = 10;
    let mut thread = thread(config);
    let mut far = client(&mut thread, b"PING\r\n");
    step(&mut thread);
    assert_eq!(received(&mut far).as_deref(), Some(&b"+PONG\r\n"[..]));
    let (unix, steady) = (thread.now, thread.steady);
    turn_at(&mut thread, unix.plus(HOUR), steady.plus(9000));
    assert_eq!(received(&mut far).as_deref(), Some(&b""[..]), "it is not idle");
    turn_at(&mut thread, Millis(unix.0 - HOUR), steady.plus(12_000));
    assert_eq!(received(&mut far), None, "it was idle for longer than the timeout");
}

#[test]
fn a_client_that_does_not_read_leaves_the_others_their_turns() {
    const VALUE: usize = 100_000;
    const GETS: usize = 2000;
    /// The output made for one client in a turn: 64 times 256 KiB, to which the last value of each
    /// may add.
    const SHARE: usize = 64 * ((256 << 10) + 2 * VALUE);
    let mut thread = thread(Config::default());
    let set = format!("SET key {}\r\nPING\r\n", "x".repeat(60_000));
    let append = format!("APPEND key {}\r\n", "x".repeat(VALUE - 60_000));
    let mut other = client(&mut thread, set.as_bytes());
    step(&mut thread);
    other.write_all(append.as_bytes()).expect("there is room");
    while received(&mut other) != Some(format!(":{VALUE}\r\n").into_bytes()) {
        step(&mut thread);
    }

    // When a client asks for 200 MB at once and does not read.
    let mut hog = client(&mut thread, "GET key\r\n".repeat(GETS).as_bytes());
    let mut before = 0;
    for _ in 0..3 {
        other.write_all(b"PING\r\n").expect("there is room");
        step(&mut thread);
        // Then others are answered in each turn, and it gets no more than its share of it.
        assert_eq!(received(&mut other).as_deref(), Some(&b"+PONG\r\n"[..]));
        let pending = pending(&mut thread);
        assert!(pending > before && pending - before <= SHARE, "{before}, {pending}");
        before = pending;
    }

    // When it reads at last, then it gets every answer, whole and in order.
    let answer = format!("${VALUE}\r\n{}\r\n", "x".repeat(VALUE)).into_bytes();
    let (mut all, mut turns) = (Vec::new(), 0);
    while all.len() < GETS * answer.len() {
        all.extend(received(&mut hog).expect("the connection is there"));
        step(&mut thread);
        turns += 1;
        assert!(turns < 1_000_000, "only {} bytes came", all.len());
    }
    assert!(all.chunks(answer.len()).all(|chunk| chunk == answer));
}

/// Bytes that wait for the slowest client.
fn pending(thread: &mut IoThread) -> usize {
    let conns = thread.conns.ids();
    conns
        .filter_map(|index| thread.conns.get_mut(index).map(|conn| conn.output.pending()))
        .max()
        .unwrap_or(0)
}

#[test]
fn replies_that_nobody_reads_count_as_memory_of_their_client() {
    const VALUE: usize = 60_000;
    const LIMIT: u64 = 8 << 20;
    let mut config = Config::default();
    config.memory.maxmemory_clients = BytesOrPercent::Bytes(Bytes(LIMIT));
    let mut thread = thread(config);
    let set = format!("SET key {}\r\n", "x".repeat(VALUE));
    let mut other = client(&mut thread, set.as_bytes());
    while received(&mut other) != Some(b"+OK\r\n".to_vec()) {
        step(&mut thread);
    }

    // When a client asks for less than the limit and does not read, then what waits is counted.
    let half = LIMIT as usize / 2 / VALUE;
    let mut hog = client(&mut thread, "GET key\r\n".repeat(half).as_bytes());
    // It gets 2 MiB of it in a turn.
    (0..3).for_each(|_| step(&mut thread));
    let (waits, counted) = (pending(&mut thread), thread.server.engine.clients.memory());
    assert!(waits > LIMIT as usize / 3, "{waits}");
    assert!((waits..LIMIT as usize).contains(&counted), "{counted} for {waits}");

    // When it asks for more, then it has to go, and takes all of that with it.
    hog.write_all("GET key\r\n".repeat(2 * half).as_bytes()).expect("there is room");
    (0..5).for_each(|_| step(&mut thread));
    assert_eq!(thread.server.engine.clients.len(), 1);
    assert_eq!(pending(&mut thread), 0);
    assert!(thread.server.engine.clients.memory() < 100_000);
}

#[test]
fn who_is_killed_on_its_way_out_does_not_stay_because_it_does_not_read() {
    let mut thread = thread(Config::default());
    let set = format!("SET key {}\r\n", "x".repeat(60_000));
    let mut leaving = client(&mut thread, set.as_bytes());
    while received(&mut leaving) != Some(b"+OK\r\n".to_vec()) {
        step(&mut thread);
    }
    let requests = format!("{}QUIT\r\n", "GET key\r\n".repeat(100));
    leaving.write_all(requests.as_bytes()).expect("there is room");
    step(&mut thread);
    assert!(pending(&mut thread) > 1 << 20, "it reads nothing");

    let mut other = client(&mut thread, b"CLIENT KILL TYPE normal\r\n");
    step(&mut thread);
    step(&mut thread);
    assert_eq!(received(&mut other).as_deref(), Some(&b":1\r\n"[..]));
    assert_eq!((thread.server.engine.clients.len(), pending(&mut thread)), (1, 0));
}

#[test]
fn a_client_that_has_waited_long_is_not_idle_for_that() {
    let mut config = Config::default();
    config.network.timeout = 10;
    let mut thread = thread(config);
    let mut far = client(&mut thread, b"BLPOP key 3600\r\n");
    step(&mut thread);
    let (unix, steady) = (thread.now.plus(HOUR), thread.steady.plus(HOUR));
    turn_at(&mut thread, unix, steady);
    assert_eq!(received(&mut far).as_deref(), Some(&b"*-1\r\n"[..]));

    // Then it is idle from its answer on.
    turn_at(&mut thread, unix.plus(9000), steady.plus(9000));
    assert_eq!(received(&mut far).as_deref(), Some(&b""[..]));
    turn_at(&mut thread, unix.plus(12_000), steady.plus(12_000));
    assert_eq!(received(&mut far), None);
}

#[test]
fn a_server_that_nobody_has_any_more_is_freed() {
    let thread = thread(Config::default());
    let server = Arc::downgrade(&thread.server);
    drop(thread);
    assert!(server.upgrade().is_none(), "it is held by what it holds");
}

/// Sends commands in one batch; gives what is answered, and the time that each command took by INFO
/// commandstats, in microseconds.
fn answers_and_times(sent: &[u8]) -> (String, impl Fn(&str) -> u64) {
    let mut config = Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    let mut thread = thread(config);
    let mut far = client(&mut thread, sent);
    let mut ask = |thread: &mut IoThread, sent: &[u8]| {
        far.write_all(sent).expect("there is room");
        step(thread);
        String::from_utf8(received(&mut far).expect("it is connected")).expect("text")
    };
    let answers = ask(&mut thread, b"");
    let info = ask(&mut thread, b"INFO commandstats\r\n");
    let usec = move |name: &str| -> u64 {
        let line = info.lines().find(|line| line.starts_with(name)).expect("it has run");
        let field = line.split([':', ',']).find_map(|field| field.strip_prefix("usec="));
        field.and_then(|number| number.parse().ok()).expect("a number")
    };
    (answers, usec)
}

#[test]
fn each_command_of_a_batch_is_charged_its_own_time() {
    let (answers, usec) = answers_and_times(b"PING\r\nDEBUG SLEEP 0.05\r\nPING\r\nPING\r\n");
    assert_eq!(answers, "+PONG\r\n+OK\r\n+PONG\r\n+PONG\r\n");
    // Evenly shared out, each PING would have a fourth of it.
    assert!(usec("cmdstat_debug|sleep") >= 45_000, "{}", usec("cmdstat_debug|sleep"));
    assert!(usec("cmdstat_ping") < 10_000, "{}", usec("cmdstat_ping"));
}

#[test]
fn each_command_of_a_transaction_is_charged_its_own_time_and_exec_all_of_it() {
    let (answers, usec) =
        answers_and_times(b"MULTI\r\nPING\r\nDEBUG SLEEP 0.05\r\nPING\r\nEXEC\r\n");
    assert!(answers.ends_with("*3\r\n+PONG\r\n+OK\r\n+PONG\r\n"), "{answers}");
    let sleep = usec("cmdstat_debug|sleep");
    assert!((40_000..200_000).contains(&sleep), "{sleep}");
    assert!(usec("cmdstat_exec") >= 45_000, "{}", usec("cmdstat_exec"));
    assert!(usec("cmdstat_ping") < 10_000, "{}", usec("cmdstat_ping"));
}
