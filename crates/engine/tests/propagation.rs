//! The propagation of writes.

mod harness;

use harness::{Client, START};

/// Runs commands, and gives what the history got, with spaces between arguments and one command a
/// line.
fn history(commands: &[&str]) -> Vec<String> {
    history_with(tessera_config::Config::default(), commands)
}

fn history_with(config: tessera_config::Config, commands: &[&str]) -> Vec<String> {
    let mut client = Client::with(config);
    client.run("mset a 1 b 2 f 1.5");
    client.run("set old x PX 5");
    let mut reader = client.follow();
    client.now = START.plus(5);
    commands.iter().for_each(|command| drop(client.run(command)));
    harness::told(&mut reader).into_iter().skip_while(|command| command == "SELECT 0").collect()
}

#[test]
fn what_depends_on_time_or_state_becomes_what_was_done() {
    for (command, told) in [
        ("set k v", "set k v"),
        ("set k v EX 10", "SET k v PXAT 1700000010005"),
        ("set k v EXAT 1700000100", "SET k v PXAT 1700000100000"),
        ("set k v pxat 1700000100001", "set k v pxat 1700000100001"),
        ("set k v NX pxat 1700000100001", "SET k v PXAT 1700000100001"),
        ("set k v PXAT 1700000100001 GET", "SET k v PXAT 1700000100001"),
        ("set a v PXAT 1", "UNLINK a"),
        ("set k v NX", "SET k v"),
        ("set a v KEEPTTL", "set a v KEEPTTL"),
        ("set a v XX KEEPTTL GET", "SET a v KEEPTTL"),
        ("setex k 10 v", "SET k v PXAT 1700000010005"),
        ("psetex k 10 v", "SET k v PXAT 1700000000015"),
        ("setnx k v", "setnx k v"),
        ("getset a v", "SET a v"),
        ("getdel a", "DEL a"),
        ("getex a EX 10", "PEXPIREAT a 1700000010005"),
        ("getex a PXAT 1", "UNLINK a"),
        ("incr a", "incr a"),
        ("incrbyfloat f 1", "SET f 2.5 KEEPTTL"),
        ("append a x", "append a x"),
        ("setbit a 0 1", "setbit a 0 1"),
        ("bitop and k a b", "bitop and k a b"),
        ("bitop and a k k", "bitop and a k k"),
        ("bitfield a set u8 0 1 get u8 8", "bitfield a set u8 0 1 get u8 8"),
        ("bitfield k overflow fail set u1 0 2", "bitfield k overflow fail set u1 0 2"),
        ("pfadd k", "pfadd k"),
        ("pfadd k x y", "pfadd k x y"),
        ("pfmerge k", "pfmerge k"),
        ("expire a 10", "PEXPIREAT a 1700000010005"),
        ("expire a 10 NX", "PEXPIREAT a 1700000010005"),
        ("expire a -1", "UNLINK a"),
        ("expireat a 1700000100", "PEXPIREAT a 1700000100000"),
        ("rename a k", "rename a k"),
        ("copy a k REPLACE", "copy a k REPLACE"),
        ("del a b none", "del a b none"),
        ("get old", "UNLINK old"),
        ("flushdb", "flushdb"),
        ("flushall ASYNC", "flushall ASYNC"),
        ("swapdb 0 1", "swapdb 0 1"),
    ] {
        assert_eq!(history(&[command]), [told], "{command}");
    }
}

#[test]
fn how_expired_keys_are_deleted_is_configured() {
    let commands = ["get old", "set a v PXAT 1", "getex b PXAT 1", "expire f -1"];
    for (lazy, verb) in [(true, "UNLINK"), (false, "DEL")] {
        let mut config = tessera_config::Config::default();
        config.memory.lazyfree_lazy_expire = lazy;
        let told = ["old", "a", "b", "f"].map(|key| format!("{verb} {key}"));
        assert_eq!(history_with(config, &commands), told);
    }
}

#[test]
fn expired_keys_that_are_come_across_are_removed() {
    assert_eq!(history(&["scan 0 COUNT 100000"]), ["UNLINK old"]);
    assert_eq!(history(&["keys *"]), [""; 0]);
    let mut client = Client::new();
    client.run("set old x PX 5");
    client.now = START.plus(5);
    client.expect(&[("randomkey", "$-1"), ("dbsize", ":0")]);
}

#[test]
fn what_changes_nothing_is_not_told() {
    for command in [
        "get a",
        "set a v NX",
        "set k v XX",
        "set k v IFEQ x",
        "getex a",
        "getex a PERSIST",
        "getdel none",
        "setnx a v",
        "msetnx a 1 k 2",
        "del none",
        "expire none 1",
        "expire a 10 XX",
        "expire a 10 GT",
        "persist a",
        "rename none k",
        "renamenx a b",
        "rename a a",
        "copy a b",
        "move a 99",
        "setrange a 0",
        "incr f",
        "incrby a x",
        "append a",
        "setbit a 7 1",
        "getbit a 7",
        "bitop and k l m",
        "bitfield a set u8 0 49",
        "bitfield a overflow fail set u8 0 300",
        "bitfield a get u8 0",
        "pfadd a x",
        "pfcount k",
        "set none v PXAT 1",
    ] {
        assert_eq!(history(&[command]), [""; 0], "{command}");
    }
}

#[test]
fn an_expired_key_is_removed_before_it_is_written() {
    assert_eq!(history(&["append old y"]), ["UNLINK old", "append old y"]);
    assert_eq!(
        history(&["set a x PX 10", "persist a"]),
        ["SET a x PXAT 1700000000015", "persist a"]
    );
    assert_eq!(
        history(&["getex a EX 10", "getex a PERSIST"]),
        ["PEXPIREAT a 1700000010005", "PERSIST a"]
    );
}

#[test]
fn estimates_are_told_where_they_are_kept() {
    assert_eq!(history(&["pfadd k x", "pfadd k x"]), ["pfadd k x"]);
    // The second answer is in the key already; a union is kept nowhere.
    let commands = ["pfadd k x", "pfcount k k", "pfcount k", "pfcount k"];
    assert_eq!(history(&commands), ["pfadd k x", "pfcount k"]);
    let commands = ["pfadd k x", "pfdebug todense k", "pfdebug getreg k"];
    assert_eq!(history(&commands), ["pfadd k x", "pfdebug todense k"]);
}

#[test]
fn a_replica_keeps_an_estimate_for_itself() {
    let mut client = Client::new();
    client.run("pfadd k x");
    client.run("pexpire k 5");
    let mut reader = client.follow();
    client.engine.set_mode(tessera_engine::Mode::REPLICA, true);
    client.expect(&[("pfcount k", ":1"), ("getrange k 15 15", "$1|\u{0}")]);
    assert!(reader.peek().expect("it goes on").is_empty());
    // It is no key that a client has written here, which the replica itself would let expire.
    assert!(client.run("info stats").contains("slave_expires_tracked_keys:0|"));
}

#[test]
fn while_writes_are_paused_no_estimate_is_kept() {
    let mut client = Client::new();
    client.run("pfadd k x");
    client.engine.set_mode(tessera_engine::Mode::WRITES_PAUSED, true);
    client.run("pfcount k");
    client.engine.set_mode(tessera_engine::Mode::WRITES_PAUSED, false);
    let reply = client.command(&["getrange", "k", "15", "15"]);
    assert_eq!(reply, b"$1\r\n\x80\r\n");
}

#[test]
fn the_offset_of_the_last_write_is_kept_for_wait() {
    let mut client = Client::new();
    let reader = client.follow();
    assert_eq!(client.session.last_write.0, 0);
    client.run("set k v");
    let after = client.session.last_write;
    assert_eq!(after, client.engine.log.offset());
    assert!(after > reader.offset());
    client.run("get k");
    assert_eq!(client.session.last_write, after);
}

#[test]
fn what_clients_write_to_a_replica_stays_there() {
    let mut client = Client::new();
    client.run("set old x PX 5");
    let mut reader = client.follow();
    client.engine.set_mode(tessera_engine::Mode::REPLICA, true);
    client.now = START.plus(5);
    client.expect(&[("append old y", ":1"), ("set k v", "+OK"), ("get old", "$1|y")]);
    assert!(reader.peek().expect("it goes on").is_empty());
}

#[test]
fn a_writable_replica_removes_what_its_clients_let_expire() {
    let mut client = Client::new();
    client.run("set primarys x PX 5");
    client.engine.set_mode(tessera_engine::Mode::REPLICA, true);
    client.run("set own x PX 5");
    client.run("set kept x PX 50");
    let cursor = &mut tessera_engine::ExpireCursor::default();
    let now = START.plus(5);
    let expired = client.engine.expire_cycle(0, now, cursor, || true);
    assert_eq!((expired.removed, expired.complete), (1, true));
    client.now = now;
    client.expect(&[("dbsize", ":2"), ("exists own", ":0"), ("exists kept", ":1")]);
    assert!(client.run("info stats").contains("slave_expires_tracked_keys:1|"));
}
