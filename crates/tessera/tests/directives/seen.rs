//! What sees the effect of a directive, or of a few that are seen together.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::common::server::{Server, start};
use super::common::wire::{Answer, Wire};
use super::common::{await_halted, eventually, free_ports};
use rustix::process::Signal;

pub(crate) fn ok(wire: &mut Wire, line: &str) {
    assert_eq!(wire.say(line).text(), "OK", "{line}");
}

pub(crate) fn databases() {
    let (_temp, server) = start(&["--databases", "3"]);
    ok(&mut server.wire(), "SELECT 2");
    assert!(server.say("SELECT 3").is_error("ERR DB index is out of range"));
}

pub(crate) fn dir() {
    let (temp, server) = start(&["--enable-protected-configs", "yes"]);
    let mut wire = server.wire();
    let cwd = || std::fs::read_link(format!("/proc/{}/cwd", server.pid())).expect("it runs");
    std::fs::create_dir(server.dir.join("inner")).expect("writable");
    // Relative to the directory before it; shown as it is.
    ok(&mut wire, "CONFIG SET dir inner");
    let inner = server.dir.join("inner").canonicalize().expect("it is there");
    assert_eq!(cwd(), inner);
    let shown = wire.say("CONFIG GET dir").array()[1].text();
    assert_eq!(PathBuf::from(shown), inner);
    drop(temp);
}

/// Milliseconds until a key is gone that nobody asks for, beyond the time that it was given.
pub(crate) fn delay_of_expiry(wire: &mut Wire) -> u128 {
    let before: u64 = wire.info("stats", "expired_keys").parse().expect("a number");
    ok(wire, "SET k v PX 50");
    let start = Instant::now();
    eventually("the key expires", || {
        let now: u64 = wire.info("stats", "expired_keys").parse().expect("a number");
        if now > before { Ok(()) } else { Err(now.to_string()) }
    });
    start.elapsed().as_millis().saturating_sub(50)
}

pub(crate) fn hz() {
    let (_temp, server) = start(&["--hz", "1"]);
    let mut wire = server.wire();
    let delay = |wire: &mut Wire| -> u128 { (0..4).map(|_| delay_of_expiry(wire)).sum() };
    let slow = delay(&mut wire);
    ok(&mut wire, "CONFIG SET hz 100");
    // The pause that has begun is still a long one.
    delay_of_expiry(&mut wire);
    let fast = delay(&mut wire);
    assert!(fast * 2 < slow, "{fast} ms at 100, {slow} ms at 1");
}

pub(crate) fn loglevel() {
    let (_temp, server) = start(&["--enable-debug-command", "yes"]);
    let mut wire = server.wire();
    ok(&mut wire, "DEBUG LOG first");
    ok(&mut wire, "CONFIG SET loglevel warning");
    ok(&mut wire, "DEBUG LOG second");
    ok(&mut wire, "CONFIG SET loglevel notice");
    ok(&mut wire, "DEBUG LOG third");
    let text = server.log_text();
    let has = ["first", "second", "third"].map(|word| text.contains(&format!("DEBUG LOG: {word}")));
    assert_eq!(has, [true, false, true], "{text}");
}

pub(crate) fn logfile() {
    let (_temp, server) = start(&["--logfile", "other.log"]);
    let text = std::fs::read_to_string(server.dir.join("other.log")).expect("it is there");
    assert!(text.contains("Server initialized"), "{text}");
}

pub(crate) fn disable_thp() {
    let enabled = |value: &str| {
        let (_temp, server) = start(&["--disable-thp", value]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find(|line| line.starts_with("THP_enabled"))?;
        Some(line.ends_with('1'))
    };
    match enabled("yes") {
        Some(with) => assert_eq!((with, enabled("no")), (false, Some(true))),
        None => eprintln!("skipped: this kernel does not tell"),
    }
}

/// A primary with a replica that follows it.
pub(crate) fn pair(primary: &[&str], replica: &[&str]) -> ([tempfile::TempDir; 2], Server, Server) {
    let (first, primary) = start(primary);
    let port = primary.port.to_string();
    let of = [&["--replicaof", "127.0.0.1", &port], replica].concat();
    let (second, replica) = start(&of);
    let mut wire = primary.wire();
    eventually("the replica is online", || {
        let line = wire.info("replication", "slave0");
        if line.contains("state=online") { Ok(()) } else { Err(line) }
    });
    ([first, second], primary, replica)
}

pub(crate) fn shutdown_timeout() {
    let (_temp, mut primary, replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    ok(&mut wire, "CONFIG SET shutdown-timeout 1");
    replica.signal(Signal::STOP);
    await_halted(replica.pid());
    ok(&mut wire, "SET k v");
    let start = Instant::now();
    primary.signal(Signal::TERM);
    primary.await_end();
    let took = start.elapsed();
    // The default is ten seconds.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(9), "{took:?}");
}

pub(crate) fn bind() {
    let (_temp, server) = start(&["--bind", "127.0.0.1", "127.0.0.2"]);
    let reaches = |port: u16| {
        let address = ([127, 0, 0, 2], port).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
    };
    assert!(reaches(server.port));
    let (_other, without) = start(&[]);
    assert!(!reaches(without.port));
    // Only at the start.
    assert!(without.say("CONFIG SET bind 127.0.0.2").is_error("ERR CONFIG SET failed"));
}

/// An address of this machine that is no loopback, if it has one.
pub(crate) fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

pub(crate) fn protected_mode() {
    let Some(ip) = own_address() else {
        eprintln!("skipped: this machine has a loopback address only");
        return;
    };
    let (_temp, server) = start(&["--bind", "0.0.0.0"]);
    let from_outside = || {
        let address = (ip, server.port).into();
        let mut wire = Wire::connect_to(address, Duration::from_secs(5)).expect("it listens");
        wire.try_ask(&["PING"]).map_or_else(|error| error.to_string(), |answer| answer.text())
    };
    assert_ne!(from_outside(), "PONG");
    ok(&mut server.wire(), "CONFIG SET protected-mode no");
    assert_eq!(from_outside(), "PONG");
}

pub(crate) fn tcp_backlog() {
    let taken = |backlog: &str| {
        let (_temp, server) = start(&["--tcp-backlog", backlog]);
        server.signal(Signal::STOP);
        await_halted(server.pid());
        let address = ([127, 0, 0, 1], server.port).into();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let all: Vec<TcpStream> = (0..12).map_while(connect).collect();
        server.signal(Signal::CONT);
        all.len()
    };
    assert_eq!(taken("511"), 12);
    let few = taken("1");
    assert!(few < 12, "{few}");
}

pub(crate) fn tcp_keepalive() {
    let (_temp, server) = start(&[]);
    let has_timer = |seconds: u32| {
        ok(&mut server.wire(), &format!("CONFIG SET tcp-keepalive {seconds}"));
        // The port of a connection that is made after that.
        let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        let mut wire = [socket];
        std::io::Write::write_all(&mut wire[0], b"PING\r\n").expect("sent");
        wire[0].read_exact(&mut [0; 7]).expect("an answer");
        let ours = format!("{:04X}", wire[0].local_addr().expect("an address").port());
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut rows = rows.filter(|row| row.len() > 5 && row[2].ends_with(&format!(":{ours}")));
        // Timer 2 is the one of keep-alive.
        rows.next().expect("the server's end").get(5).is_some_and(|timer| timer.starts_with("02:"))
    };
    assert!(has_timer(300));
    assert!(!has_timer(0));
}

pub(crate) fn io_threads() {
    let (_temp, server) = start(&["--io-threads", "3"]);
    assert_eq!(server.wire().info("server", "io_threads_active"), "3");
    let names = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let names =
        names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("io-")).count(), 3);
}

pub(crate) fn proto_max_bulk_len(wire: &mut Wire) {
    ok(wire, "CONFIG SET proto-max-bulk-len 1mb");
    wire.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n").expect("sent");
    assert!(wire.answer().expect("an answer").is_error("ERR Protocol error: invalid bulk length"));
}

pub(crate) fn lfu_log_factor(wire: &mut Wire) {
    ok(wire, "CONFIG SET maxmemory-policy allkeys-lfu");
    let mut frequency = |factor: &str| {
        ok(wire, &format!("CONFIG SET lfu-log-factor {factor}"));
        ok(wire, &format!("SET k{factor} v"));
        (0..100).for_each(|_| drop(wire.say(&format!("GET k{factor}"))));
        wire.say(&format!("OBJECT FREQ k{factor}")).integer()
    };
    assert_eq!(frequency("0"), 105);
    assert!(frequency("1000000") < 20);
}

pub(crate) fn rdbcompression(wire: &mut Wire) {
    ok(wire, &format!("SET k {}", "x".repeat(1000)));
    let mut length = |value: &str| {
        ok(wire, &format!("CONFIG SET rdbcompression {value}"));
        let Answer::Bulk(dump) = wire.say("DUMP k") else { panic!("no payload") };
        dump.len()
    };
    assert!(length("no") > 1000);
    assert!(length("yes") < 100);
}

pub(crate) fn rdbchecksum() {
    let end = |value: &str| {
        let (_temp, server) = start(&["--rdbchecksum", value]);
        ok(&mut server.wire(), "SET k v");
        let mut wire = server.wire();
        wire.send(b"SYNC\r\n").expect("sent");
        // Empty lines come first, while the snapshot is made.
        let Answer::Bulk(payload) = wire.payload().expect("a snapshot") else {
            panic!("no payload")
        };
        payload[payload.len() - 8..].to_vec()
    };
    assert_eq!(end("no"), [0; 8]);
    assert_ne!(end("yes"), [0; 8]);
}

pub(crate) fn replicaof() {
    let announced = ["--replica-announce-ip", "10.9.8.7", "--replica-announce-port", "7654"];
    let (_temp, primary, _replica) = pair(&[], &announced);
    let line = primary.wire().info("replication", "slave0");
    assert!(line.starts_with("ip=10.9.8.7,port=7654,"), "{line}");
}

pub(crate) fn masterauth() {
    let (_temp, primary) = start(&["--requirepass", "secret"]);
    let (_other, replica) = start(&["--masterauth", "wrong"]);
    let mut wire = replica.wire();
    ok(&mut wire, &format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let link = |wire: &mut Wire, wanted: &str| {
        eventually("the link is so", || {
            let status = wire.info("replication", "master_link_status");
            if status == wanted { Ok(()) } else { Err(status) }
        });
    };
    eventually("the password is refused", || {
        let text = replica.log_text();
        if text.contains("Unable to AUTH to PRIMARY") { Ok(()) } else { Err(text) }
    });
    ok(&mut wire, "CONFIG SET masterauth secret");
    link(&mut wire, "up");
    // A user who is not there is refused with the right password.
    ok(&mut wire, "CONFIG SET masteruser nobody");
    assert_eq!(primary_wire(&primary).say("CLIENT KILL TYPE replica").integer(), 1);
    link(&mut wire, "down");
    ok(&mut wire, "CONFIG SET masteruser default");
    link(&mut wire, "up");
}

pub(crate) fn primary_wire(primary: &Server) -> Wire {
    let mut wire = primary.wire();
    ok(&mut wire, "AUTH secret");
    wire
}

pub(crate) fn as_a_replica() {
    let (_temp, mut primary, replica) = pair(&[], &["--replica-priority", "77"]);
    let mut wire = replica.wire();
    assert_eq!(wire.info("replication", "slave_priority"), "77");
    assert!(wire.say("SET k v").is_error("READONLY"));
    ok(&mut wire, "CONFIG SET replica-read-only no");
    ok(&mut wire, "SET k v");
    ok(&mut wire, "CONFIG SET replica-serve-stale-data no");
    eventually("the replica knows that it is not stale", || match wire.say("GET k") {
        Answer::Bulk(_) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    primary.kill();
    eventually("the replica knows that it is stale", || match wire.say("GET k") {
        answer if answer.is_error("MASTERDOWN") => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    ok(&mut wire, "CONFIG SET replica-serve-stale-data yes");
    assert_eq!(wire.say("GET k").text(), "v");
}

pub(crate) fn repl_backlog_size(wire: &mut Wire) {
    ok(wire, "CONFIG SET repl-backlog-size 3mb");
    assert_eq!(wire.info("replication", "repl_backlog_size"), (3 << 20).to_string());
}

pub(crate) fn repl_timeout() {
    let (_temp, primary, replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    replica.signal(Signal::STOP);
    await_halted(replica.pid());
    // It reaches the session that is there, which has begun with 60 seconds.
    ok(&mut wire, "CONFIG SET repl-timeout 1");
    let start = Instant::now();
    eventually("the replica is given up", || {
        let replicas = wire.info("replication", "connected_slaves");
        if replicas == "0" { Ok(()) } else { Err(replicas) }
    });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    replica.signal(Signal::CONT);

    // And that of a replica, whose primary says nothing.
    let (_temp, primary, replica) = pair(&[], &[]);
    let mut wire = replica.wire();
    primary.signal(Signal::STOP);
    await_halted(primary.pid());
    ok(&mut wire, "CONFIG SET repl-timeout 1");
    let start = Instant::now();
    eventually("the primary is given up", || {
        let status = wire.info("replication", "master_link_status");
        if status == "down" { Ok(()) } else { Err(status) }
    });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    primary.signal(Signal::CONT);
}

pub(crate) fn repl_ping_replica_period() {
    let (_temp, primary, _replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    let mut offset =
        || -> u64 { wire.info("replication", "master_repl_offset").parse().expect("a number") };
    ok(&mut primary.wire(), "CONFIG SET repl-ping-replica-period 1");
    let before = offset();
    let start = Instant::now();
    // Three pings of 14 bytes.
    eventually("pings are sent", || match offset() {
        now if now >= before + 42 => Ok(()),
        now => Err(now.to_string()),
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

pub(crate) fn min_replicas_to_write(wire: &mut Wire) {
    ok(wire, "SET k v");
    ok(wire, "CONFIG SET min-replicas-to-write 1");
    assert!(wire.say("SET k v").is_error("NOREPLICAS"));
    ok(wire, "CONFIG SET min-replicas-to-write 0");
    ok(wire, "SET k v");
}

pub(crate) fn min_replicas_max_lag() {
    let (_temp, primary, replica) = pair(&["--min-replicas-to-write", "1"], &[]);
    let mut wire = primary.wire();
    let write = |wire: &mut Wire, is_taken: bool| {
        eventually("writes are taken, or not", || match wire.say("SET k v") {
            answer if answer.is_error("NOREPLICAS") != is_taken => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
    };
    write(&mut wire, true);
    ok(&mut wire, "CONFIG SET min-replicas-max-lag 1");
    replica.signal(Signal::STOP);
    await_halted(replica.pid());
    let start = Instant::now();
    write(&mut wire, false);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    ok(&mut wire, "CONFIG SET min-replicas-max-lag 1000");
    write(&mut wire, true);
    replica.signal(Signal::CONT);
}

pub(crate) fn cluster() {
    let bus = free_ports(1);
    let (_temp, server) = start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "my.conf",
        "--cluster-port",
        &bus.to_string(),
    ]);
    let mut wire = server.wire();
    assert_eq!(wire.info("cluster", "cluster_enabled"), "1");
    eventually("the file is written", || {
        let file = std::fs::metadata(server.dir.join("my.conf"));
        file.map(drop).map_err(|error| error.to_string())
    });
    assert!(TcpStream::connect(("127.0.0.1", bus)).is_ok());

    // A part of the slots: the cluster is down, unless that is allowed.
    assert_eq!(wire.say("CLUSTER ADDSLOTSRANGE 0 16000").text(), "OK");
    assert!(wire.say("GET k{06S}").is_error("CLUSTERDOWN"));
    ok(&mut wire, "CONFIG SET cluster-allow-reads-when-down yes");
    // The core's view of it is published by another thread.
    eventually("reads are allowed", || match wire.say("GET k{06S}") {
        Answer::Null => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    assert!(wire.say("SET k{06S} v").is_error("CLUSTERDOWN"));
    ok(&mut wire, "CONFIG SET cluster-require-full-coverage no");
    eventually("a part of the slots is enough", || match wire.say("SET k{06S} v") {
        Answer::Status(_) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });

    for line in ["ip 10.1.2.3", "port 7777", "tls-port 7778", "bus-port 7779", "hostname a.example"]
    {
        ok(&mut wire, &format!("CONFIG SET cluster-announce-{line}"));
    }
    let nodes = wire.say("CLUSTER NODES").text();
    assert!(nodes.contains(" 10.1.2.3:7777@7779,a.example "), "{nodes}");
    let shards = format!("{:?}", wire.say("CLUSTER SHARDS"));
    assert!(shards.contains("Integer(7778)"), "{shards}");
    let endpoint =
        |wire: &mut Wire| wire.say("CLUSTER SLOTS").array()[0].array()[2].array()[0].clone();
    assert_eq!(endpoint(&mut wire).text(), "10.1.2.3");
    ok(&mut wire, "CONFIG SET cluster-preferred-endpoint-type hostname");
    assert_eq!(endpoint(&mut wire).text(), "a.example");
}

/// A directive, a value, what makes a key, and its encoding by default and with that value.
const ENCODINGS: &[(&str, &str, &str, &str, &str)] = &[
    ("hash-max-listpack-entries", "1", "HSET k a 1 b 2", "listpack", "hashtable"),
    ("hash-max-listpack-value", "2", "HSET k a 123", "listpack", "hashtable"),
    ("list-max-listpack-size", "1", "RPUSH k a b", "listpack", "quicklist"),
    ("set-max-intset-entries", "1", "SADD k 1 2", "intset", "listpack"),
    ("set-max-listpack-entries", "1", "SADD k a b", "listpack", "hashtable"),
    ("set-max-listpack-value", "2", "SADD k abc", "listpack", "hashtable"),
    ("zset-max-listpack-entries", "1", "ZADD k 1 a 2 b", "listpack", "skiplist"),
    ("zset-max-listpack-value", "2", "ZADD k 1 abc", "listpack", "skiplist"),
];

pub(crate) fn encodings(wire: &mut Wire) {
    for (name, value, make, by_default, with_it) in ENCODINGS {
        let before = wire.say(&format!("CONFIG GET {name}")).array()[1].text();
        wire.say(make);
        assert_eq!(wire.say("OBJECT ENCODING k").text(), *by_default, "{name}");
        assert_eq!(wire.say("DEL k").integer(), 1);
        ok(wire, &format!("CONFIG SET {name} {value}"));
        wire.say(make);
        assert_eq!(wire.say("OBJECT ENCODING k").text(), *with_it, "{name}");
        assert_eq!(wire.say("DEL k").integer(), 1);
        ok(wire, &format!("CONFIG SET {name} {before}"));
    }
}

pub(crate) fn list_compress_depth(wire: &mut Wire) {
    let mut memory = |depth: u32| {
        ok(wire, &format!("CONFIG SET list-compress-depth {depth}"));
        let key = format!("k{depth}");
        (0..20).for_each(|_| drop(wire.say(&format!("RPUSH {key} {}", "x".repeat(4000)))));
        wire.say(&format!("MEMORY USAGE {key} SAMPLES 0")).integer()
    };
    let (plain, compressed) = (memory(0), memory(1));
    assert!(compressed * 2 < plain, "{compressed} and {plain}");
}

pub(crate) fn stream_nodes(wire: &mut Wire) {
    let mut nodes = |name: &str, value: &str| {
        ok(wire, &format!("CONFIG SET {name} {value}"));
        (1..=6).for_each(|id| drop(wire.say(&format!("XADD {name}{value} {id}-1 field value"))));
        let info = wire.say(&format!("XINFO STREAM {name}{value}"));
        let at = info
            .array()
            .iter()
            .position(|item| matches!(item, Answer::Bulk(name) if name == b"radix-tree-nodes"));
        info.array()[at.expect("the field") + 1].integer()
    };
    assert!(nodes("stream-node-max-entries", "100") < nodes("stream-node-max-entries", "1"));
    let many = nodes("stream-node-max-entries", "50");
    assert!(many < nodes("stream-node-max-bytes", "1"));
}

pub(crate) fn hll_sparse_max_bytes(wire: &mut Wire) {
    wire.say("PFADD k a b c");
    assert_eq!(wire.say("PFDEBUG ENCODING k").text(), "sparse");
    ok(wire, "CONFIG SET hll-sparse-max-bytes 1");
    wire.say("PFADD other a b c");
    assert_eq!(wire.say("PFDEBUG ENCODING other").text(), "dense");
}
