//! Every metric that counts is moved by what it counts, and CONFIG RESETSTAT sets to zero those
//! that it is about. The test starts from the table of metrics: one that nothing here moves fails
//! it.

mod common;

use std::collections::BTreeMap;
use std::net::TcpStream;

use common::server::{Server, start};
use common::wire::{Wire, command, field_of};
use common::{await_halted, eventually};
use rustix::process::Signal;
use tessera_engine::{Engine, MetricKind};

/// Counters of a server, by their names.
type Counters = BTreeMap<&'static str, u64>;

fn counters() -> impl Iterator<Item = (&'static str, bool)> {
    let all = Engine::metrics().iter().flat_map(|(_, metrics)| metrics.iter());
    let counters = all.filter(|metric| metric.kind == MetricKind::Counter && metric.has_subject);
    counters.map(|metric| (metric.name, metric.resets))
}

fn read(wire: &mut Wire) -> Counters {
    let text = wire.say("INFO everything").text();
    let number = |name: &str| field_of(&text, name).parse().unwrap_or_else(|_| panic!("no {name}"));
    counters().map(|(name, _)| (name, number(name))).collect()
}

fn ok(wire: &mut Wire, line: &str) {
    assert_eq!(wire.say(line).text(), "OK", "{line}");
}

/// A server, and what moves its counters.
struct Scene {
    server: Server,
    wire: Wire,
    replica: Server,
    _dirs: [tempfile::TempDir; 2],
}

impl Scene {
    fn new() -> Scene {
        let (first, server) = start(&["--maxclients", "20", "--enable-debug-command", "yes"]);
        let (second, replica) = start(&["--replica-read-only", "no"]);
        let wire = server.wire();
        Scene { server, wire, replica, _dirs: [first, second] }
    }

    fn say(&mut self, line: &str) {
        let answer = self.wire.say(line);
        assert!(!answer.is_error(""), "{line}: {answer:?}");
    }

    fn limit_output(&mut self, value: &str) {
        let answer = self.wire.ask(&["CONFIG", "SET", "client-output-buffer-limit", value]);
        assert_eq!(answer.text(), "OK");
    }

    /// Waits until a counter has moved since `before`.
    #[track_caller]
    fn await_more(&mut self, name: &'static str, before: &Counters) {
        eventually(name, || {
            let now = read(&mut self.wire);
            if now[name] > before[name] { Ok(()) } else { Err(format!("{now:?}")) }
        });
    }

    fn follow(&mut self) {
        let mut replica = self.replica.wire();
        ok(&mut replica, &format!("REPLICAOF 127.0.0.1 {}", self.server.port));
        eventually("the replica is online", || {
            let line = self.wire.info("replication", "slave0");
            if line.contains("state=online") { Ok(()) } else { Err(line) }
        });
    }
}

/// Counters, and what moves them.
type Move = (&'static [&'static str], fn(&mut Scene));

/// What moves which counters. Each is looked at right after it.
const MOVES: &[Move] = &[
    (
        &[
            "total_connections_received",
            "total_commands_processed",
            "total_net_input_bytes",
            "total_net_output_bytes",
            "total_reads_processed",
            "total_writes_processed",
        ],
        |scene| assert_eq!(scene.server.say("PING").text(), "PONG"),
    ),
    (&["rdb_changes_since_last_save"], |scene| scene.say("SET k v")),
    (&["keyspace_hits"], |scene| scene.say("GET k")),
    (&["keyspace_misses"], |scene| scene.say("GET missing")),
    (&["total_error_replies"], |scene| assert!(scene.wire.say("LPUSH k x").is_error("WRONGTYPE"))),
    (&["expired_keys"], |scene| {
        let before = read(&mut scene.wire);
        scene.say("SET short v PX 1");
        scene.await_more("expired_keys", &before);
    }),
    (&["expired_fields"], |scene| {
        let before = read(&mut scene.wire);
        scene.say("HSET h a 1 b 2");
        scene.say("HPEXPIRE h 1 FIELDS 1 a");
        scene.await_more("expired_fields", &before);
    }),
    (&["expired_time_cap_reached_count"], |scene| {
        let before = read(&mut scene.wire);
        // Half a millisecond at a time is not enough for so many.
        scene.say("CONFIG SET hz 500");
        let mut pipeline = Vec::new();
        for number in 0..50_000 {
            pipeline.extend(command(&["SET", &format!("e{number}"), "v", "PX", "1"]));
        }
        scene.wire.send(&pipeline).expect("sent");
        (0..50_000).for_each(|_| drop(scene.wire.answer().expect("an answer")));
        scene.await_more("expired_time_cap_reached_count", &before);
        scene.say("CONFIG SET hz 10");
    }),
    (&["evicted_keys"], |scene| {
        let value = "x".repeat(100_000);
        (0..20).for_each(|number| scene.say(&format!("SET big{number} {value}")));
        let used: u64 = scene.wire.info("memory", "used_memory").parse().expect("a number");
        scene.say("CONFIG SET maxmemory-policy allkeys-lru");
        scene.say(&format!("CONFIG SET maxmemory {}", used - 500_000));
        scene.say("SET k v");
    }),
    (&["total_eviction_exceeded_time"], |scene| {
        scene.say("CONFIG SET maxmemory-policy noeviction");
        scene.say("CONFIG SET maxmemory 1");
        let before = read(&mut scene.wire);
        scene.await_more("total_eviction_exceeded_time", &before);
        scene.say("CONFIG SET maxmemory 0");
    }),
    (&["lazyfreed_objects"], |scene| {
        let before = read(&mut scene.wire);
        scene.say("FLUSHALL");
        for number in 0..300 {
            scene.say(&format!("RPUSH list {}", format!("{number:0100} ").repeat(100).trim_end()));
        }
        scene.say("UNLINK list");
        scene.await_more("lazyfreed_objects", &before);
    }),
    (&["rejected_connections"], |scene| {
        let address = ("127.0.0.1", scene.server.port);
        let before = read(&mut scene.wire);
        let all: Vec<_> =
            (0..25).map(|_| TcpStream::connect(address).expect("it listens")).collect();
        scene.await_more("rejected_connections", &before);
        drop(all);
        let address = scene.server.port;
        eventually("there is room again", || {
            let mut wire = Wire::connect(address).map_err(|error| error.to_string())?;
            wire.try_ask(&["PING"]).map(drop).map_err(|error| error.to_string())
        });
    }),
    (&["client_query_buffer_limit_disconnections"], |scene| {
        scene.say("CONFIG SET client-query-buffer-limit 1mb");
        let before = read(&mut scene.wire);
        let mut wire = scene.server.wire();
        // Its end may come before all is sent.
        let _ = wire.send(format!("*1\r\n$3000000\r\n{}", "x".repeat(2_000_000)).as_bytes());
        scene.await_more("client_query_buffer_limit_disconnections", &before);
    }),
    (&["client_output_buffer_limit_disconnections"], |scene| {
        scene.say(&format!("SET large {}", "x".repeat(1_000_000)));
        scene.limit_output("normal 2mb 0 0");
        let before = read(&mut scene.wire);
        let mut wire = scene.server.wire();
        wire.send("GET large\r\n".repeat(50).as_bytes()).expect("sent");
        scene.await_more("client_output_buffer_limit_disconnections", &before);
        scene.limit_output("normal 0 0 0");
    }),
    (&["evicted_clients"], |scene| {
        let before = read(&mut scene.wire);
        let mut wire = scene.server.wire();
        wire.send(format!("*1\r\n$900000\r\n{}", "x".repeat(800_000)).as_bytes()).expect("sent");
        scene.say("CONFIG SET maxmemory-clients 400kb");
        scene.await_more("evicted_clients", &before);
        scene.say("CONFIG SET maxmemory-clients 0");
    }),
    (
        &["sync_full", "sync_partial_err", "total_net_repl_output_bytes"],
        // It asks for a history that it has as a primary of its own.
        |scene| {
            let (_temp, mut other) = start(&[]);
            let mut wire = other.wire();
            ok(&mut scene.replica.wire(), &format!("REPLICAOF 127.0.0.1 {}", other.port));
            eventually("it follows the other", || {
                let line = wire.info("replication", "slave0");
                if line.contains("state=online") { Ok(()) } else { Err(line) }
            });
            other.kill();
            scene.follow();
            scene.say("SET k v");
        },
    ),
    (&["sync_partial_ok"], |scene| {
        let before = read(&mut scene.wire);
        assert_eq!(scene.wire.say("CLIENT KILL TYPE replica").integer(), 1);
        scene.await_more("sync_partial_ok", &before);
    }),
];

/// The same on the replica, which follows.
const REPLICA_MOVES: &[Move] = &[
    (&["total_net_repl_input_bytes"], |scene| scene.say("SET k v")),
    (&["unexpected_error_replies"], |scene| {
        let mut replica = scene.replica.wire();
        assert_eq!(replica.say("LPUSH other x").integer(), 1);
        scene.say("SETRANGE other 0 x");
    }),
];

/// The counters have moved, at the latest when other threads have counted what they do.
#[track_caller]
fn assert_moved(names: &[&'static str], before: &Counters, wire: &mut Wire) {
    for name in names {
        eventually(name, || {
            let now = read(wire);
            if now[name] > before[name] { Ok(()) } else { Err(format!("{} as before", now[name])) }
        });
    }
}

#[test]
fn every_counter_is_moved_and_reset() {
    let mut scene = Scene::new();
    let mut moved: Vec<&str> = Vec::new();
    for (names, act) in MOVES {
        eprintln!("{names:?}");
        let before = read(&mut scene.wire);
        act(&mut scene);
        assert_moved(names, &before, &mut scene.wire);
        moved.extend(*names);
    }
    let mut replica = scene.replica.wire();
    for (names, act) in REPLICA_MOVES {
        eprintln!("{names:?}");
        let before = read(&mut replica);
        act(&mut scene);
        assert_moved(names, &before, &mut replica);
        moved.extend(*names);
    }
    let value = "x".repeat(10_000);
    eventually("the rates of replication are shown", || {
        ok(&mut scene.wire, &format!("SET k {value}"));
        let sent: f64 =
            scene.wire.info("stats", "instantaneous_output_repl_kbps").parse().expect("a number");
        let taken: f64 =
            replica.info("stats", "instantaneous_input_repl_kbps").parse().expect("a number");
        if sent > 1.0 && taken > 1.0 { Ok(()) } else { Err(format!("{sent} and {taken}")) }
    });
    let unmoved: Vec<&str> =
        counters().map(|(name, _)| name).filter(|name| !moved.contains(name)).collect();
    assert!(unmoved.is_empty(), "nothing moves {unmoved:?}");

    // What the replica's thread may still count would come in between.
    scene.replica.signal(Signal::STOP);
    await_halted(scene.replica.pid());
    let before = read(&mut scene.wire);
    ok(&mut scene.wire, "CONFIG RESETSTAT");
    let after = read(&mut scene.wire);
    for (name, resets) in counters() {
        let (was, is) = (before[name], after[name]);
        match resets {
            // What has asked counts again.
            true => assert!(is <= was / 2 || is == 0, "{name} was {was} and is {is}"),
            false => assert!(is >= was, "{name} was {was} and is {is}"),
        }
    }
    scene.replica.signal(Signal::CONT);
}

#[test]
fn bytes_are_those_that_were_sent() {
    let (_temp, server) = start(&["--io-threads", "2"]);
    let mut wire = server.wire();
    let mut other = server.wire();
    let bytes = |wire: &mut Wire| {
        let counters = read(wire);
        (counters["total_net_input_bytes"], counters["total_net_output_bytes"])
    };
    let value = "x".repeat(100_000);
    let before = bytes(&mut wire);
    ok(&mut other, &format!("SET k {value}"));
    assert_eq!(other.say("GET k").text(), value);
    let mut after = bytes(&mut wire);
    // The thread of the other client counts when its turn is over.
    eventually("all of it is counted", || {
        after = bytes(&mut wire);
        if after.1 - before.1 >= 100_000 { Ok(()) } else { Err(format!("{after:?}")) }
    });
    let (input, output) = (after.0 - before.0, after.1 - before.1);
    assert!((100_000..110_000).contains(&input), "{input}");
    assert!((100_000..1_000_000).contains(&output), "{output}");
    // Something has gone on just now.
    eventually("the rates are shown", || {
        ok(&mut other, &format!("SET k {value}"));
        assert_eq!(other.say("GET k").text(), value);
        let rates = ["instantaneous_input_kbps", "instantaneous_output_kbps"];
        let rates = rates.map(|name| wire.info("stats", name).parse::<f64>().expect("a number"));
        if rates.iter().all(|rate| *rate > 1.0) { Ok(()) } else { Err(format!("{rates:?}")) }
    });
}
