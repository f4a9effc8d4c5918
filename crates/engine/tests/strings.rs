//! String commands, beyond what the comparison with a real server sees.

mod harness;

use harness::{Client, START};
use tessera_config::Config;

#[test]
fn set_with_conditions() {
    Client::new().expect(&[
        ("set k 5 XX", "$-1"),
        ("set k 5 NX", "+OK"),
        ("set k 6 IFEQ 4", "$-1"),
        ("set k 6 IFEQ 5", "+OK"),
        ("set k x IFEQ 6 GET", "$1|6"),
        ("set k y IFEQ x", "+OK"),
        ("get k", "$1|y"),
        ("set k y IFEQ", "-ERR syntax error"),
        ("set k y NX IFEQ y", "-ERR syntax error"),
        ("set missing y IFEQ y", "$-1"),
    ]);
}

#[test]
fn a_moment_that_has_passed_deletes() {
    Client::new().expect(&[
        ("set k v", "+OK"),
        ("set k w PXAT 1", "+OK"),
        ("exists k", ":0"),
        ("set k w GET PXAT 1", "$-1"),
        ("set k v", "+OK"),
        ("getex k EXAT 1", "$1|v"),
        ("dbsize", ":0"),
    ]);
}

#[test]
fn edited_strings_are_raw() {
    Client::new().expect(&[
        ("set k 12", "+OK"),
        ("append k 3", ":3"),
        ("object encoding k", "$3|raw"),
        ("incr k", ":124"),
        ("object encoding k", "$3|int"),
        ("setrange k 0 2", ":3"),
        ("get k", "$3|224"),
        ("rename k l", "+OK"),
        ("object encoding l", "$3|raw"),
        ("copy l m", ":1"),
        ("object encoding m", "$3|raw"),
        ("incrbyfloat l 1", "$3|225"),
        ("object encoding l", "$6|embstr"),
    ]);
}

#[test]
fn strings_stay_below_the_limit() {
    let mut config = Config::default();
    config.network.proto_max_bulk_len.0 = 1 << 20;
    let mut client = Client::with(config);
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    client.expect(&[
        ("setrange k 1048575 x", ":1048576"),
        ("append k y", too_long),
        ("setrange k 1048576 x", too_long),
        ("setrange new 9223372036854775807 x", too_long),
        ("exists new", ":0"),
        ("strlen k", ":1048576"),
        ("set a 0123456789", "+OK"),
        (
            "lcs a k",
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ),
        (
            "lcs a k len",
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ),
    ]);
}

#[test]
fn getex_tells_the_wrong_type_before_a_bad_time() {
    Client::new().expect(&[
        ("hset h a 1", ":1"),
        ("getex h ex 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("set s v", "+OK"),
        ("getex s ex 0", "-ERR invalid expire time in 'getex' command"),
        ("getex nosuch ex 0", "$-1"),
    ]);
}

#[test]
fn reads_count_hits_and_misses() {
    let mut client = Client::new();
    client.expect(&[
        ("set k v", "+OK"),
        ("get k", "$1|v"),
        ("mget k no", "*2|$1|v|$-1"),
        ("exists k no", ":1"),
    ]);
    let stats = &client.engine.stats;
    assert_eq!((stats.sum(|thread| &thread.hits), stats.sum(|thread| &thread.misses)), (3, 2));
}

#[test]
fn time_passes() {
    let mut client = Client::new();
    client.expect(&[("set k v PX 100", "+OK"), ("pttl k", ":100"), ("setex l 10 v", "+OK")]);
    client.now = START.plus(99);
    client.expect(&[("get k", "$1|v"), ("ttl l", ":10")]);
    client.now = START.plus(100);
    client.expect(&[("get k", "$-1"), ("dbsize", ":1"), ("keys *", "*1|$1|l")]);
    client.now = START.plus(10_000);
    client.expect(&[
        ("keys *", "*0"),
        ("scan 0", "*2|$1|0|*0"),
        ("randomkey", "$-1"),
        // A command that meets an expired key removes it.
        ("dbsize", ":0"),
    ]);
    client.expect(&[("setnx l w", ":1"), ("ttl l", ":-1")]);
}
