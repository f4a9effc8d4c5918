//! Clients that wait, and transactions, on real servers: what needs several threads or several
//! nodes.

mod common;

use common::eventually;
use common::server::start;
use common::wire::{Answer, Wire, field_of};
use std::time::{Duration, Instant};

fn id_of(wire: &mut Wire) -> i64 {
    wire.say("CLIENT ID").integer()
}

fn await_blocked(wire: &mut Wire, clients: usize) {
    eventually("clients wait", || match wire.info("clients", "blocked_clients") {
        count if count == clients.to_string() => Ok(()),
        count => Err(count),
    });
}

#[test]
fn client_unblock_reaches_clients_of_other_threads() {
    let (_temp, server) = start(&["--io-threads", "3"]);
    let mut other = server.wire();
    for command in ["WAIT 1 0", "BLPOP nothing 0", "XREAD BLOCK 0 STREAMS nothing $"] {
        // Several connections, so that most belong to other threads.
        let mut waiting: Vec<Wire> = (0..6).map(|_| server.wire()).collect();
        let ids: Vec<i64> = waiting.iter_mut().map(id_of).collect();
        for wire in &mut waiting {
            wire.send(format!("{command}\r\n").as_bytes()).expect("sent");
        }
        await_blocked(&mut other, ids.len());
        let started = Instant::now();
        for (number, (wire, id)) in waiting.iter_mut().zip(ids).enumerate() {
            let reason = ["TIMEOUT", "ERROR"][number % 2];
            assert_eq!(other.say(&format!("CLIENT UNBLOCK {id} {reason}")).integer(), 1);
            let answer = wire.answer().expect("a reply");
            match (reason, command) {
                ("ERROR", _) => {
                    assert!(answer.is_error("UNBLOCKED client unblocked"), "{answer:?}")
                }
                (_, "WAIT 1 0") => assert_eq!(answer.integer(), 0),
                _ => assert_eq!(answer, Answer::Null),
            }
            assert_eq!(other.say(&format!("CLIENT UNBLOCK {id}")).integer(), 0);
            assert_eq!(wire.say("PING").text(), "PONG");
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        await_blocked(&mut other, 0);
    }
}

#[test]
fn replicas_see_transactions_whole_and_what_they_feed() {
    let [(_a, primary), (_b, replica)] = [(); 2].map(|()| start(&["--io-threads", "2"]));
    assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
    eventually("the link is up", || {
        match field_of(&replica.say("INFO replication").text(), "master_link_status") {
            status if status == "up" => Ok(()),
            status => Err(status),
        }
    });
    // Given: somebody who reads both keys of a transaction at once, all the time.
    let (mut wire, mut reader) = (primary.wire(), replica.wire());
    let rounds = 300;
    let writer = std::thread::spawn(move || {
        for round in 0..rounds {
            for line in ["MULTI", "INCR {t}a", "LPUSH {t}l x", "INCR {t}b", "EXEC"] {
                let answer = wire.say(line);
                assert!(!matches!(answer, Answer::Error(_)), "{round}: {answer:?}");
            }
        }
        assert_eq!(wire.say("WAIT 1 10000").integer(), 1);
    });
    let mut last = Answer::Null;
    while last != Answer::Bulk(rounds.to_string().into_bytes()) {
        let both = reader.say("MGET {t}a {t}b");
        let [a, b] = both.array() else { panic!("{both:?}") };
        assert_eq!(a, b, "half a transaction");
        last = a.clone();
    }
    writer.join().expect("it has written all");
    assert_eq!(reader.say("LLEN {t}l").integer(), rounds);

    // A transaction which feeds a client that waits: the replica has what is left.
    let (mut waiting, mut wire) = (primary.wire(), primary.wire());
    waiting.send(b"BLPOP {t}new 0\r\n").expect("sent");
    await_blocked(&mut wire, 1);
    for line in ["MULTI", "RPUSH {t}new 1 2 3", "INCR {t}a", "EXEC"] {
        wire.say(line);
    }
    assert_eq!(waiting.answer().expect("a reply").array()[1].text(), "1");
    assert_eq!(wire.say("WAIT 1 10000").integer(), 1);
    let left = reader.say("LRANGE {t}new 0 -1");
    assert_eq!(left.array().iter().map(Answer::text).collect::<Vec<_>>(), ["2", "3"]);
}

#[test]
fn queued_commands_have_a_limit() {
    let (_temp, server) = start(&["--client-query-buffer-limit", "1mb"]);
    let mut wire = server.wire();
    assert_eq!(wire.say("MULTI").text(), "OK");
    let value = "x".repeat(100_000);
    let mut sent = 0;
    while wire.try_ask(&["SET", "k", &value]).is_ok() {
        sent += 1;
        assert!(sent < 30, "three times the limit are queued");
    }
    assert!(sent >= 8, "only {sent} were taken");
    assert_eq!(server.wire().say("DBSIZE").integer(), 0);
}
