//! Commands whose slots somebody has locked for long: they wait, change nothing, and run again.

mod harness;

use harness::{Client, told};
use tessera_engine::{Outcome, Park};
use tessera_slot::Slot;
use tessera_store::{Busy, World};

/// The thread that holds slots. Clients are thread 0.
const HOLDER: usize = 1;

/// A client of a new server whose thread does not wait for long.
fn impatient() -> Client {
    let mut client = Client::new();
    client.is_patient = false;
    client
}

fn slot_of(client: &Client, key: &str) -> Slot {
    client.engine.keyspace.locate(key.as_bytes()).slot()
}

/// Runs a command while the slot of `key` is held; gives its reply and what is to come after it.
fn run_held(client: &mut Client, key: &str, line: &str) -> (String, Outcome) {
    let engine = client.engine.clone();
    let slot = slot_of(client, key);
    let mut world = engine.keyspace.enter(HOLDER);
    let _held = world.lock(slot);
    let reply = client.run(line);
    (reply, client.outcome)
}

/// What waits for the slot of `key`.
fn waits(client: &Client, key: &str) -> (String, Outcome) {
    (String::new(), Outcome::Wait(Park::Locked(Busy::Slot(slot_of(client, key)))))
}

#[test]
fn a_command_waits_for_a_held_slot_and_runs_when_it_is_free() {
    for (line, before, after) in [
        ("SET a 2", "$1|1", "+OK"),
        ("GET a", "$1|1", "$1|1"),
        ("MSET b 1 a 2", "$1|1", "+OK"),
        ("APPEND a 2", "$1|1", ":2"),
        ("RENAME b a", "$1|1", "+OK"),
        ("KEYS *", "$1|1", "*2|$1|a|$1|b"),
        ("SCAN 0 COUNT 100000", "$1|1", "*2|$1|0|*2|$1|a|$1|b"),
        ("EVICTED", "$1|1", "-ERR unknown command 'EVICTED', with args beginning with: "),
    ] {
        let mut client = impatient();
        client.expect(&[("MSET a 1 b 5", "+OK")]);
        let mut log = client.follow();
        let found = run_held(&mut client, "a", line);
        if line == "EVICTED" {
            assert_eq!(
                found,
                (after.to_owned(), Outcome::Next),
                "what needs no slot does not wait"
            );
            continue;
        }
        assert_eq!(found, waits(&client, "a"), "{line}");
        assert_eq!(told(&mut log), Vec::<String>::new(), "{line}");
        client.expect(&[("GET a", before)]);
        let sorted = |reply: &str| {
            let mut parts: Vec<String> = reply.split('|').map(str::to_owned).collect();
            parts.sort();
            parts
        };
        let reply = client.run(line);
        assert_eq!((sorted(&reply), client.outcome), (sorted(after), Outcome::Next), "{line}");
    }
}

#[test]
fn what_counts_keys_does_not_wait() {
    let mut client = impatient();
    client.expect(&[("MSET a 1 b 5", "+OK"), ("DBSIZE", ":2")]);
    assert_eq!(run_held(&mut client, "a", "DBSIZE"), (":2".to_owned(), Outcome::Next));
    let (info, outcome) = run_held(&mut client, "a", "INFO keyspace");
    assert!(info.contains("db0:keys=2,") && outcome == Outcome::Next, "{info}");
    let (stats, outcome) = run_held(&mut client, "a", "MEMORY STATS");
    assert!(stats.contains("keys.count|:1") && outcome == Outcome::Next, "{stats}");
}

#[test]
fn a_transaction_waits_as_a_whole_and_keeps_what_it_watches() {
    let mut client = impatient();
    client.expect(&[
        ("MSET a 1 b 5", "+OK"),
        ("WATCH b", "+OK"),
        ("MULTI", "+OK"),
        ("INCR b", "+QUEUED"),
        ("INCR a", "+QUEUED"),
    ]);
    assert_eq!(run_held(&mut client, "a", "EXEC"), waits(&client, "a"));
    assert_eq!(run_held(&mut client, "b", "EXEC"), waits(&client, "b"));
    client.another().expect(&[("GET b", "$1|5")]);
    // When the watched key changes while it waits, then it is not run.
    client.another().expect(&[("SET b 7", "+OK")]);
    client.expect(&[("EXEC", "*-1"), ("GET a", "$1|1")]);
}

#[test]
fn what_needs_the_world_alone_waits_for_a_long_command() {
    for line in ["FLUSHALL", "SWAPDB 0 1"] {
        let mut client = impatient();
        client.expect(&[("SET a 1", "+OK")]);
        let engine = client.engine.clone();
        let long: World<'_> = engine.keyspace.enter(HOLDER);
        assert_eq!(client.run(line), "");
        assert_eq!(client.outcome, Outcome::Wait(Park::Locked(Busy::World)), "{line}");
        client.expect(&[("GET a", "$1|1")]);
        drop(long);
        client.expect(&[(line, "+OK"), ("GET a", "$-1")]);
    }
}

#[test]
fn who_waits_at_a_held_slot_leaves_it_later() {
    // Clients that time out, or are gone, and one that watches.
    let mut client = impatient();
    let (mut late, mut gone, mut watcher) = (client.another(), client.another(), client.another());
    late.run("BLPOP q 1");
    gone.run("BLPOP q 0");
    watcher.expect(&[("WATCH q", "+OK")]);
    assert_eq!(client.engine.blocked_clients(), 2);
    let engine = client.engine.clone();
    let slot = slot_of(&client, "q");
    let mut world = engine.keyspace.enter(HOLDER);
    let held = world.lock(slot);
    let answer = engine.time_out(0, &late.session.info).expect("its time is up");
    assert_eq!(answer.bytes, b"*-1\r\n");
    engine.forget(0, &mut gone.session);
    watcher.expect(&[("UNWATCH", "+OK")]);
    assert_eq!(engine.blocked_clients(), 0);
    assert!(engine.has_chores());
    // While it is held, trying changes nothing.
    engine.do_chores(0, client.now);
    assert!(engine.has_chores() && engine.blocking_keys() > 0);
    drop(held);
    drop(world);
    engine.do_chores(0, client.now);
    assert!(!engine.has_chores());
    assert_eq!(engine.blocking_keys(), 0);
    client.expect(&[("RPUSH q x", ":1"), ("LLEN q", ":1")]);
}

#[test]
fn a_waiter_whose_destination_is_held_is_served_when_it_is_free() {
    let mut client = impatient();
    let mut waiter = client.another();
    waiter.run("BLMOVE q d LEFT LEFT 0");
    assert_eq!(run_held(&mut client, "d", "RPUSH q x"), (":1".to_owned(), Outcome::Next));
    let engine = client.engine.clone();
    assert!(client.host.answers.lock().unwrap().is_empty() && engine.has_chores());
    // Nobody has taken the element, and nobody overtakes.
    engine.do_chores(0, client.now);
    assert!(!engine.has_chores());
    let id = waiter.session.info.id;
    assert_eq!(*client.host.answers.lock().unwrap(), [(id, b"$1\r\nx\r\n".to_vec())]);
    client.expect(&[("LRANGE d 0 -1", "*1|$1|x"), ("EXISTS q", ":0")]);
}

#[test]
fn keys_of_a_held_slot_neither_expire_nor_are_evicted_and_the_walk_goes_on() {
    let mut client = impatient();
    client.expect(&[("SET a 1 PX 5", "+OK"), ("SET b 1 PX 5", "+OK")]);
    client.now = client.now.plus(10);
    let engine = client.engine.clone();
    let slot = slot_of(&client, "a");
    assert_ne!(slot, slot_of(&client, "b"));
    let mut world = engine.keyspace.enter(HOLDER);
    let held = world.lock(slot);
    let mut cursor = Default::default();
    let expired = engine.expire_cycle(0, client.now, &mut cursor, || true);
    assert!(expired.complete && expired.removed == 1, "{expired:?}");
    drop(held);
    drop(world);
    let expired = engine.expire_cycle(0, client.now, &mut cursor, || true);
    assert!(expired.complete && expired.removed == 1, "{expired:?}");
}
