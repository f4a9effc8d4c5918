//! Data that a failover must not lose: with real processes, disks that are slow, primaries that
//! come back at once.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::cluster::{Cluster, seen_by, tag_in};
use common::wire::{Answer, Wire};
use common::{TESSERA, eventually, installed};
use tessera_cli::up::view::Shard;

/// Gone for less than the time in which the others are certain of it.
const QUICK: Duration = Duration::from_millis(200);
/// How often a busy machine may fail to start a process that quickly.
const ATTEMPTS: usize = 20;
/// The keys that a test writes.
const KEYS: usize = 1000;

fn wire(port: u16) -> Wire {
    Wire::connect(port).expect("the node runs")
}

/// Writes keys to a primary; what was written is acknowledged by a replica.
fn write_keys(port: u16, tag: &str, prefix: &str) {
    let mut wire = wire(port);
    for number in 0..KEYS {
        let key = format!("{{{tag}}}:{prefix}:{number}");
        assert_eq!(wire.ask(&["SET", &key, &number.to_string()]).text(), "OK", "{port}");
    }
    let replicas = wire.ask(&["WAIT", "1", "10000"]).integer();
    assert!(replicas >= 1, "no replica of {port} acknowledges");
}

/// Waits until one of these nodes serves writes with this tag; gives its port, and when.
fn await_writable(ports: &[u16], tag: &str) -> (u16, Instant) {
    eventually("a node takes writes", || {
        for &port in ports {
            let Ok(mut wire) = Wire::connect(port) else { continue };
            let key = format!("{{{tag}}}:probe");
            if let Ok(Answer::Status(_)) = wire.try_ask(&["SET", &key, "x"]) {
                return Ok((port, Instant::now()));
            }
        }
        Err(format!("none of {ports:?}"))
    })
}

/// How many of the keys a node lacks.
fn missing(port: u16, tag: &str, prefix: &str) -> usize {
    let mut wire = wire(port);
    wire.say("READONLY");
    let is_missing = |number: &usize| {
        let found = wire.ask(&["GET", &format!("{{{tag}}}:{prefix}:{number}")]);
        found != Answer::Bulk(number.to_string().into_bytes())
    };
    (0..KEYS).filter(is_missing).count()
}

fn members(shard: &Shard) -> Vec<u16> {
    std::iter::once(shard.primary).chain(shard.replicas.iter().copied()).collect()
}

#[test]
fn a_primary_that_restarts_at_once_does_not_empty_its_replica() {
    let mut cluster = Cluster::start(&[]);
    let mut gone = Vec::new();
    for attempt in 0..ATTEMPTS {
        // Given: keys on a primary and its replica.
        let shard = cluster.shards().swap_remove(attempt % 3);
        let (primary, tag) = (shard.primary, tag_in(&shard.ranges));
        let prefix = format!("round {attempt}");
        write_keys(primary, &tag, &prefix);

        // When the primary is killed and started again, without any file of its data.
        let killed_at = Instant::now();
        cluster.nodes.kill(primary).expect("it runs");
        cluster.nodes.restart(primary).expect("it starts");
        gone.push(killed_at.elapsed());

        // Then all keys are there, soon, on both in the end.
        let (serving, at) = await_writable(&members(&shard), &tag);
        println!("gone for {:?}, {serving} serves after {:?}", gone[attempt], at - killed_at);
        assert_eq!(missing(serving, &tag, &prefix), 0, "{serving} has lost keys");
        assert!(at - killed_at < Duration::from_secs(3), "{:?}", at - killed_at);
        assert_ne!(serving, primary, "it had nothing to serve");
        cluster.await_replica_of(primary, serving);
        cluster.await_same_data(serving, primary);
        cluster.await_ok();
        assert_eq!(missing(primary, &tag, &prefix), 0, "the former primary did not get the keys");
        if gone[attempt] <= QUICK && attempt >= 2 {
            return;
        }
    }
    panic!("the machine is too busy to start a process quickly: {gone:?}");
}

#[test]
fn a_cluster_whose_nodes_all_restart_serves_without_its_data() {
    let mut cluster = Cluster::start(&[]);
    let ports = cluster.ports();
    let shards = cluster.shards();
    for shard in &shards {
        write_keys(shard.primary, &tag_in(&shard.ranges), "lost");
    }
    for &port in &ports {
        cluster.nodes.kill(port).expect("it runs");
    }
    let started_at = Instant::now();
    for &port in &ports {
        cluster.nodes.restart(port).expect("it starts");
    }
    for shard in &shards {
        let (serving, at) = await_writable(&members(shard), &tag_in(&shard.ranges));
        assert_eq!(serving, shard.primary);
        assert!(at - started_at < Duration::from_secs(8), "{:?}", at - started_at);
    }
    cluster.await_ok();
}

/// Writes to a primary without end while something happens; gives the longest time without a write
/// that was taken.
fn longest_gap(port: u16, tag: &str, happens: impl FnOnce() + Send) -> Duration {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut wire, mut longest, mut last) = (wire(port), Duration::ZERO, Instant::now());
            let key = format!("{{{tag}}}:written all the time");
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = wire.ask(&["SET", &key, "x"]);
                if matches!(answer, Answer::Status(_)) {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            longest.max(last.elapsed())
        });
        happens();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().expect("the primary answers")
    })
}

#[test]
fn restarts_of_others_do_not_stop_a_primary() {
    /// A busy machine may let a client wait.
    const LIMIT: Duration = Duration::from_millis(500);
    /// The consequences of a restart have come by then.
    const AFTERMATH: Duration = Duration::from_secs(3);
    // Given: a primary that serves whatever slots are not served elsewhere.
    let mut cluster = Cluster::start(&["cluster-require-full-coverage no"]);
    let shards = cluster.shards();
    let (primary, tag) = (shards[0].primary, tag_in(&shards[0].ranges));
    let others: Vec<u16> = shards[1..].iter().flat_map(members).collect();
    let nodes = &mut cluster.nodes;

    // When the others are restarted, one at a time, and then two primaries close together.
    let one_by_one = longest_gap(primary, &tag, || {
        for &other in &others {
            nodes.kill(other).expect("it runs");
            std::thread::sleep(Duration::from_millis(600));
            nodes.restart(other).expect("it starts");
            std::thread::sleep(AFTERMATH);
        }
    });
    cluster.await_ok();
    let others: Vec<u16> = cluster.shards().iter().map(|shard| shard.primary).collect();
    let others: Vec<u16> = others.into_iter().filter(|&port| port != primary).collect();
    let nodes = &mut cluster.nodes;
    let together = longest_gap(primary, &tag, || {
        others.iter().for_each(|&other| nodes.kill(other).expect("it runs"));
        std::thread::sleep(Duration::from_millis(600));
        others.iter().for_each(|&other| nodes.restart(other).expect("it starts"));
        std::thread::sleep(AFTERMATH);
    });

    // Then it takes writes all the time.
    println!("one by one: {one_by_one:?} without a write at most; two together: {together:?}");
    assert!(one_by_one <= LIMIT && together <= LIMIT, "{one_by_one:?}, {together:?}");
}

/// A library that makes fsync take as many milliseconds as a file in the working directory says.
const SLOW_FSYNC: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int fsync(int fd) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    FILE *file = fopen("fsync-delay", "r");
    long millis = 0;
    if (file) {
        if (fscanf(file, "%ld", &millis) != 1) millis = 0;
        fclose(file);
    }
    if (millis > 0) usleep(millis * 1000);
    return next(fd);
}
"#;

/// The server with a disk that a test makes slow; `None` without a C compiler.
fn server_with_slow_disk(dir: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let compiler = installed("cc")?;
    let (source, library) = (dir.join("slow.c"), dir.join("slow.so"));
    std::fs::write(&source, SLOW_FSYNC).expect("writable");
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
    assert!(command.status().expect("it runs").success(), "the library does not compile");
    let program = dir.join("server");
    let library = library.display();
    let script = format!("#!/bin/sh\nLD_PRELOAD={library} exec {TESSERA} \"$@\"\n");
    std::fs::write(&program, script).expect("writable");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("it is ours");
    Some(program)
}

/// Cuts a replica off the stream, but not off the cluster.
fn cut_off_stream(replica: u16) {
    let mut wire = wire(replica);
    assert_eq!(wire.say("CONFIG SET masterauth wrong").text(), "OK");
    wire.say("CLIENT KILL TYPE master");
    eventually("its link is down", || {
        let status = wire.info("replication", "master_link_status");
        if status == "down" { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a_slow_disk_does_not_lose_what_wait_has_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(program) = server_with_slow_disk(dir.path()) else { return };
    for delay in [150, 400] {
        // Given: a shard one of whose replicas has all keys, and a slow disk; the other has
        // neither.
        let mut cluster = Cluster::start_as(&program, 2, &[]);
        let shard = cluster.shards().swap_remove(0);
        let tag = tag_in(&shard.ranges);
        let (behind, ahead) = (shard.replicas[0], shard.replicas[1]);
        cut_off_stream(behind);
        write_keys(shard.primary, &tag, "acknowledged");
        std::fs::write(cluster.dir_of(ahead).join("fsync-delay"), delay.to_string())
            .expect("writable");

        // When the primary dies.
        let killed_at = Instant::now();
        cluster.nodes.kill(shard.primary).expect("it runs");

        // Then the one with the keys takes over, once its disk allows.
        let (serving, at) = await_writable(&shard.replicas, &tag);
        println!("fsync takes {delay} ms: {serving} serves after {:?}", at - killed_at);
        assert_eq!(serving, ahead, "{behind} is behind");
        assert_eq!(missing(serving, &tag, "acknowledged"), 0, "{serving} has lost keys");
        eventually("the other one follows it", || {
            let seen = seen_by(behind)?;
            let knows = seen.iter().any(|node| node.port == ahead && !node.ranges.is_empty());
            if knows { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
}

#[test]
fn a_replica_whose_link_breaks_at_the_beginning_of_a_history_resumes_partially() {
    let (_temp, primary) = common::server::start(&[]);
    let (_other, replica) = common::server::start(&[]);
    let await_up = || {
        eventually("the link is up", || {
            let status = replica.wire().info("replication", "master_link_status");
            if status == "up" { Ok(()) } else { Err(status) }
        });
    };
    assert_eq!(primary.say("SET early value").text(), "OK");
    let follow = format!("REPLICAOF 127.0.0.1 {}", primary.port);
    assert_eq!(replica.say(&follow).text(), "OK");
    await_up();

    // When the link breaks, and when the replica is told of the same primary by another name.
    primary.say("CLIENT KILL TYPE replica");
    std::thread::sleep(Duration::from_millis(50));
    await_up();
    assert_eq!(replica.say(&format!("REPLICAOF localhost {}", primary.port)).text(), "OK");
    eventually("the link is up", || {
        let mut wire = replica.wire();
        let seen = ["master_host", "master_link_status"].map(|name| wire.info("replication", name));
        if seen == ["localhost", "up"] { Ok(()) } else { Err(format!("{seen:?}")) }
    });

    // Then what it has is enough.
    assert_eq!(primary.wire().info("stats", "sync_full"), "1");
    assert!(primary.wire().info("stats", "sync_partial_ok").parse::<u32>().is_ok_and(|n| n >= 1));
    assert_eq!(replica.say("GET early").text(), "value");
    assert_eq!(primary.say("SET late value").text(), "OK");
    eventually("it goes on", || match replica.say("GET late") {
        Answer::Bulk(value) if value == b"value" => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
}
