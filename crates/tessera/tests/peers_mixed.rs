//! Tessera beside Debian's Redis and Valkey 8.1: in one cluster, and as primary and replica of each
//! other.
//!
//! Skipped where these are not installed; under CI that is a failure.

mod common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::cluster::{assert_one_owner_each, seen_by, tag_in};
use common::server::Server;
use common::wire::{Answer, Wire, field_of};
use common::{eventually, installed, valkey_server};
use tessera_cli::up::view::{SeenNode, Shard, shards};

/// Slots of three shards, as `redis-cli --cluster create` deals them.
const THIRDS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

const CLUSTER: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];

/// Both peers, or `None` with a word about what is missing.
fn peers() -> Option<[PathBuf; 2]> {
    Some([installed("redis-server")?, valkey_server()?])
}

/// Lets every server meet the first, and waits until all know all.
#[track_caller]
fn meet(servers: &[&Server]) {
    let first = servers[0];
    for server in &servers[1..] {
        let meet = format!("CLUSTER MEET 127.0.0.1 {}", server.port);
        assert_eq!(first.say(&meet).text(), "OK");
    }
    await_seen(servers, "all know all", |seen| {
        seen.len() == servers.len() && seen.iter().all(|node| node.linked && !node.handshake)
    });
}

/// Waits until every one of these servers sees the cluster so.
#[track_caller]
fn await_seen(servers: &[&Server], what: &str, is_so: impl Fn(&[SeenNode]) -> bool) {
    for server in servers {
        eventually(what, || {
            let seen = seen_by(server.port)?;
            assert_one_owner_each(&seen);
            if is_so(&seen) { Ok(()) } else { Err(format!("{}: {seen:#?}", server.port)) }
        });
    }
}

/// Gives each server a third of the slots and an epoch of its own; waits until all is well
/// everywhere.
#[track_caller]
fn deal_slots(primaries: [&Server; 3]) {
    for (at, (server, (first, last))) in primaries.iter().zip(THIRDS).enumerate() {
        let epoch = format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1);
        // Nodes that have met already may have epochs: then this is refused, and not needed.
        server.say(&epoch);
        let add = format!("CLUSTER ADDSLOTSRANGE {first} {last}");
        assert_eq!(server.say(&add).text(), "OK");
    }
    await_state_ok(&primaries);
}

/// Waits until all of these servers see the three shards with their slots, this one replica (of the
/// primary at this place) and no other, and the same config epoch for each primary, another for
/// each. A node that is killed from here on is replaced by a replica that knows its slots, with the
/// votes of nodes that know it.
#[track_caller]
fn await_agreement(servers: &[&Server], primaries: [&Server; 3], replica: Option<(usize, u16)>) {
    let expected: Vec<Shard> = (0..3)
        .map(|at| Shard {
            ranges: vec![THIRDS[at]],
            primary: primaries[at].port,
            replicas: replica.filter(|of| of.0 == at).map(|of| of.1).into_iter().collect(),
        })
        .collect();
    let epochs = |port: u16| {
        let ids = primaries.map(|primary| primary.say("CLUSTER MYID").text());
        let mut epochs = config_epochs(port);
        epochs.retain(|(id, _)| ids.contains(id));
        epochs
    };
    eventually("all agree on shards and epochs", || {
        let first = epochs(servers[0].port);
        let different: HashSet<_> = first.iter().map(|(_, epoch)| epoch).collect();
        if different.len() != 3 {
            return Err(format!("epochs {first:?}"));
        }
        for server in servers {
            let (seen, theirs) = (seen_by(server.port)?, epochs(server.port));
            assert_one_owner_each(&seen);
            if shards(&seen) != expected || theirs != first {
                return Err(format!("{}: {seen:#?} {theirs:?} {first:?}", server.port));
            }
        }
        Ok(())
    });
}

#[track_caller]
fn await_state_ok(servers: &[&Server]) {
    for server in servers {
        eventually("cluster_state:ok", || {
            let info = server.say("CLUSTER INFO").text();
            let state = field_of(&info, "cluster_state");
            if state == "ok" { Ok(()) } else { Err(format!("{}: {info}", server.port)) }
        });
    }
}

/// Makes `replica` follow `primary` inside the cluster, and waits until it does.
#[track_caller]
fn replicate(replica: &Server, primary: &Server) {
    let id = primary.say("CLUSTER MYID").text();
    eventually("CLUSTER REPLICATE is taken", || {
        match replica.say(&format!("CLUSTER REPLICATE {id}")) {
            Answer::Status(_) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    });
    await_link(replica, primary);
}

#[track_caller]
fn await_link(replica: &Server, primary: &Server) {
    eventually("the replica is linked", || {
        let info = replica.say("INFO replication").text();
        let is_so = field_of(&info, "master_link_status") == "up"
            && field_of(&info, "master_port") == primary.port.to_string();
        if is_so { Ok(()) } else { Err(info) }
    });
}

/// Waits until both are at the same offset.
#[track_caller]
fn await_same_offset(primary: &Server, replica: &Server) {
    eventually("the same offset", || {
        let [first, second] = [primary, replica]
            .map(|server| server.wire().info("replication", "master_repl_offset"));
        if first == second { Ok(()) } else { Err(format!("{first} and {second}")) }
    });
}

/// Writes keys with this tag, of which one expires late; all are acknowledged by a replica.
#[track_caller]
fn write_keys(primary: &Server, tag: &str, count: usize) {
    let mut wire = primary.wire();
    for number in 0..count {
        let set = wire.say(&format!("SET {{{tag}}}:{number} value-{number}"));
        assert_eq!(set.text(), "OK");
    }
    assert_eq!(wire.say(&format!("SET {{{tag}}}:expires soon EX 1000")).text(), "OK");
    assert_eq!(wire.say("WAIT 1 20000").integer(), 1, "no replica has it");
}

#[track_caller]
fn assert_keys(server: &Server, tag: &str, count: usize) {
    let mut wire = server.wire();
    wire.say("READONLY");
    for number in 0..count {
        let found = wire.say(&format!("GET {{{tag}}}:{number}"));
        assert_eq!(found, Answer::Bulk(format!("value-{number}").into_bytes()), "{number}");
    }
    let ttl = wire.say(&format!("TTL {{{tag}}}:expires")).integer();
    assert!((900..=1000).contains(&ttl), "{ttl}");
}

/// Kills the primary, and waits until the replica takes its writes.
#[track_caller]
fn kill_and_await_takeover(primary: &mut Server, replica: &Server, tag: &str) -> Duration {
    let killed_at = Instant::now();
    primary.kill();
    let mut wire = replica.wire();
    eventually("the replica takes over", || {
        match wire.say(&format!("SET {{{tag}}}:after takeover")) {
            Answer::Status(_) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    });
    killed_at.elapsed()
}

#[test]
fn redis_and_valkey_join_a_tessera_cluster_and_vote_in_it() {
    let Some([redis, valkey]) = peers() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let root = temp.path();

    // Given: a cluster whose primaries are Tessera, Redis and Valkey, and a Tessera replica of the
    // first.
    let mut ours = Server::tessera(root, &CLUSTER);
    let redis = Server::peer(&redis, root, &CLUSTER);
    let valkey = Server::peer(&valkey, root, &CLUSTER);
    let replica = Server::tessera(root, &CLUSTER);
    meet(&[&ours, &redis, &valkey, &replica]);
    deal_slots([&ours, &redis, &valkey]);

    // Then: all agree on slots and epochs.
    let all = [&ours, &redis, &valkey, &replica];
    let primaries = [&ours, &redis, &valkey];
    await_agreement(&all, primaries, None);
    eventually("the same current epoch everywhere", || {
        let epochs =
            all.map(|server| field_of(&server.say("CLUSTER INFO").text(), "cluster_current_epoch"));
        if epochs.iter().all(|e| *e == epochs[0]) { Ok(()) } else { Err(format!("{epochs:?}")) }
    });
    await_state_ok(&all);
    let slots = all.map(|server| slots_of(&server.say("CLUSTER SLOTS")));
    assert!(slots.iter().all(|seen| *seen == slots[0]), "{slots:#?}");

    // And: each redirects to the others.
    for (server, (owner, range)) in
        all.iter().flat_map(|s| primaries.iter().zip(THIRDS).map(move |p| (s, p)))
    {
        let tag = tag_in(&[range]);
        let answer = server.say(&format!("GET {tag}"));
        let address = format!("127.0.0.1:{}", owner.port);
        let is_right = match answer {
            Answer::Null => server.port == owner.port,
            _ => answer.is_error("MOVED") && answer.text().ends_with(&address),
        };
        assert!(is_right, "{answer:?}");
    }

    // When the Tessera primary is killed, the others' votes make its replica the primary.
    replicate(&replica, &ours);
    await_agreement(&all, primaries, Some((0, replica.port)));
    let tag = tag_in(&THIRDS[..1]);
    write_keys(&ours, &tag, 100);
    let gap = kill_and_await_takeover(&mut ours, &replica, &tag);
    println!("Redis and Valkey elected a Tessera replica in {} ms", gap.as_millis());
    assert_keys(&replica, &tag, 100);
    await_seen(&[&redis, &valkey, &replica], "the replica owns the slots", |seen| {
        shards(seen).first().is_some_and(|shard| shard.primary == replica.port)
    });
    await_state_ok(&[&redis, &valkey, &replica]);
}

/// Id and config epoch of each node, as this one sees it.
fn config_epochs(port: u16) -> Vec<(String, String)> {
    let text = Wire::connect(port).expect("it runs").say("CLUSTER NODES").text();
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut epochs: Vec<_> =
        fields.map(|fields| (fields[0].to_owned(), fields[6].to_owned())).collect();
    epochs.sort();
    epochs
}

/// First slot, last slot, port and id of each entry of CLUSTER SLOTS.
fn slots_of(answer: &Answer) -> Vec<(i64, i64, i64, String)> {
    let entry = |entry: &Answer| {
        let entry = entry.array();
        let primary = entry[2].array();
        (entry[0].integer(), entry[1].integer(), primary[1].integer(), primary[2].text())
    };
    let mut slots: Vec<_> = answer.array().iter().map(entry).collect();
    slots.sort();
    slots
}

/// In a cluster of three Tessera primaries, one more Tessera node follows a peer's primary, or a
/// peer follows ours; the followed one is killed.
fn takeover(peer: &Path, peer_is_primary: bool) {
    let temp = tempfile::tempdir().expect("a directory");
    let root = temp.path();
    let first = Server::tessera(root, &CLUSTER);
    let second = Server::tessera(root, &CLUSTER);
    let ours = Server::tessera(root, &CLUSTER);
    let theirs = Server::peer(peer, root, &CLUSTER);
    meet(&[&first, &second, &ours, &theirs]);
    let (mut primary, replica) = if peer_is_primary { (theirs, ours) } else { (ours, theirs) };
    deal_slots([&first, &second, &primary]);

    // Given: data that was there before the replica came, and after.
    let tag = tag_in(&THIRDS[2..]);
    for number in 0..50 {
        assert_eq!(primary.say(&format!("SET {{{tag}}}:early-{number} x")).text(), "OK");
    }
    replicate(&replica, &primary);
    write_keys(&primary, &tag, 200);
    await_same_offset(&primary, &replica);
    let (all, primaries) = ([&first, &second, &primary, &replica], [&first, &second, &primary]);
    await_agreement(&all, primaries, Some((2, replica.port)));

    // When the primary is killed.
    let gap = kill_and_await_takeover(&mut primary, &replica, &tag);
    println!("taken over in {} ms", gap.as_millis());

    // Then the replica serves all of it, and when the killed one comes back it follows.
    assert_keys(&replica, &tag, 200);
    assert_eq!(replica.say("DBSIZE").integer(), 50 + 200 + 2);
    await_state_ok(&[&first, &second, &replica]);
    primary.restart();
    await_link(&primary, &replica);
    await_same_offset(&replica, &primary);
    assert_keys(&primary, &tag, 200);
    await_seen(&[&first, &second, &primary, &replica], "one shard with its replica", |seen| {
        let last = shards(seen).pop();
        last.is_some_and(|s| s.primary == replica.port && s.replicas == [primary.port])
    });
}

#[test]
fn a_tessera_replica_takes_over_from_a_redis_primary() {
    let Some(redis) = installed("redis-server") else { return };
    takeover(&redis, true);
}

#[test]
fn a_redis_replica_takes_over_from_a_tessera_primary() {
    let Some(redis) = installed("redis-server") else { return };
    takeover(&redis, false);
}

#[test]
fn a_tessera_replica_takes_over_from_a_valkey_primary() {
    let Some(valkey) = valkey_server() else { return };
    takeover(&valkey, true);
}

#[test]
fn a_valkey_replica_takes_over_from_a_tessera_primary() {
    let Some(valkey) = valkey_server() else { return };
    takeover(&valkey, false);
}

/// Without a cluster: the second follows the first.
fn replication(primary: &Server, replica: &Server) {
    everything_is_copied(primary, replica);
    commands_are_followed(primary, replica);
    cut_links_are_resumed(primary, replica);

    // When it is told to follow no primary, then it takes writes.
    assert_eq!(replica.say("REPLICAOF NO ONE").text(), "OK");
    assert_eq!(replica.say("SET mine x").text(), "OK");
}

fn everything_is_copied(primary: &Server, replica: &Server) {
    // Given: several databases, an expiry, a large value.
    let mut wire = primary.wire();
    let large = vec![b'x'; 300_000];
    for db in [0, 3, 15] {
        assert_eq!(wire.say(&format!("SELECT {db}")).text(), "OK");
        for number in 0..200 {
            assert_eq!(wire.say(&format!("SET key:{number} {db}-{number}")).text(), "OK");
        }
        assert_eq!(wire.say("SET number 12345").text(), "OK");
        assert_eq!(wire.say("SET late x PX 5000000").text(), "OK");
        assert_eq!(wire.ask(&[&b"SET"[..], b"large", &large]).text(), "OK");
    }

    // When the other is told to follow, then it has all of that.
    assert_eq!(replica.say(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).text(), "OK");
    await_link(replica, primary);
    await_same_offset(primary, replica);
    let mut copy = replica.wire();
    for db in [0, 3, 15] {
        copy.say(&format!("SELECT {db}"));
        assert_eq!(copy.say("DBSIZE").integer(), 203, "database {db}");
        assert_eq!(copy.say("GET key:7").text(), format!("{db}-7"));
        assert_eq!(copy.say("GET number").text(), "12345");
        assert_eq!(copy.say("GET large"), Answer::Bulk(large.clone()));
        assert!((4_000_000..=5_000_000).contains(&copy.say("PTTL late").integer()));
    }
    assert!(copy.say("SET mine x").is_error("READONLY"), "a replica takes no writes");
}

/// In database 3.
fn commands_are_followed(primary: &Server, replica: &Server) {
    // When commands of all kinds stream in, then it follows each.
    let (mut wire, mut copy) = (primary.wire(), replica.wire());
    wire.say("SELECT 3");
    for line in [
        "APPEND key:1 -more",
        "INCR counter",
        "INCRBY counter 41",
        "SETRANGE key:2 1 zz",
        "DEL key:3",
        "RENAME key:4 renamed",
        "GETDEL key:5",
        "MSET a 1 b 2",
        "SETEX short 1000 x",
        "EXPIRE key:6 2000",
        "PERSIST late",
        "INCRBYFLOAT float 1.5",
        "COPY a c",
        "GETEX b EX 3000",
        "UNLINK key:8 key:9",
        "SET once x NX",
        "PEXPIREAT key:10 99999999999999",
    ] {
        let answer = wire.say(line);
        assert!(!matches!(answer, Answer::Error(_)), "{line}: {answer:?}");
    }
    for number in 0..2000 {
        wire.say(&format!("SET stream:{number} {number}"));
    }
    assert_eq!(wire.say("SET vanishes x PX 30").text(), "OK");
    assert_eq!(wire.say("WAIT 1 20000").integer(), 1);
    await_same_offset(primary, replica);
    assert_same(primary, replica, 3);
    eventually("what expires on the primary is gone on the replica", || {
        wire.say("GET vanishes");
        let left = copy.say("SELECT 3").text() + &format!("{:?}", copy.say("GET vanishes"));
        if left.ends_with("Null") { Ok(()) } else { Err(left) }
    });
}

/// In database 3.
fn cut_links_are_resumed(primary: &Server, replica: &Server) {
    let (mut wire, mut copy) = (primary.wire(), replica.wire());
    wire.say("SELECT 3");
    // When the link is cut, from either side, then it goes on from where it was.
    for (cut, kill) in [(primary, "CLIENT KILL TYPE replica"), (replica, "CLIENT KILL TYPE master")]
    {
        let (full, partial) = syncs(primary);
        assert!(cut.say(kill).integer() >= 1, "{kill}");
        let key = format!("after:{full}:{partial}");
        wire.say(&format!("SET {key} x"));
        eventually("the link is resumed", || {
            let (full_now, partial_now) = syncs(primary);
            assert_eq!(full_now, full, "there was a full resynchronisation");
            if partial_now > partial { Ok(()) } else { Err(format!("{partial_now} resumed")) }
        });
        eventually("the write after the cut arrives", || {
            copy.say("SELECT 3");
            let found = copy.say(&format!("GET {key}"));
            if found == Answer::Bulk(b"x".to_vec()) { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }
    await_same_offset(primary, replica);
    assert_same(primary, replica, 3);
}

/// How many full synchronisations the server has begun, and how many partial ones it has granted.
fn syncs(server: &Server) -> (u64, u64) {
    let text = server.say("INFO stats").text();
    let count = |field| field_of(&text, field).parse().expect("a number");
    (count("sync_full"), count("sync_partial_ok"))
}

/// Every key has the same value and the same time to live, within a second.
#[track_caller]
fn assert_same(primary: &Server, replica: &Server, db: usize) {
    let (mut first, mut second) = (primary.wire(), replica.wire());
    for wire in [&mut first, &mut second] {
        wire.say(&format!("SELECT {db}"));
    }
    let keys = |wire: &mut Wire| {
        let mut keys: Vec<String> = wire.say("KEYS *").array().iter().map(Answer::text).collect();
        keys.retain(|key| key != "vanishes");
        keys.sort();
        keys
    };
    let names = keys(&mut first);
    assert_eq!(names, keys(&mut second));
    for name in names {
        let [one, two] = [&mut first, &mut second]
            .map(|wire| (wire.ask(&["GET", &name]), wire.ask(&["PEXPIRETIME", &name])));
        assert_eq!(one, two, "{name}");
    }
}

#[test]
fn redis_follows_tessera() {
    let Some(redis) = installed("redis-server") else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    replication(&primary, &Server::peer(&redis, temp.path(), &[]));
}

#[test]
fn tessera_follows_redis() {
    let Some(redis) = installed("redis-server") else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::peer(&redis, temp.path(), &[]);
    replication(&primary, &Server::tessera(temp.path(), &[]));
}

#[test]
fn valkey_follows_tessera() {
    let Some(valkey) = valkey_server() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    replication(&primary, &Server::peer(&valkey, temp.path(), &[]));
}

#[test]
fn tessera_follows_valkey() {
    let Some(valkey) = valkey_server() else { return };
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::peer(&valkey, temp.path(), &[]);
    replication(&primary, &Server::tessera(temp.path(), &[]));
}

#[test]
fn tessera_follows_tessera() {
    let temp = tempfile::tempdir().expect("a directory");
    let primary = Server::tessera(temp.path(), &[]);
    replication(&primary, &Server::tessera(temp.path(), &[]));
}
