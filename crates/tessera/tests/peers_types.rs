//! Values of every type in every encoding, replicated between Tessera and Debian's Redis 7.0 and
//! Valkey 8.1: those that are there when the replica comes, and those that are written afterwards.
//!
//! Skipped where these are not installed; under CI that is a failure.

mod common;

use common::server::Server;
use common::wire::{Answer, Wire};
use common::{eventually, installed, valkey_server};

fn numbers(count: usize, step: i64) -> Vec<String> {
    (0..count as i64).map(|n| (n * step - 1000).to_string()).collect()
}

fn words(count: usize, len: usize) -> Vec<String> {
    (0..count).map(|n| format!("word:{n}:{}", "x".repeat(len))).collect()
}

fn pairs(first: &[String], second: &[String]) -> Vec<String> {
    first.iter().zip(second).flat_map(|(a, b)| [a.clone(), b.clone()]).collect()
}

/// A command that makes a key, the key's name without its prefix, and the other arguments.
type Making = (&'static str, &'static str, Vec<String>);

/// Each type in each of its encodings: small and large, numbers of all widths and texts of all
/// lengths.
fn values() -> Vec<Making> {
    let wide = numbers(20, 1 << 40);
    // No score whose text differs: Redis 7.0 writes 0.1 with 17 digits.
    let scores: Vec<String> = (0..300)
        .map(|n| ["1", "-2.5", "3e+20", "-inf", "inf", "0.125"][n % 6].to_owned())
        .collect();
    vec![
        ("SET", "string", words(1, 30)),
        ("SET", "number", numbers(1, 1)),
        ("RPUSH", "list:numbers", numbers(100, 70_000)),
        ("RPUSH", "list:words", words(50, 20)),
        ("RPUSH", "list:nodes", words(3000, 20)),
        ("RPUSH", "list:plain", words(3, 30_000)),
        ("SADD", "set:int16", numbers(100, 7)),
        ("SADD", "set:int32", numbers(100, 70_000)),
        ("SADD", "set:int64", wide.clone()),
        ("SADD", "set:numbers", numbers(700, 3)),
        ("SADD", "set:words", words(50, 10)),
        ("SADD", "set:mixed", [words(5, 1), numbers(5, 1 << 33)].concat()),
        ("SADD", "set:table", words(1000, 30)),
        ("SADD", "set:long", words(2, 100)),
        ("HSET", "hash:small", pairs(&words(20, 5), &numbers(20, 1 << 20))),
        ("HSET", "hash:long", pairs(&words(2, 5), &words(2, 1000))),
        ("HSET", "hash:table", pairs(&words(1000, 5), &words(1000, 20))),
        ("ZADD", "zset:small", pairs(&scores[..60], &words(60, 5))),
        ("ZADD", "zset:numbers", pairs(&scores[..20], &wide)),
        ("ZADD", "zset:tree", pairs(&scores, &words(300, 10))),
        ("ZADD", "zset:long", pairs(&scores[..6], &words(6, 100))),
        ("PFADD", "hll", words(500, 3)),
        // So large that snapshots show them part by part.
        ("SET", "string:large", words(1, 300_000)),
        ("RPUSH", "list:large", words(5000, 40)),
        ("SADD", "set:large", words(4000, 40)),
        ("HSET", "hash:large", pairs(&words(3000, 20), &words(3000, 30))),
        ("ZADD", "zset:large", pairs(&numbers(4000, 3), &words(4000, 40))),
    ]
}

/// Makes all keys under a prefix; some expire.
#[track_caller]
fn fill(primary: &Server, prefix: &str) {
    let mut wire = primary.wire();
    for (command, name, args) in values() {
        let key = format!("{prefix}:{name}");
        let words: Vec<&str> =
            [command, &key].into_iter().chain(args.iter().map(String::as_str)).collect();
        let answer = wire.ask(&words);
        assert!(!matches!(answer, Answer::Error(_)), "{command} {key}: {answer:?}");
    }
    for line in stream(prefix) {
        let answer = wire.say(&line);
        assert!(!matches!(answer, Answer::Error(_)), "{line}: {answer:?}");
    }
    for name in ["list:words", "set:table", "hash:small", "zset:tree"] {
        assert_eq!(wire.say(&format!("PEXPIREAT {prefix}:{name} 4102444800000")).integer(), 1);
    }
}

/// The commands that make a stream of several nodes, with gaps, groups, and entries that were not
/// acknowledged.
fn stream(prefix: &str) -> Vec<String> {
    let key = format!("{prefix}:stream");
    let mut lines: Vec<String> = (1..=250)
        .map(|n| match n % 7 {
            0 => format!("XADD {key} {n}-5 other {n} more text"),
            _ => format!("XADD {key} {n}-0 field {n} text word:{n}"),
        })
        .collect();
    lines.push(format!("XDEL {key} 1-0 100-0 199-0"));
    for group in ["readers", "others"] {
        lines.push(format!("XGROUP CREATE {key} {group} 20-0 ENTRIESREAD 19"));
        lines.push(format!("XREADGROUP GROUP {group} one COUNT 30 STREAMS {key} >"));
        lines.push(format!("XREADGROUP GROUP {group} two COUNT 5 STREAMS {key} >"));
    }
    lines.push(format!("XACK {key} readers 25-0 26-0"));
    lines.push(format!("XGROUP CREATECONSUMER {key} readers idle"));
    lines.push(format!("XADD {prefix}:empty MAXLEN 0 7-7 a b"));
    let large = format!("{prefix}:stream:large");
    lines
        .extend((1..=4000).map(|n| format!("XADD {large} {n}-0 field {n} text word:{n}:{n:0>30}")));
    lines.push(format!("XGROUP CREATE {large} readers 0"));
    lines.push(format!("XREADGROUP GROUP readers one COUNT 500 STREAMS {large} >"));
    lines.push(format!("XREADGROUP GROUP readers two COUNT 300 STREAMS {large} >"));
    lines.push(format!("XDEL {large} 77-0 1000-0"));
    lines
}

/// Everything there is to know about a key (of a stream's groups what they have read only if
/// `counts`), as reading commands tell it; what has no order is sorted.
#[track_caller]
fn read(wire: &mut Wire, key: &str, counts: bool) -> Vec<String> {
    let kind = wire.say(&format!("TYPE {key}")).text();
    let lines: &[&str] = match kind.as_str() {
        "string" => &["GET"],
        "list" => &["LRANGE 0 -1", "LLEN", "LINDEX 1"],
        "set" => &["SMEMBERS", "SCARD"],
        "hash" => &["HGETALL", "HLEN"],
        "zset" => &["ZRANGE 0 -1 WITHSCORES", "ZREVRANGE 0 1", "ZCARD"],
        "stream" => &["XRANGE - +", "XLEN", "XINFO"],
        _ => panic!("{key} is of type {kind}"),
    };
    let mut seen = vec![kind.clone(), wire.say(&format!("PEXPIRETIME {key}")).text()];
    for line in lines {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        if command == "XINFO" {
            seen.push(read_stream(wire, key, counts));
            continue;
        }
        let answer = wire.say(format!("{command} {key} {rest}").trim_end());
        let mut parts: Vec<String> = match &answer {
            Answer::Array(items) if command == "HGETALL" => {
                items.chunks(2).map(|pair| pair.iter().map(shown).collect()).collect()
            }
            Answer::Array(items) => items.iter().map(shown).collect(),
            other => vec![shown(other)],
        };
        if matches!(kind.as_str(), "set" | "hash") {
            parts.sort();
        }
        seen.extend(parts);
    }
    seen
}

/// An answer for people: its texts, with what holds them together.
fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Answer::Null => "null".to_owned(),
        other => format!("{:?}", other.text()),
    }
}

/// Counters, groups and what is pending; without times, which replicas count by themselves.
/// `counts`: with what groups have read.
#[track_caller]
fn read_stream(wire: &mut Wire, key: &str, counts: bool) -> String {
    let info = wire.say(&format!("XINFO STREAM {key}"));
    let wanted = [
        "length",
        "last-generated-id",
        "max-deleted-entry-id",
        "entries-added",
        "recorded-first-entry-id",
        "groups",
    ];
    let mut seen = String::new();
    for pair in info.array().chunks(2) {
        if wanted.contains(&pair[0].text().as_str()) {
            pair.iter().for_each(|part| seen.push_str(&shown(part)));
        }
    }
    for group in wire.say(&format!("XINFO GROUPS {key}")).array() {
        // Name, consumers, pending, last id; then what was read, and what is left to be.
        let parts = if counts { group.array() } else { &group.array()[..8] };
        parts.iter().for_each(|part| seen.push_str(&shown(part)));
        let name = group.array()[1].text();
        let consumers = wire.say(&format!("XINFO CONSUMERS {key} {name}"));
        for consumer in consumers.array() {
            consumer.array()[..4].iter().for_each(|part| seen.push_str(&shown(part)));
        }
        let pending = wire.say(&format!("XPENDING {key} {name} - + 1000"));
        for entry in pending.array() {
            let entry = entry.array();
            [0, 1, 3].iter().for_each(|&part: &usize| seen.push_str(&shown(&entry[part])));
        }
    }
    seen
}

#[track_caller]
fn follow(replica: &Server, primary: &Server) {
    let command = format!("REPLICAOF 127.0.0.1 {}", primary.port);
    assert_eq!(replica.say(&command).text(), "OK");
    eventually("the replica is linked", || {
        let status = replica.wire().info("replication", "master_link_status");
        if status == "up" { Ok(()) } else { Err(status) }
    });
}

#[track_caller]
fn await_same_offset(primary: &Server, replica: &Server) {
    eventually("the same offset", || {
        let [first, second] = [primary, replica]
            .map(|server| server.wire().info("replication", "master_repl_offset"));
        if first == second { Ok(()) } else { Err(format!("{first} and {second}")) }
    });
}

#[track_caller]
fn assert_same(primary: &Server, replica: &Server, counts: bool) {
    let (mut first, mut second) = (primary.wire(), replica.wire());
    let mut keys: Vec<String> = first.say("KEYS *").array().iter().map(Answer::text).collect();
    keys.sort();
    assert_eq!(second.say("DBSIZE").integer(), keys.len() as i64);
    for key in keys {
        let counts = counts || !key.starts_with("late");
        assert_eq!(read(&mut first, &key, counts), read(&mut second, &key, counts), "{key}");
    }
}

/// The consumer that was made and has never got anything: a full synchronisation has told of it.
#[track_caller]
fn assert_knows_who_was_never_active(replica: &Server) {
    let consumers = replica.say("XINFO CONSUMERS early:stream readers");
    let fields = |consumer: &Answer| consumer.array().iter().map(Answer::text).collect::<Vec<_>>();
    let idle = consumers.array().iter().map(fields).find(|fields| fields[1] == "idle");
    assert_eq!(idle.expect("it is there")[6..], ["inactive", "-1"]);
}

/// `counts`: the primary tells its replicas how much groups of streams have read. Redis 7.0 does
/// not.
fn replicated(primary: &Server, replica: &Server, counts: bool) {
    // Given: values of all kinds, made before the replica comes and after.
    fill(primary, "early");
    follow(replica, primary);
    fill(primary, "late");
    await_same_offset(primary, replica);

    // Then: both tell the same about each.
    assert_same(primary, replica, counts);

    // And: what the replica took over it can change, once it is on its own.
    assert_eq!(replica.say("REPLICAOF NO ONE").text(), "OK");
    let mut wire = replica.wire();
    for (line, answer) in [
        ("RPUSH early:list:nodes more", 3001),
        ("LREM early:list:nodes 0 more", 1),
        ("SADD early:set:int64 more", 1),
        ("SREM early:set:int64 more", 1),
        ("HSET early:hash:small more 1", 1),
        ("HDEL early:hash:small more", 1),
        ("ZADD early:zset:tree 5 more", 1),
        ("ZREM early:zset:tree more", 1),
    ] {
        assert_eq!(wire.say(line).integer(), answer, "{line}");
    }
}

#[test]
fn redis_follows_tessera() {
    let Some(redis) = installed("redis-server") else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    replicated(&primary, &Server::peer(&redis, temp.path(), &[]), true);
}

#[test]
fn tessera_follows_redis() {
    let Some(redis) = installed("redis-server") else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::peer(&redis, temp.path(), &[]);
    replicated(&primary, &Server::tessera(temp.path(), &[]), false);
}

#[test]
fn valkey_follows_tessera() {
    let Some(valkey) = valkey_server() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    let replica = Server::peer(&valkey, temp.path(), &[]);
    replicated(&primary, &replica, true);
    assert_knows_who_was_never_active(&replica);
}

#[test]
fn tessera_follows_valkey() {
    let Some(valkey) = valkey_server() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::peer(&valkey, temp.path(), &[]);
    replicated(&primary, &Server::tessera(temp.path(), &[]), true);
}

#[test]
fn tessera_follows_tessera_with_fields_that_expire() {
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    let replica = Server::tessera(temp.path(), &[]);
    let mut wire = primary.wire();
    for key in ["early", "late"] {
        wire.say(&format!("HSET {key} stays 1 goes 2"));
        let answer = wire.say(&format!("HPEXPIREAT {key} 4102444800000 FIELDS 1 goes"));
        assert_eq!(answer, Answer::Array(vec![Answer::Integer(1)]));
        if key == "early" {
            follow(&replica, &primary);
        }
    }
    await_same_offset(&primary, &replica);
    for key in ["early", "late"] {
        let line = format!("HPEXPIRETIME {key} FIELDS 3 stays goes none");
        let times = [-1, 4_102_444_800_000, -2].map(Answer::Integer).to_vec();
        assert_eq!(replica.say(&line), Answer::Array(times), "{key}");
        assert_eq!(replica.say(&format!("HGET {key} goes")).text(), "2");
    }
    replicated(&primary, &replica, true);
    assert_knows_who_was_never_active(&replica);
}
