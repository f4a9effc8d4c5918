//! Keyspace notifications: what is told of each command.

mod harness;

use harness::{Client, START};
use std::sync::{Arc, Mutex};
use tessera_engine::{Event, EventSink};

/// Notes events as `db class event key`.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl EventSink for Notes {
    fn happened(&self, event: &Event<'_>) {
        assert!(event.by_key || event.by_event);
        let (letter, key) = (event.class.letter() as char, String::from_utf8_lossy(event.key));
        self.0.lock().unwrap().push(format!("{} {letter} {} {key}", event.db, event.event));
    }
}

/// A client of a server which notifies of these classes, after `set a 1`, and `set old x` whose
/// time has come.
fn client(classes: &str) -> (Client, Arc<Notes>) {
    let (mut client, notes) = (Client::new(), Arc::new(Notes::default()));
    client.run("set a 1");
    client.run("set old x PX 5");
    client.now = START.plus(5);
    client.engine.set_event_sink(notes.clone());
    assert_eq!(client.run(&format!("config set notify-keyspace-events {classes}")), "+OK");
    (client, notes)
}

fn events(classes: &str, command: &str) -> Vec<String> {
    let (mut client, notes) = client(classes);
    client.run(command);
    let events = notes.0.lock().unwrap();
    events.clone()
}

#[test]
fn what_each_command_tells() {
    let none: &[&str] = &[];
    for (command, told) in [
        ("set a 2", &["0 $ set a"][..]),
        ("set k 2", &["0 n new k", "0 $ set k"]),
        ("set k 2 EX 10", &["0 n new k", "0 $ set k", "0 g expire k"]),
        ("set a 2 NX", none),
        ("set a 2 PXAT 1", &["0 g del a"]),
        ("setnx k 2", &["0 n new k", "0 $ set k"]),
        ("xadd k 1-1 f v", &["0 n new k", "0 t xadd k"]),
        ("xadd k MAXLEN 0 1-1 f v", &["0 n new k", "0 t xadd k", "0 t xtrim k"]),
        ("xgroup create k g $ MKSTREAM", &["0 n new k", "0 t xgroup-create k"]),
        ("getset a 2", &["0 $ set a"]),
        ("mset a 1 k 2", &["0 $ set a", "0 n new k", "0 $ set k"]),
        ("incr a", &["0 $ incrby a"]),
        ("decrby k 2", &["0 n new k", "0 $ incrby k"]),
        ("incrbyfloat a 1", &["0 $ incrbyfloat a"]),
        ("append a x", &["0 $ append a"]),
        ("append k x", &["0 n new k", "0 $ append k"]),
        ("setrange a 1 x", &["0 $ setrange a"]),
        ("setrange k 1 x", &["0 n new k", "0 $ setrange k"]),
        ("getdel a", &["0 g del a"]),
        ("getex a EX 10", &["0 g expire a"]),
        ("getex a PXAT 1", &["0 g del a"]),
        ("del a k", &["0 g del a"]),
        ("expire a 10", &["0 g expire a"]),
        ("expire a -1", &["0 g del a"]),
        ("persist a", none),
        ("rename a k", &["0 n new k", "0 g rename_from a", "0 g rename_to k"]),
        ("copy a k", &["0 n new k", "0 g copy_to k"]),
        ("copy a k DB 3", &["3 n new k", "3 g copy_to k"]),
        ("move a 3", &["3 n new a", "0 g move_from a", "3 g move_to a"]),
        ("get old", &["0 x expired old", "0 m keymiss old"]),
        ("get none", &["0 m keymiss none"]),
        ("append old y", &["0 x expired old", "0 n new old", "0 $ append old"]),
        ("flushall", none),
    ] {
        assert_eq!(events("AnmK", command), told, "{command}");
    }
}

#[test]
fn only_what_was_asked_for_is_told() {
    assert_eq!(events("$E", "set k 2 EX 10"), ["0 $ set k"]);
    assert_eq!(events("gK", "set k 2 EX 10"), ["0 g expire k"]);
    assert_eq!(events("AKE", "get none"), [""; 0], "misses are no part of A");
    assert_eq!(events("A", "set k 2"), [""; 0], "neither kind of channel");
    assert_eq!(events("KEx", "scan 0 COUNT 100000"), ["0 x expired old"]);
}

#[test]
fn keys_that_nobody_asks_for_are_told_of_too() {
    let (client, notes) = client("KEA");
    let cursor = &mut tessera_engine::ExpireCursor::default();
    client.engine.expire_cycle(0, client.now, cursor, || true);
    assert_eq!(*notes.0.lock().unwrap(), ["0 x expired old"]);
}
