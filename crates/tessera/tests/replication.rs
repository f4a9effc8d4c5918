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

/// Halts the primary while a key, which the replica has too, has still some time to live: so nobody can have deleted it.
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
        // When clients of the replica are paused, then the data there does not change until the pause ends.
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
        // Nobody listens there.
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
        // Nobody listens there.
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
