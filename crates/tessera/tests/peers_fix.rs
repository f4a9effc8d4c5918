//! `--cluster fix` of stock clients: it gives slots that nobody serves an owner, in transactions of
//! CLUSTER commands.
//!
//! Skipped where the clients are not installed; under CI that is a failure.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::cluster::seen_by;
use common::server::Server;
use common::wire::{Answer, field_of};
use common::{eventually, installed, valkey_server};
use tempfile::TempDir;

/// Slots of three shards, as `redis-cli --cluster create` deals them.
const THIRDS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

/// Three primaries that serve all slots.
fn three_primaries() -> (TempDir, [Server; 3]) {
    let temp = tempfile::tempdir().expect("a directory");
    let config = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let servers = [(); 3].map(|()| Server::tessera(temp.path(), &config));
    for (at, (server, (first, last))) in servers.iter().zip(THIRDS).enumerate() {
        server.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1));
        server.say(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
        servers[0].say(&format!("CLUSTER MEET 127.0.0.1 {}", server.port));
    }
    await_assigned(&servers.each_ref(), 16_384);
    (temp, servers)
}

/// Waits until all of these nodes know of so many slots' owners, and each other.
#[track_caller]
fn await_assigned(servers: &[&Server], slots: usize) {
    for server in servers {
        eventually("all know who serves what", || {
            let info = server.say("CLUSTER INFO").text();
            let is_so = field_of(&info, "cluster_slots_assigned") == slots.to_string()
                && field_of(&info, "cluster_known_nodes") == servers.len().to_string();
            if is_so { Ok(()) } else { Err(format!("{}: {info}", server.port)) }
        });
    }
}

/// How many slots the node on a port serves, as the one on another port sees it.
fn slots_of(port: u16, asked: u16) -> usize {
    let seen = seen_by(asked).expect("it answers");
    let ranges = seen.iter().filter(|node| node.port == port).flat_map(|node| &node.ranges);
    ranges.map(|&(first, last)| usize::from(last - first) + 1).sum()
}

#[track_caller]
fn fix(cli: &Path, port: u16) {
    let address = format!("127.0.0.1:{port}");
    let mut client = Command::new(cli)
        .args(["--cluster", "fix", &address, "--cluster-yes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs");
    // It asks all the same before it covers a slot.
    let mut answers = client.stdin.take().expect("it is piped");
    answers.write_all(b"yes\nyes\n").expect("it reads");
    drop(answers);
    let output = client.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains(">>> Covering slot"), "{text}");
}

/// A slot that everybody has deleted gets an owner, and so do those of a primary that is gone.
fn covers_what_nobody_serves(cli: &Path) {
    // Given: three primaries, and a slot that nobody serves.
    let (_temp, mut servers) = three_primaries();
    for server in &servers {
        assert_eq!(server.say("CLUSTER DELSLOTS 7").text(), "OK");
    }
    await_assigned(&servers.each_ref(), 16_383);
    // When the client fixes it, then all know its owner.
    fix(cli, servers[1].port);
    await_assigned(&servers.each_ref(), 16_384);

    // Given: a primary dies and is forgotten, with few slots, since the client gives them away one
    // by one.
    let dead = servers[2].say("CLUSTER MYID").text();
    for server in &servers {
        assert_eq!(server.say("CLUSTER DELSLOTSRANGE 10923 16283").text(), "OK");
    }
    let add = servers[1].say("CLUSTER ADDSLOTSRANGE 10923 16283");
    assert_eq!(add.text(), "OK");
    await_assigned(&servers.each_ref(), 16_384);
    // A hundred, and slot 7 if the client's choice, which is random, has fallen on it.
    let left = slots_of(servers[2].port, servers[1].port);
    assert!((100..=101).contains(&left), "{left}");
    servers[2].kill();
    let living = [&servers[0], &servers[1]];
    for server in living {
        assert_eq!(server.say(&format!("CLUSTER FORGET {dead}")).text(), "OK");
    }
    await_assigned(&living, 16_384 - left);
    // When the client fixes that, then the others serve its slots.
    fix(cli, servers[0].port);
    await_assigned(&living, 16_384);
    for server in living {
        let seen = seen_by(server.port).expect("it answers");
        assert_eq!(seen.iter().filter(|node| !node.ranges.is_empty()).count(), 2, "{seen:?}");
    }
}

#[test]
fn redis_cli_covers_slots_that_nobody_serves() {
    let Some(cli) = installed("redis-cli") else { return };
    covers_what_nobody_serves(&cli);
}

#[test]
fn valkey_cli_covers_slots_that_nobody_serves() {
    let Some(server) = valkey_server() else { return };
    let cli: PathBuf = server.with_file_name("valkey-cli");
    assert!(cli.is_file(), "{} is not beside its server", cli.display());
    covers_what_nobody_serves(&cli);
}

#[test]
fn a_transaction_with_cluster_commands_is_answered_when_its_change_is_on_disk() {
    // Given: a node with a slot, and a key in it.
    let temp = tempfile::tempdir().expect("a directory");
    let server = Server::tessera(temp.path(), &["--cluster-enabled", "yes"]);
    assert_eq!(server.say("CLUSTER ADDSLOTSRANGE 0 16383").text(), "OK");
    eventually("it serves", || match server.say("SET a 1") {
        Answer::Status(_) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    let mut wire = server.wire();
    for line in ["MULTI", "INCR a", "CLUSTER DELSLOTS 7", "CLUSTER DELSLOTS 7", "INCR a"] {
        wire.say(line);
    }
    assert_eq!(wire.say("CLUSTER BUMPEPOCH").text(), "QUEUED");
    // When it runs, then each command has its answer in its place...
    let answer = wire.say("EXEC");
    let [one, deleted, again, two, epoch] = answer.array() else { panic!("{answer:?}") };
    assert_eq!((one.integer(), two.integer()), (2, 3));
    assert_eq!(deleted.text(), "OK");
    assert!(again.is_error("ERR Slot 7 is already unassigned"), "{again:?}");
    assert_eq!(epoch.text(), "BUMPED 1");
    // ...and the file says so, though the next moment may be the last one.
    let conf = std::fs::read_to_string(server.dir.join("nodes.conf")).expect("it is there");
    assert!(conf.contains(" 1 connected 0-6 8-16383"), "{conf}");
    assert!(conf.contains("vars currentEpoch 1 "), "{conf}");
    assert_eq!(wire.say("PING").text(), "PONG");
}
