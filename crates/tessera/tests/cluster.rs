//! A cluster of six real processes under load: killed, halted, restarted and handed-over primaries.

mod common;

use std::time::{Duration, Instant};

use common::cluster::{Cluster, assert_one_owner_each, seen_by, tag_in};
use common::load::{Writer, acknowledged, assert_holds};
use common::wire::{Answer, Wire, command};
use common::{PATIENCE, await_halted, eventually};
use redis::cluster::{ClusterClient, ClusterConnection};
use tessera_cli::up::view::Shard;

/// The longest time to the first write after `kill -9` of a primary, with default settings.
const KILLED_LIMIT: Duration = Duration::from_millis(1500);
/// The same after SIGSTOP, with `cluster-node-timeout 2000`.
const PAUSED_LIMIT: Duration = Duration::from_millis(3500);
/// The longest time of a handover on command.
const HANDOVER_LIMIT: Duration = Duration::from_secs(2);

/// The `redis` crate's cluster client.
fn cluster_client(ports: &[u16]) -> ClusterConnection {
    let urls: Vec<String> = ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
    let client = ClusterClient::builder(urls)
        .retries(64)
        .connection_timeout(Duration::from_secs(1))
        .response_timeout(PATIENCE)
        .build()
        .expect("the addresses are well-formed");
    client.get_connection().expect("the cluster is up")
}

/// The only replica of a shard.
fn replica_of(shard: &Shard) -> u16 {
    assert_eq!(shard.replicas.len(), 1, "{shard:?}");
    shard.replicas[0]
}

fn pid_of(cluster: &mut Cluster, port: u16) -> u32 {
    cluster.nodes.pid(port).expect("it is ours").expect("it lives")
}

/// Asks a node to write until it does; gives when.
fn first_write(port: u16, tag: &str) -> Instant {
    let mut wire = Wire::connect(port).expect("the node runs");
    let mut count = 0;
    eventually("the node takes writes", || {
        count += 1;
        match wire.ask(&["SET", &format!("{{{tag}}}:probe"), &count.to_string()]) {
            Answer::Status(_) => Ok(Instant::now()),
            answer => Err(format!("{answer:?}")),
        }
    })
}

#[test]
fn a_killed_primary_is_replaced_and_no_acknowledged_write_is_lost() {
    // Given: a cluster with default settings, loaded by a cluster client, and writers on every
    // shard.
    let mut cluster = Cluster::start(&[]);
    let ports = cluster.ports();
    let mut client = cluster_client(&ports);
    for number in 0..1000 {
        let set = redis::cmd("SET").arg(format!("loaded:{number}")).arg(number).exec(&mut client);
        set.expect("the cluster takes writes");
    }
    let shards = cluster.shards();
    let tags: Vec<String> = shards.iter().map(|shard| tag_in(&shard.ranges)).collect();
    let writers: Vec<Writer> = tags.iter().map(|tag| Writer::start(tag, &ports)).collect();
    writers.iter().for_each(|writer| writer.await_acknowledged(50));
    let (old, new) = (shards[0].primary, replica_of(&shards[0]));

    // When its primary is killed, then the replica takes writes soon.
    let killed_at = Instant::now();
    cluster.nodes.kill(old).expect("it runs");
    let gap = first_write(new, &tags[0]) - killed_at;
    println!("first write {} ms after kill -9", gap.as_millis());
    assert!(gap <= KILLED_LIMIT, "{gap:?}");
    writers[0].await_write_elsewhere(old, killed_at);
    let left: Vec<u16> = ports.iter().copied().filter(|&port| port != old).collect();
    cluster.await_agreement(&left);
    // A cluster client goes on, too. (That of the `redis` crate asks for the slots anew only when
    // it is redirected, never when its node is gone: like every user of it, we make another.)
    let mut client = cluster_client(&ports);
    let key = format!("{{{}}}:client", tags[0]);
    redis::cmd("SET").arg(key).arg("goes on").exec(&mut client).expect("the client goes on");

    // When it is started again, then it follows its former replica and has the same data.
    cluster.nodes.restart(old).expect("it starts");
    cluster.await_replica_of(old, new);
    writers.iter().for_each(|writer| writer.await_acknowledged(50));
    let writes: Vec<_> = writers.into_iter().map(Writer::stop).collect();
    cluster.await_ok();
    cluster.await_same_data(new, old);
    for port in [old, new] {
        assert_holds(port, &acknowledged(&writes[0]));
    }
    for (shard, writes) in shards.iter().zip(&writes).skip(1) {
        assert_holds(shard.primary, &acknowledged(writes));
    }
    for number in 0..1000 {
        let found: Option<u32> =
            redis::cmd("GET").arg(format!("loaded:{number}")).query(&mut client).expect("a reply");
        assert_eq!(found, Some(number), "loaded:{number}");
    }

    // When the new primary is killed in its turn, then the old one takes over with all that it
    // holds.
    let killed_at = Instant::now();
    cluster.nodes.kill(new).expect("it runs");
    let gap = first_write(old, &tags[0]) - killed_at;
    println!("first write {} ms after the second kill -9", gap.as_millis());
    assert!(gap <= KILLED_LIMIT, "{gap:?}");
    assert_holds(old, &acknowledged(&writes[0]));
}

#[test]
fn a_halted_primary_is_replaced_and_steps_back_when_it_wakes() {
    // Given: a cluster that suspects after two seconds.
    let mut cluster = Cluster::start(&["cluster-node-timeout 2000"]);
    let ports = cluster.ports();
    let shard = cluster.shards().swap_remove(1);
    let (old, new) = (shard.primary, replica_of(&shard));
    let tag = tag_in(&shard.ranges);
    let writer = Writer::start(&tag, &ports);
    writer.await_acknowledged(50);
    let writes = writer.stop();
    cluster.await_same_data(old, new);
    let mut asleep = Wire::connect(old).expect("it runs");

    // When it is halted, and somebody writes to it all the same.
    let halted_at = Instant::now();
    cluster.nodes.pause(old).expect("it runs");
    await_halted(pid_of(&mut cluster, old));
    let key = format!("{{{tag}}}:sent to a sleeper");
    asleep.send(&command(&["SET", &key, "value"])).expect("the kernel takes it");

    // Then its replica takes over.
    let gap = first_write(new, &tag) - halted_at;
    println!("first write {} ms after SIGSTOP", gap.as_millis());
    assert!(gap <= PAUSED_LIMIT, "{gap:?}");
    assert_holds(new, &acknowledged(&writes));

    // And when it wakes, it takes no write before it knows that it was replaced; then it is a
    // replica, and everybody agrees.
    cluster.nodes.unpause(old).expect("it runs");
    let answer = asleep.answer().expect("a reply");
    assert!(answer.is_error("CLUSTERDOWN") || answer.is_error("MOVED"), "{answer:?}");
    cluster.await_replica_of(old, new);
    cluster.await_agreement(&ports);
    cluster.await_same_data(new, old);
    assert_holds(old, &acknowledged(&writes));
}

#[test]
fn a_halted_primary_that_nobody_replaces_serves_again() {
    // Given: replicas that may not take over.
    const TIMEOUT: Duration = Duration::from_secs(1);
    let timeout = format!("cluster-node-timeout {}", TIMEOUT.as_millis());
    let mut cluster = Cluster::start(&[&timeout, "cluster-replica-no-failover yes"]);
    let shards = cluster.shards();
    let (primary, tag) = (shards[0].primary, tag_in(&shards[0].ranges));
    let mut wire = Wire::connect(primary).expect("it runs");
    assert_eq!(wire.ask(&["SET", &format!("{{{tag}}}:before"), "x"]).text(), "OK");

    // When a primary is halted for so long that the others take it for failed.
    cluster.nodes.pause(primary).expect("it runs");
    await_halted(pid_of(&mut cluster, primary));
    let halted_at = Instant::now();
    eventually("the others take it for failed", || {
        let seen = seen_by(shards[1].primary)?;
        let is_failing = seen.iter().any(|node| node.port == primary && node.failing);
        // It notices that it did not run by how long that was.
        let is_long = halted_at.elapsed() > TIMEOUT + Duration::from_millis(200);
        if is_failing && is_long { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    cluster.nodes.unpause(primary).expect("it runs");

    // Then it takes no write at once, and serves all that it had once the cluster is well.
    let answer = wire.ask(&["SET", &format!("{{{tag}}}:at once"), "x"]);
    assert!(answer.is_error("CLUSTERDOWN"), "{answer:?}");
    first_write(primary, &tag);
    assert_eq!(wire.ask(&["GET", &format!("{{{tag}}}:before")]).text(), "x");
    cluster.await_ok();
}

#[test]
fn a_failover_on_command_loses_nothing() {
    // Given: writes under way.
    let mut cluster = Cluster::start(&[]);
    let ports = cluster.ports();
    let shard = cluster.shards().swap_remove(0);
    let (old, new) = (shard.primary, replica_of(&shard));
    let tag = tag_in(&shard.ranges);
    let writer = Writer::start(&tag, &ports);
    writer.await_acknowledged(50);

    // When the replica is told to take over.
    let asked_at = Instant::now();
    let answer = Wire::connect(new).expect("it runs").say("CLUSTER FAILOVER");
    assert_eq!(answer, Answer::Status("OK".into()));
    let gap = writer.await_write_elsewhere(old, asked_at) - asked_at;
    println!("first write {} ms after CLUSTER FAILOVER", gap.as_millis());

    // Then it does so at once, the old primary follows it, and every answered write is there.
    assert!(gap <= HANDOVER_LIMIT, "{gap:?}");
    cluster.await_replica_of(old, new);
    writer.await_acknowledged(50);
    let writes = writer.stop();
    cluster.await_agreement(&ports);
    cluster.await_same_data(new, old);
    assert_holds(new, &writes);
    assert_holds(old, &writes);
}

#[test]
fn a_node_leaves_by_reset_is_forgotten_and_comes_back() {
    // Given
    let mut cluster = Cluster::start(&["cluster-node-timeout 2000"]);
    let ports = cluster.ports();
    let shard = cluster.shards().swap_remove(0);
    let (primary, leaver) = (shard.primary, replica_of(&shard));
    let others: Vec<u16> = ports.iter().copied().filter(|&port| port != leaver).collect();
    let id = |port| Wire::connect(port).expect("it runs").say("CLUSTER MYID").text();
    let leaver_id = id(leaver);

    // When a replica is reset, and forgotten by all others.
    let mut wire = Wire::connect(leaver).expect("it runs");
    assert_eq!(wire.say("CLUSTER RESET HARD").text(), "OK");
    for &port in &others {
        let forgotten =
            Wire::connect(port).expect("it runs").say(&format!("CLUSTER FORGET {leaver_id}"));
        assert_eq!(forgotten.text(), "OK", "{port}");
    }

    // Then it knows nobody, has another id, and nobody knows it.
    assert_eq!(seen_by(leaver).expect("it runs").len(), 1);
    assert_ne!(id(leaver), leaver_id);
    for &port in &others {
        let seen = seen_by(port).expect("it runs");
        assert!(seen.iter().all(|node| node.id != leaver_id), "{port}: {seen:?}");
    }

    // When it is met again and told whom to follow.
    let meet = format!("CLUSTER MEET 127.0.0.1 {primary}");
    assert_eq!(wire.say(&meet).text(), "OK");
    let primary_id = id(primary);
    eventually("it knows its primary again", || {
        match wire.say(&format!("CLUSTER REPLICATE {primary_id}")) {
            Answer::Status(_) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    });

    // Then it is a replica as before, known to all under its new name.
    cluster.await_replica_of(leaver, primary);
    let new_id = id(leaver);
    for &port in &others {
        eventually("the node is known", || {
            let seen = seen_by(port)?;
            assert_one_owner_each(&seen);
            let known = seen.iter().find(|node| node.id == new_id && !node.handshake);
            known.map(|_| ()).ok_or_else(|| format!("{port}: {seen:?}"))
        });
    }
}

#[test]
fn a_cluster_client_reads_and_writes_through_everything() {
    // Given: a client that knows one node only.
    let mut cluster = Cluster::start(&[]);
    let ports = cluster.ports();
    let mut client = cluster_client(&ports[..1]);

    // Then it finds the others: plain commands, pipelines over all shards, keys of one slot
    // together.
    let mut pipe = redis::cluster::cluster_pipe();
    for number in 0..500 {
        pipe.set(format!("piped:{number}"), number).ignore();
    }
    pipe.exec(&mut client).expect("the pipeline is taken");
    let mut pipe = redis::cluster::cluster_pipe();
    for number in 0..500 {
        pipe.get(format!("piped:{number}"));
    }
    let found: Vec<u32> = pipe.query(&mut client).expect("the pipeline is answered");
    assert_eq!(found, (0..500).collect::<Vec<u32>>());
    let mset = redis::cmd("MSET").arg("{tag}a").arg("1").arg("{tag}b").arg("2").exec(&mut client);
    mset.expect("one slot");
    let both: Vec<u32> =
        redis::cmd("MGET").arg("{tag}a").arg("{tag}b").query(&mut client).expect("one slot");
    assert_eq!(both, [1, 2]);

    // And the links of each node stand together, first the one to it.
    eventually("all nodes are linked both ways", || {
        let links = Wire::connect(ports[0]).expect("it runs").say("CLUSTER LINKS");
        let links: Vec<[String; 2]> =
            links.array().iter().map(|link| [1, 3].map(|at| link.array()[at].text())).collect();
        let is_pair = |pair: &[[String; 2]]| matches!(pair, [[a, to], [b, from]] if a == "to" && b == "from" && to == from);
        let is_so = links.len() == 10 && links.chunks(2).all(is_pair);
        if is_so { Ok(()) } else { Err(format!("{links:?}")) }
    });

    // When every primary is handed over in turn, then the client goes on without an error.
    for shard in cluster.shards() {
        let (old, new) = (shard.primary, replica_of(&shard));
        assert_eq!(Wire::connect(new).expect("it runs").say("CLUSTER FAILOVER").text(), "OK");
        let deadline = Instant::now() + PATIENCE;
        let key = format!("{{{}}}:counter", tag_in(&shard.ranges));
        let mut counted = 0;
        loop {
            let count: u64 = redis::cmd("INCR").arg(&key).query(&mut client).expect("it goes on");
            counted += 1;
            assert_eq!(count, counted, "an INCR was lost, or done twice");
            let role = Wire::connect(old).expect("it runs").info("replication", "role");
            if role == "slave" && counted > 100 {
                break;
            }
            assert!(Instant::now() < deadline, "no handover");
        }
    }
}
