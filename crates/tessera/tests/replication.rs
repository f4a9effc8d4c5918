//! Two servers and more outside a cluster: roles, the stream, what replicas show.

mod common;

use common::server::{Server, start};
use common::wire::{Answer, Wire, command, field_of};
use common::{await_halted, eventually};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn expired_keys_go_by_themselves_and_replicas_hide_them() {
    const KEYS: usize = 20_000;
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    let replica = Server::tessera(temp.path(), &[]);
    replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    eventually("the replica is linked", || {
        let status = replica.wire().info("replication", "master_link_status");
        if status == "up" { Ok(()) } else { Err(status) }
    });

    // Given: many keys that expire soon, and some that stay.
    let mut wire = primary.wire();
    let mut pipeline = Vec::new();
    for number in 0..KEYS {
        pipeline.extend(command(&["SET", &format!("short:{number}"), "x", "PX", "1500"]));
    }
    for number in 0..100 {
        pipeline.extend(command(&["SET", &format!("stays:{number}"), "x"]));
    }
    wire.send(&pipeline).expect("sent");
    (0..KEYS + 100).for_each(|_| assert_eq!(wire.answer().expect("a reply").text(), "OK"));
    assert_eq!(wire.say("WAIT 1 20000").integer(), 1);
    let mut copy = replica.wire();
    copy.say("SET x y");

    // Then they go without anybody asking for them, on the replica by the primary's word.
    eventually("all that is short-lived is gone from both", || {
        let counts = [&mut wire, &mut copy].map(|wire| wire.say("DBSIZE").integer());
        if counts == [100, 100] { Ok(()) } else { Err(format!("{counts:?}")) }
    });
    let expired: usize = wire.info("stats", "expired_keys").parse().expect("a number");
    assert_eq!(expired, KEYS);

    // A replica whose primary is halted shows no expired key, though it still has it.
    halt_with_a_key_that_expires(&primary, &mut wire, &mut copy);
    eventually("the replica hides the key", || {
        let found = copy.say("GET hidden");
        if found == Answer::Null { Ok(()) } else { Err(format!("{found:?}")) }
    });
    assert_eq!(copy.say("EXISTS hidden").integer(), 0);
    assert_eq!(copy.say("TTL hidden").integer(), -2);
    assert_eq!(copy.say("DBSIZE").integer(), 101, "only the primary deletes");
    primary.signal(Signal::CONT);
    eventually("the primary deletes it", || {
        let count = copy.say("DBSIZE").integer();
        if count == 100 { Ok(()) } else { Err(count.to_string()) }
    });
}

/// Halts the primary while a key, which the replica has too, has still some time to live: so nobody
/// can have deleted it.
fn halt_with_a_key_that_expires(primary: &Server, wire: &mut Wire, copy: &mut Wire) {
    for ttl in [300, 1000, 3000, 10_000, 30_000] {
        assert_eq!(wire.say(&format!("SET hidden x PX {ttl}")).text(), "OK");
        assert_eq!(wire.say("WAIT 1 20000").integer(), 1);
        primary.signal(Signal::STOP);
        await_halted(primary.pid());
        if copy.say("GET hidden") != Answer::Null {
            return;
        }
        primary.signal(Signal::CONT);
    }
    panic!("the machine is too busy: a key expires before the next command");
}

#[test]
fn a_paused_replica_holds_its_primarys_stream_back() {
    /// Milliseconds.
    const PAUSE: u64 = 1000;
    let [(_a, primary), (_b, replica)] = [(); 2].map(|()| start(&[]));
    assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
    let (mut wire, mut copy) = (primary.wire(), replica.wire());
    eventually("the link is up", || match copy.info("replication", "master_link_status") {
        status if status == "up" => Ok(()),
        status => Err(status),
    });
    for (number, kind) in ["WRITE", "ALL"].into_iter().enumerate() {
        // When clients of the replica are paused, then the data there does not change until the
        // pause ends.
        let since = Instant::now();
        assert_eq!(copy.say(&format!("CLIENT PAUSE {PAUSE} {kind}")).text(), "OK");
        assert_eq!(wire.say(&format!("SET key:{number} v")).text(), "OK");
        assert_eq!(wire.say("WAIT 1 20000").integer(), 1);
        // The servers' clock counts whole milliseconds.
        let paused = since.elapsed() + Duration::from_millis(1);
        assert!(paused >= Duration::from_millis(PAUSE), "{kind}: {paused:?}");
        assert_eq!(copy.say(&format!("GET key:{number}")).text(), "v");
    }
    assert_eq!(primary.wire().info("stats", "sync_full"), "1");
}

#[test]
fn replicaof_answers_when_the_role_has_changed() {
    let [(_a, primary), (_b, other)] = [(); 2].map(|()| start(&["--io-threads", "2"]));
    let mut wire = other.wire();
    let role = |wire: &mut Wire| wire.say("ROLE").array()[0].text();
    for _ in 0..20 {
        assert_eq!(wire.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
        assert_eq!(role(&mut wire), "slave");
        assert_eq!(wire.info("replication", "role"), "slave");
        eventually("nothing is loaded any more", || match wire.say("REPLICAOF NO ONE") {
            Answer::Status(_) => Ok(()),
            answer => Err(answer.text()),
        });
        assert_eq!(role(&mut wire), "master");
        // From here on nothing is dropped for the sake of a primary that is no longer followed.
        assert_eq!(wire.say("SET k v").text(), "OK");
        assert_eq!(wire.say("GET k").text(), "v");
    }
    // In a pipeline, too: what follows waits for it.
    let line = format!("REPLICAOF 127.0.0.1 {}\r\nROLE\r\n", primary.port);
    wire.send(line.as_bytes()).expect("sent");
    assert_eq!(wire.answer().expect("a reply").text(), "OK");
    assert_eq!(wire.answer().expect("a reply").array()[0].text(), "slave");
}

#[test]
fn replicaof_in_a_transaction_completes_nothing_that_comes_after_it() {
    let (_guard, server) = start(&["--io-threads", "2"]);
    let mut wire = server.wire();
    for _ in 0..100 {
        // No server listens there.
        for command in ["MULTI", "REPLICAOF 127.0.0.1 1", "EXEC"] {
            wire.say(command);
        }
        assert!(wire.say("SET k v").text().starts_with("READONLY"));
        assert_eq!(wire.say("REPLICAOF NO ONE").text(), "OK");
        assert_eq!(wire.say("SET k v").text(), "OK");
    }
}

#[test]
fn a_history_that_nobody_reads_is_freed() {
    let (_a, primary) = start(&["--repl-backlog-ttl", "1"]);
    let (_b, mut other) = start(&[]);
    let mut wire = primary.wire();
    assert_eq!(other.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
    let active = |wire: &mut Wire, wanted: &str| {
        eventually("the history is kept, or not", || {
            match wire.info("replication", "repl_backlog_active") {
                active if active == wanted => Ok(()),
                active => Err(active),
            }
        });
    };
    active(&mut wire, "1");
    other.kill();
    active(&mut wire, "0");
}

#[test]
fn a_transaction_that_changes_the_role_sees_the_new_one() {
    let [(_a, primary), (_b, other)] = [(); 2].map(|()| start(&[]));
    let mut wire = other.wire();
    assert_eq!(wire.say("MULTI").text(), "OK");
    let follow = format!("REPLICAOF 127.0.0.1 {}", primary.port);
    for command in [follow.as_str(), "ROLE", "INFO replication"] {
        assert_eq!(wire.say(command).text(), "QUEUED");
    }
    let Answer::Array(answers) = wire.say("EXEC") else { panic!("EXEC answers an array") };
    assert_eq!(answers[1].array()[0].text(), "slave");
    let info = answers[2].text();
    assert_eq!(field_of(&info, "role"), "slave");
    assert_eq!(field_of(&info, "master_port"), primary.port.to_string());
    assert_eq!(field_of(&info, "master_link_status"), "down");
}

#[test]
fn a_replica_without_a_link_knows_that_it_is_stale_once_replicaof_has_answered() {
    let (_guard, server) = start(&["--replica-serve-stale-data", "no"]);
    let (mut wire, mut other) = (server.wire(), server.wire());
    for _ in 0..10 {
        assert_eq!(wire.say("SET k v").text(), "OK");
        // No server listens there.
        assert_eq!(other.say("REPLICAOF 127.0.0.1 1").text(), "OK");
        assert!(wire.say("GET k").text().starts_with("MASTERDOWN"));
        assert_eq!(other.say("REPLICAOF NO ONE").text(), "OK");
        assert_eq!(wire.say("GET k").text(), "v");
    }
}

#[test]
fn a_replica_of_a_replica_writes_to_the_same_database() {
    let [(_a, primary), (_b, middle), (_c, last)] = [(); 3].map(|()| start(&[]));
    let follow = |replica: &Server, of: &Server| {
        assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {}", of.port)).text(), "OK");
        eventually("the link is up", || {
            let info = replica.say("INFO replication").text();
            let is_so = field_of(&info, "master_link_status") == "up"
                && field_of(&info, "master_port") == of.port.to_string();
            if is_so { Ok(()) } else { Err(info) }
        });
    };
    let mut wire = primary.wire();
    assert_eq!(wire.say("SELECT 5").text(), "OK");
    let await_key = |replica: &Server, key: &str| {
        let mut copy = replica.wire();
        assert_eq!(copy.say("SELECT 5").text(), "OK");
        eventually("the write arrives in its database", || {
            match copy.say(&format!("EXISTS {key}")).integer() {
                1 => Ok(()),
                _ => Err(format!("{key}: {}", copy.say("INFO keyspace").text())),
            }
        });
    };

    // The stream has selected the database before the last one comes.
    follow(&middle, &primary);
    assert_eq!(wire.say("SET first x").text(), "OK");
    await_key(&middle, "first");
    follow(&last, &middle);
    assert_eq!(wire.say("SET second x").text(), "OK");
    await_key(&middle, "second");
    await_key(&last, "second");

    // And before the last one goes on with another primary, from where it is.
    let full = primary.wire().info("stats", "sync_full");
    follow(&last, &primary);
    assert_eq!(wire.say("SET third x").text(), "OK");
    await_key(&last, "third");
    assert_eq!(primary.wire().info("stats", "sync_full"), full, "there was a full resync");
    for server in [&middle, &last] {
        assert_eq!(server.say("DBSIZE").integer(), 0, "a write went to database 0");
    }
}

/// Makes a value of each type that snapshots show part by part, of so many elements.
fn make_large(wire: &mut Wire, elements: usize) {
    const AT_ONCE: usize = 1000;
    for start in (0..elements).step_by(AT_ONCE) {
        let texts: Vec<String> =
            (start..start + AT_ONCE).map(|n| format!("element:{n}:{n:0>20}")).collect();
        let plain = texts.iter().map(String::as_str);
        let doubled = || texts.iter().flat_map(|text| ["77", text.as_str()]);
        let mut pipeline = command(&["APPEND", "string", &texts.concat()]);
        for head in [["RPUSH", "list"], ["SADD", "set"]] {
            pipeline.extend(command(&head.into_iter().chain(plain.clone()).collect::<Vec<_>>()));
        }
        pipeline
            .extend(command(&["ZADD", "zset"].into_iter().chain(doubled()).collect::<Vec<_>>()));
        let fields = texts.iter().flat_map(|text| [text.as_str(), "77"]);
        pipeline.extend(command(&["HSET", "hash"].into_iter().chain(fields).collect::<Vec<_>>()));
        for (number, text) in (start + 1..).zip(&texts) {
            pipeline.extend(command(&["XADD", "stream", &format!("{number}-0"), "field", text]));
        }
        wire.send(&pipeline).expect("sent");
        for _ in 0..5 + AT_ONCE {
            assert!(!matches!(wire.answer().expect("a reply"), Answer::Error(_)));
        }
    }
    assert_eq!(wire.say("XGROUP CREATE stream group 0").text(), "OK");
    wire.say(&format!("XREADGROUP GROUP group reader COUNT {elements} STREAMS stream >"));
}

/// Commands that change each of these values, here and there; number so much of them all.
fn change_large(number: usize, elements: usize) -> Vec<String> {
    let at = number.wrapping_mul(7919) % (elements * 2);
    let element = format!("element:{at}:{at:0>20}");
    let mut lines = vec![
        format!("SETBIT string {} 1", at * 8),
        format!("APPEND string {number}"),
        format!("LPUSH list {number}"),
        "RPOP list".to_owned(),
        format!("LSET list {} {number}", at / 3),
        format!("SADD set new:{number}"),
        format!("SREM set {element}"),
        format!("ZADD zset {number} {element}"),
        format!("ZREM zset element:{number}:{number:0>20}"),
        format!("HSET hash {element} {number}"),
        format!("HDEL hash element:{number}:{number:0>20}"),
        format!("XADD stream * field {number}"),
        format!("XDEL stream {at}-0"),
        format!("XACK stream group {at}-0 {number}-0"),
    ];
    match number {
        50 => lines.push("RENAME hash moved".to_owned()),
        60 => lines.push("RENAME moved hash".to_owned()),
        70 => lines.push("MOVE set 3".to_owned()),
        80 => lines.push("DEL zset".to_owned()),
        90 => lines.push("XTRIM stream MAXLEN 1000".to_owned()),
        95 => lines.push("PEXPIREAT list 4102444800000".to_owned()),
        _ => {}
    }
    lines
}

#[test]
fn a_replica_gets_large_values_as_they_stood_while_they_are_changed() {
    const ELEMENTS: usize = 30_000;
    for compression in ["yes", "no"] {
        let debug = ["--enable-debug-command", "yes"];
        let (_a, primary) = start(&[&debug[..], &["--rdbcompression", compression]].concat());
        let (_b, replica) = start(&debug);
        let mut wire = primary.wire();
        make_large(&mut wire, ELEMENTS);

        // When the replica's synchronisation and many changes go on at the same time.
        assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
        let mut copy = replica.wire();
        let is_linked = |copy: &mut Wire| copy.info("replication", "master_link_status") == "up";
        let mut number = 1;
        while !is_linked(&mut copy) || number < 100 {
            for line in change_large(number, ELEMENTS) {
                wire.say(&line);
            }
            number += 1;
        }

        // Then both have the same in the end.
        eventually("the replica has all of it", || {
            let offsets =
                [&mut wire, &mut copy].map(|wire| wire.info("replication", "master_repl_offset"));
            if offsets[0] == offsets[1] { Ok(()) } else { Err(format!("{offsets:?}")) }
        });
        for line in ["DEBUG DIGEST", "XINFO STREAM stream", "XPENDING stream group"] {
            let answer = wire.say(line);
            assert!(!matches!(answer, Answer::Error(_)), "{line}: {answer:?}");
            assert_eq!(shown(&answer), shown(&copy.say(line)), "{line}");
        }
        let all = format!("XPENDING stream group - + {ELEMENTS}");
        let (first, second) = (wire.say(&all), copy.say(&all));
        assert_eq!(first.array().len(), second.array().len());
        for (first, second) in first.array().iter().zip(second.array()) {
            assert_eq!(first.array()[0], second.array()[0]);
        }
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Array(parts) => parts.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.text(),
    }
}
