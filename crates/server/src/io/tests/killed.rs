//! Clients that are ended while they wait: nothing is given to them, and they are in no list.

use super::{client, client_from, pending, received, step, thread};
use crate::io::IoThread;
use std::io::Write;
use std::os::unix::net::UnixStream;
use tessera_config::Config;
use tessera_config::value::{Bytes, BytesOrPercent};

/// The waiting command, one that would serve it, a question afterwards, and its answer if nothing
/// was lost.
const WAITS: &[(&str, &str, &str, &str)] = &[
    ("BLPOP q 0", "RPUSH q x", "LLEN q", ":1\r\n"),
    ("BRPOP q 0", "RPUSH q x", "LLEN q", ":1\r\n"),
    ("BLMPOP 0 1 q LEFT", "RPUSH q x", "LLEN q", ":1\r\n"),
    ("BLMOVE q d LEFT LEFT 0", "RPUSH q x", "LLEN q", ":1\r\n"),
    ("BRPOPLPUSH q d 0", "RPUSH q x", "LLEN q", ":1\r\n"),
    ("BZPOPMIN z 0", "ZADD z 1 x", "ZCARD z", ":1\r\n"),
    ("BZPOPMAX z 0", "ZADD z 1 x", "ZCARD z", ":1\r\n"),
    ("BZMPOP 0 1 z MIN", "ZADD z 1 x", "ZCARD z", ":1\r\n"),
    (
        "XREADGROUP GROUP g c BLOCK 0 STREAMS s >",
        "XADD s 1-1 f v",
        "XPENDING s g",
        "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n",
    ),
];

/// Ways to end the client with id 1, whose address is `waiter`, from the client with id 2.
const KILLS: &[&str] = &[
    "CLIENT KILL TYPE normal SKIPME yes",
    "CLIENT KILL ID 1",
    "CLIENT KILL ADDR waiter",
    "CLIENT KILL LADDR here",
    "CLIENT KILL USER default",
    "CLIENT KILL waiter",
];

/// Everything that is answered until nothing more comes.
fn answers(thread: &mut IoThread, far: &mut UnixStream) -> String {
    let mut all = Vec::new();
    for _ in 0..3 {
        thread.pace.next_scan = tessera_slot::Millis(0);
        step(thread);
        all.extend(received(far).expect("it is not the one that is killed"));
    }
    String::from_utf8(all).expect("text")
}

fn ask(thread: &mut IoThread, far: &mut UnixStream, lines: &[&str]) -> String {
    far.write_all(format!("{}\r\n", lines.join("\r\n")).as_bytes()).expect("there is room");
    answers(thread, far)
}

/// A client that waits, and another one.
fn waiting(command: &str) -> (IoThread, UnixStream, UnixStream) {
    let mut thread = thread(Config::default());
    let far = client_from(&mut thread, "waiter", b"");
    let mut other = client_from(&mut thread, "other", b"");
    ask(&mut thread, &mut other, &["XGROUP CREATE s g $ MKSTREAM"]);
    (&far).write_all(format!("{command}\r\n").as_bytes()).expect("there is room");
    answers(&mut thread, &mut other);
    assert_eq!(thread.server.engine.blocked_clients(), 1, "{command}");
    (thread, far, other)
}

#[test]
fn who_is_killed_while_it_waits_is_given_nothing() {
    for &(wait, feed, question, nothing_lost) in WAITS {
        for kill in KILLS {
            for lines in
                [&["MULTI", kill, feed, "EXEC"][..], &[kill, feed], &["MULTI", kill, "EXEC", feed]]
            {
                let (mut thread, mut far, mut other) = waiting(wait);
                ask(&mut thread, &mut other, lines);
                let answer = ask(&mut thread, &mut other, &[question]);
                assert_eq!(answer, nothing_lost, "{wait}, {lines:?}");
                assert_eq!(thread.server.engine.blocked_clients(), 0, "{wait}, {lines:?}");
                assert_eq!(received(&mut far), None, "its connection is closed: {lines:?}");
            }
            // By a command of its own, before the thread has closed the connection.
            let (mut thread, _far, mut other) = waiting(wait);
            ask(&mut thread, &mut other, &[kill]);
            ask(&mut thread, &mut other, &[feed]);
            assert_eq!(ask(&mut thread, &mut other, &[question]), nothing_lost, "{wait}, {kill}");
        }
    }
}

#[test]
fn who_has_closed_its_socket_while_it_waits_is_given_nothing() {
    for &(wait, feed, question, nothing_lost) in WAITS {
        let (mut thread, far, mut other) = waiting(wait);
        drop(far);
        ask(&mut thread, &mut other, &[feed]);
        assert_eq!(ask(&mut thread, &mut other, &[question]), nothing_lost, "{wait}");
    }
}

#[test]
fn who_is_evicted_while_it_waits_is_given_nothing() {
    for &(wait, feed, question, nothing_lost) in WAITS {
        let (mut thread, mut far, mut other) = waiting(wait);
        // When it takes more memory than all clients may.
        far.write_all(&[b'x'; 100_000]).expect("there is room");
        answers(&mut thread, &mut other);
        assert!(pending(&mut thread) < 1000);
        let mut config = Config::clone(&thread.server.engine.config());
        config.memory.maxmemory_clients = BytesOrPercent::Bytes(Bytes(100_000));
        thread.server.engine.set_config(config);
        ask(&mut thread, &mut other, &[feed]);
        assert_eq!(ask(&mut thread, &mut other, &[question]), nothing_lost, "{wait}");
        assert_eq!(thread.server.engine.stats.sum(|stats| &stats.evicted_clients), 1, "{wait}");
    }
}

#[test]
fn who_was_served_before_it_is_killed_gets_its_answer() {
    let (mut thread, mut far, mut other) = waiting("BLPOP q 0");
    ask(&mut thread, &mut other, &["RPUSH q x", "CLIENT KILL ID 1"]);
    assert_eq!(received(&mut far).as_deref(), Some(&b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n"[..]));
    assert_eq!(received(&mut far), None);
}

#[test]
fn who_is_killed_is_in_no_list() {
    let mut thread = thread(Config::default());
    let mut far = client_from(&mut thread, "idle", b"");
    let mut other = client(
        &mut thread,
        b"CLIENT KILL ID 1\r\nCLIENT LIST\r\nCLIENT KILL ID 1\r\nCLIENT KILL idle\r\n",
    );
    let answer = answers(&mut thread, &mut other);
    assert!(answer.starts_with(":1\r\n$"), "{answer}");
    assert!(answer.ends_with(":0\r\n-ERR No such client\r\n"), "{answer}");
    assert!(answer.contains("id=2 ") && !answer.contains("id=1 "), "{answer}");
    assert_eq!(received(&mut far), None);
}
