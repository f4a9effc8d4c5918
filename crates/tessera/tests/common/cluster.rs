//! A cluster of six as `tessera up` makes it, whose nodes a test kills, halts and starts again.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tessera_cli::up::view::{SeenNode, Shard, parse_nodes};
use tessera_cli::up::{self, Options, RunningCluster};
use tessera_slot::Slot;

use super::wire::{Wire, field_of};
use super::{TESSERA, eventually, free_ports, print_tail};

/// Six nodes, three primaries with a replica each. Killed when the test ends, however it ends.
pub(crate) struct Cluster {
    /// The processes.
    pub(crate) nodes: RunningCluster,
    dir: TempDir,
}

impl Cluster {
    /// Starts a cluster with more lines for each node's redis.conf.
    #[track_caller]
    pub(crate) fn start(config: &[&str]) -> Cluster {
        Cluster::start_as(TESSERA.as_ref(), 1, config)
    }

    /// The same with another program, which gets the server's arguments, and so many replicas for
    /// each primary.
    #[track_caller]
    pub(crate) fn start_as(program: &Path, replicas: u16, config: &[&str]) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let count = 3 * (1 + replicas);
        let options = Options {
            program: program.to_owned(),
            program_args: vec!["server".to_owned()],
            masters: Some(3),
            replicas: Some(replicas),
            port: Some(free_ports(count)),
            dir: dir.path().join("cluster"),
            reset: false,
            config: config.iter().map(|line| (*line).to_owned()).collect(),
        };
        match up::start(&options) {
            Ok(nodes) => Cluster { nodes, dir },
            Err(error) => {
                let first = options.port.expect("set above");
                (first..first + count)
                    .for_each(|port| print_tail(&log(&options.dir.join(port.to_string()))));
                panic!("the cluster does not come up: {error}");
            }
        }
    }

    /// The ports of all nodes.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.ports()
    }

    /// The file that a node logs to.
    pub(crate) fn log(&self, port: u16) -> PathBuf {
        log(&self.dir_of(port))
    }

    /// The directory in which a node runs and keeps its files.
    pub(crate) fn dir_of(&self, port: u16) -> PathBuf {
        self.dir.path().join("cluster").join(port.to_string())
    }

    /// The shards, in the order of their first slots, as the first node that answers sees them.
    #[track_caller]
    pub(crate) fn shards(&mut self) -> Vec<Shard> {
        self.nodes.shards().expect("a node answers")
    }

    /// Waits until every running node says that all is well and every replica follows its primary.
    #[track_caller]
    pub(crate) fn await_ok(&mut self) {
        self.nodes.await_ok().unwrap_or_else(|error| panic!("the cluster is not well: {error}"));
    }

    /// Waits until this node sees itself as a replica of the other, with the link up.
    #[track_caller]
    pub(crate) fn await_replica_of(&self, replica: u16, primary: u16) {
        eventually("the node follows the new primary", || {
            let mut wire = Wire::connect(replica).map_err(|error| error.to_string())?;
            let text = wire.ask(&["INFO", "replication"]).text();
            let is_so = field_of(&text, "role") == "slave"
                && field_of(&text, "master_port") == primary.to_string()
                && field_of(&text, "master_link_status") == "up";
            is_so.then_some(()).ok_or(text)
        });
    }

    /// Waits until both have the same offset and the same number of keys.
    #[track_caller]
    pub(crate) fn await_same_data(&self, primary: u16, replica: u16) {
        eventually("the replica has what the primary has", || {
            let [first, second] = [primary, replica].map(|port| {
                let mut wire = Wire::connect(port).map_err(|error| error.to_string())?;
                let offset = wire.info("replication", "master_repl_offset");
                Ok::<_, String>((offset, wire.say("DBSIZE").integer()))
            });
            let (first, second) = (first?, second?);
            (first == second).then_some(()).ok_or(format!("{first:?} and {second:?}"))
        });
    }

    /// Waits until all of these nodes agree on who serves which slots, and no slot has two owners;
    /// gives the shards.
    #[track_caller]
    pub(crate) fn await_agreement(&self, ports: &[u16]) -> Vec<Shard> {
        eventually("the nodes agree on the slots", || {
            let mut views = Vec::new();
            for port in ports {
                let seen = seen_by(*port)?;
                assert_one_owner_each(&seen);
                let mut shards = up::view::shards(&seen);
                shards.iter_mut().for_each(|shard| shard.replicas.clear());
                views.push(shards);
            }
            let agreed = views.windows(2).all(|pair| pair[0] == pair[1]);
            if agreed { Ok(views.swap_remove(0)) } else { Err(format!("{views:?}")) }
        })
    }
}

fn log(dir: &std::path::Path) -> PathBuf {
    dir.join("server.log")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for port in self.ports() {
                print_tail(&log(&self.dir.path().join("cluster").join(port.to_string())));
            }
        }
    }
}

/// The cluster as the node on this port sees it.
pub(crate) fn seen_by(port: u16) -> Result<Vec<SeenNode>, String> {
    let mut wire = Wire::connect(port).map_err(|error| error.to_string())?;
    let text = wire.try_ask(&["CLUSTER", "NODES"]).map_err(|error| error.to_string())?.text();
    parse_nodes(&text).ok_or_else(|| format!("not CLUSTER NODES: {text}"))
}

/// No slot stands in two lines of CLUSTER NODES.
#[track_caller]
pub(crate) fn assert_one_owner_each(seen: &[SeenNode]) {
    let mut owners = vec![0u8; 16_384];
    let ranges = seen.iter().flat_map(|node| &node.ranges);
    ranges
        .for_each(|&(first, last)| (first..=last).for_each(|slot| owners[usize::from(slot)] += 1));
    assert!(owners.iter().all(|&owners| owners <= 1), "a slot has two owners: {seen:?}");
}

/// A hash tag whose slot lies in these ranges.
pub(crate) fn tag_in(ranges: &[(u16, u16)]) -> String {
    let is_in = |slot: u16| ranges.iter().any(|&(first, last)| (first..=last).contains(&slot));
    let tags = (0..).map(|number| format!("t{number}"));
    let mut fitting = tags.filter(|tag| is_in(Slot::of_key(tag.as_bytes()).number()));
    fitting.next().expect("tags reach every slot")
}
