//! Commands on keys of any type.

mod harness;

use harness::{Client, START};
use std::collections::BTreeSet;
use tessera_engine::{ExpireCursor, Mode, Outcome, Park};

/// The elements of a flat array reply.
fn elements(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    text.split("\r\n").skip(2).step_by(2).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

#[test]
fn scan_shows_every_key_that_stays_while_others_come_and_go() {
    let mut client = Client::new();
    for number in 0..3_000 {
        client.run(&format!("set stays:{number} x"));
    }
    let (mut seen, mut cursor, mut steps) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = client.run(&format!("scan {cursor} COUNT 50 MATCH stays:*"));
        let parts: Vec<&str> = reply.split('|').collect();
        cursor = parts[2].to_owned();
        seen.extend(parts[4..].iter().skip(1).step_by(2).map(|key| (*key).to_owned()));
        for number in 0..40 {
            let number = steps * 40 + number;
            client.run(&format!("set passing:{number} x"));
            if steps % 3 == 0 {
                client.run(&format!("del passing:{}", number / 2));
            }
        }
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 3_000, "after {steps} steps");
    assert!(steps > 20, "{steps} steps of about 50");
}

#[test]
fn cursors_that_were_never_given_out_end() {
    let mut client = Client::new();
    client.expect(&[("set k v", "+OK"), ("select 1", "+OK")]);
    for cursor in [16_384u64, 16_385, 1 << 40, u64::MAX, 1 << 63] {
        for db in 0..3 {
            client.run(&format!("select {db}"));
            let (mut at, mut steps) = (cursor.to_string(), 0);
            while at != "0" {
                at = client
                    .run(&format!("scan {at}"))
                    .split('|')
                    .nth(2)
                    .expect("a cursor")
                    .to_owned();
                steps += 1;
                assert!(steps < 20_000, "a scan from {cursor} goes on and on");
            }
        }
    }
}

#[test]
fn scan_filters() {
    let mut client = Client::new();
    client.expect(&[
        ("mset a1 x a2 y b1 z", "+OK"),
        ("scan 0 COUNT 100 MATCH a* TYPE hash", "*2|$1|0|*0"),
        ("scan 0 COUNT 100 MATCH b*", "*2|$1|0|*1|$2|b1"),
        ("scan 0 COUNT 100 MATCH b* TYPE STRING", "*2|$1|0|*1|$2|b1"),
        ("scan 0 TYPE nonsense", "-ERR unknown type name 'nonsense'"),
        ("scan 0 COUNT", "-ERR syntax error"),
        ("scan 00", "-ERR invalid cursor"),
        ("scan 18446744073709551616", "-ERR invalid cursor"),
    ]);
}

#[test]
fn scan_removes_only_those_due_keys_that_it_looked_for() {
    let mut client = Client::new();
    client.expect(&[("set text v PX 5", "+OK"), ("hset hash f v", ":1"), ("pexpire hash 5", ":1")]);
    client.now = START.plus(5);
    client.expect(&[
        ("scan 0 COUNT 100 TYPE string", "*2|$1|0|*0"),
        ("dbsize", ":1"),
        ("scan 0 COUNT 100", "*2|$1|0|*0"),
        ("dbsize", ":0"),
    ]);
}

#[test]
fn keys_and_random_keys() {
    let mut client = Client::new();
    let all: BTreeSet<String> = (0..20).map(|number| format!("k{number}")).collect();
    all.iter().for_each(|key| drop(client.run(&format!("set {key} x"))));
    let found: BTreeSet<String> = elements(&client.command(&["keys", "k*"])).into_iter().collect();
    assert_eq!(found, all);
    let picked: BTreeSet<String> = (0..500)
        .map(|_| client.run("randomkey").split('|').nth(1).expect("a key").to_owned())
        .collect();
    assert_eq!(picked, all, "500 picks among 20 keys meet each");
}

#[test]
fn databases() {
    Client::new().expect(&[
        ("set k v EX 100", "+OK"),
        ("move k 0", "-ERR source and destination objects are the same"),
        ("move k 1", ":1"),
        ("exists k", ":0"),
        ("select 1", "+OK"),
        ("ttl k", ":100"),
        ("copy k k", "-ERR source and destination objects are the same"),
        ("copy k k DB 0", ":1"),
        ("copy k k DB 0", ":0"),
        ("copy k k DB 0 REPLACE", ":1"),
        ("move k 0", ":0"),
        ("flushdb", "+OK"),
        ("dbsize", ":0"),
        ("swapdb 0 1", "+OK"),
        ("ttl k", ":100"),
        ("select 16", "-ERR DB index is out of range"),
        ("flushall", "+OK"),
        ("dbsize", ":0"),
    ]);
}

#[test]
fn in_a_cluster_there_is_one_database() {
    Client::in_cluster().expect(&[
        ("select 0", "+OK"),
        ("select 1", "-ERR SELECT is not allowed in cluster mode"),
        ("move k 1", "-ERR MOVE is not allowed in cluster mode"),
        ("swapdb 0 1", "-ERR SWAPDB is not allowed in cluster mode"),
        ("mset a 1 b 2", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("mset {x}a 1 {x}b 2", "+OK"),
        ("rename {x}a {x}c", "+OK"),
        ("cluster countkeysinslot 16287", ":2"),
        ("cluster getkeysinslot 16287 0", "*0"),
        ("del {x}c", ":1"),
        ("cluster getkeysinslot 16287 5", "*1|$4|{x}b"),
        ("cluster getkeysinslot 16287 -1", "-ERR Invalid slot or number of keys"),
        ("cluster countkeysinslot 16384", "-ERR Invalid slot"),
        ("replicaof a 1", "-ERR REPLICAOF not allowed in cluster mode."),
    ]);
}

#[test]
fn expired_keys_are_found_without_being_asked_for() {
    let mut client = Client::new();
    for number in 0..500 {
        client.run(&format!("set k{number} x PX {}", 1_000 + number));
        client.run(&format!("set keep{number} x"));
    }
    client.run("select 9");
    client.run("set k x PX 1000");
    let mut reader = client.follow();
    let (mut cursor, engine) = (ExpireCursor::default(), client.engine.clone());
    let later = START.plus(1_249);
    let mut removed = 0;
    // With so little time in each call that many are needed.
    for call in 0.. {
        let expired = engine.expire_cycle(1, later, &mut cursor, || false);
        removed += expired.removed;
        if expired.complete {
            assert!(call > 100, "{call} calls");
            break;
        }
    }
    assert_eq!(removed, 251);
    assert_eq!(engine.stats.sum(|thread| &thread.expired), 251);
    assert_eq!(engine.expire_cycle(1, later, &mut cursor, || true).removed, 0);
    client.expect(&[("dbsize", ":0"), ("select 0", "+OK"), ("dbsize", ":750")]);
    let history = String::from_utf8_lossy(reader.peek().expect("it goes on")).into_owned();
    assert_eq!(history.matches("UNLINK").count(), 251);
    // A replica waits for its primary.
    engine.set_mode(Mode::REPLICA, true);
    let much_later = START.plus(1_000_000);
    assert_eq!(engine.expire_cycle(1, much_later, &mut cursor, || true).removed, 0);
}

#[test]
fn replicas_hide_what_has_expired_and_do_not_remove_it() {
    let mut client = Client::new();
    client.expect(&[("set k v PX 100", "+OK")]);
    client.engine.set_mode(Mode::REPLICA, true);
    client.now = START.plus(100);
    client.expect(&[
        ("get k", "$-1"),
        ("exists k", ":0"),
        ("ttl k", ":-2"),
        ("dbsize", ":1"),
        ("wait 1 0", "-ERR WAIT cannot be used with replica instances. Please also note that if a replica is \
          configured to be writable (which is not the default) writes to replicas are just local and are not propagated."),
    ]);
    // Commands from the primary are carried out as they are.
    client.session.is_primary = true;
    client.expect(&[
        ("get k", "$1|v"),
        ("pexpireat k 1", ":1"),
        ("get k", "$1|v"),
        ("del k", ":1"),
    ]);
}

#[test]
fn waiting_for_replicas() {
    let mut client = Client::new();
    client.expect(&[("wait 0 0", ":0"), ("wait -1 0", ":0")]);
    assert_eq!(client.run("wait 2 500"), "");
    let Outcome::Wait(Park::Acknowledged { replicas: 2, deadline, .. }) = client.outcome else {
        panic!("the client waits: {:?}", client.outcome);
    };
    assert_eq!(deadline, Some(START.plus(500)));
    client.host.replicas.store(3, std::sync::atomic::Ordering::Relaxed);
    client.expect(&[
        ("wait 2 0", ":3"),
        ("wait 0 9223372036854775807", "-ERR timeout is out of range"),
    ]);
}

#[test]
fn idle_time_and_touch() {
    let mut client = Client::new();
    client.run("set k v");
    client.now = START.plus(60_000);
    client.expect(&[
        ("object idletime k", ":60"),
        ("exists k", ":1"),
        ("object idletime k", ":60"),
    ]);
    client.expect(&[
        ("client no-touch on", "+OK"),
        ("get k", "$1|v"),
        ("object idletime k", ":60"),
    ]);
    client.expect(&[("touch k no", ":1"), ("object idletime k", ":0")]);
}

#[test]
fn memory_grows_with_the_value() {
    let mut client = Client::new();
    let mut usage = |value: &str| {
        client.command(&["set", "k", value]);
        client.run("memory usage k SAMPLES 5")[1..].parse::<usize>().expect("a number")
    };
    let (small, large) = (usage("x"), usage(&"x".repeat(10_000)));
    assert!(small < 100 && large > 10_000 && large < 10_200, "{small} {large}");
}

#[test]
fn a_random_key_is_found_among_many_that_have_expired() {
    let mut client = Client::new();
    client.expect(&[("set stays x", "+OK")]);
    for number in 0..2_000 {
        client.run(&format!("set k{number} x PX 1"));
    }
    client.now = START.plus(1);
    client.expect(&[("randomkey", "$5|stays"), ("del stays", ":1"), ("randomkey", "$-1")]);
}
