//! Ways for a cluster to begin.

use crate::data::DataOptions;
use crate::net::{BUS_PORT, CLIENT_PORT, HostId, ip_of};
use crate::world::World;
use tessera_cluster::ClusterConfig;
use tessera_slot::{NodeId, SLOT_COUNT};

/// A cluster of this many shards, each with this many replicas. Host `s` is the primary of shard
/// `s`; the replicas follow, shard by shard in turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// The number of primaries.
    pub shards: usize,
    /// Replicas of each primary.
    pub replicas: usize,
}

impl Setup {
    /// The number of nodes.
    pub fn nodes(self) -> usize {
        self.shards * (1 + self.replicas)
    }

    /// The shard that a host belongs to at the beginning.
    pub fn shard_of(self, host: HostId) -> usize {
        host % self.shards
    }

    /// The slots of a shard, as first and last.
    pub fn slots_of(self, shard: usize) -> (usize, usize) {
        let start = shard * SLOT_COUNT / self.shards;
        (start, (shard + 1) * SLOT_COUNT / self.shards - 1)
    }

    /// A cluster that was formed before: every node starts from its nodes.conf.
    pub fn resumed(self, seed: u64, config: ClusterConfig) -> World {
        self.resume(World::new(seed, self.nodes(), config))
    }

    /// As [`Setup::resumed`], with data and clients.
    pub fn resumed_with_data(
        self,
        seed: u64,
        config: ClusterConfig,
        options: DataOptions,
    ) -> World {
        let mut world = World::new(seed, self.nodes(), config);
        world.give_data(self, options);
        self.resume(world)
    }

    fn resume(self, mut world: World) -> World {
        let seed = world.seed;
        for host in 0..self.nodes() {
            let file = self.nodes_conf(seed, host);
            world.hosts[host].disk.file = Some(file.clone());
            world.hosts[host].disk.synced = Some(file);
        }
        for host in 0..self.nodes() {
            world.start(host);
        }
        world
    }

    fn nodes_conf(self, seed: u64, me: HostId) -> String {
        let mut text = String::new();
        for host in 0..self.nodes() {
            let shard = self.shard_of(host);
            let myself = if host == me { "myself," } else { "" };
            let (role, primary, slots) = if host < self.shards {
                let (start, end) = self.slots_of(shard);
                ("master", "-".to_owned(), format!(" {start}-{end}"))
            } else {
                ("slave", name(seed, shard).to_string(), String::new())
            };
            text.push_str(&format!(
                "{} {}:{CLIENT_PORT}@{BUS_PORT},,shard-id={} {myself}{role} {primary} 0 0 {} connected{slots}\n",
                name(seed, host),
                ip_of(host),
                name(seed, shard + 1_000_000),
                shard + 1,
            ));
        }
        text + &format!("vars currentEpoch {} lastVoteEpoch 0\n", self.shards)
    }

    /// A cluster that is formed by commands, as `redis-cli --cluster create` does it.
    ///
    /// # Panics
    /// If it does not form.
    pub fn formed(self, seed: u64, config: ClusterConfig) -> World {
        let mut world = World::new(seed, self.nodes(), config);
        for host in 0..self.nodes() {
            world.start(host);
            world.command(host, &format!("SET-CONFIG-EPOCH {}", host + 1));
        }
        for shard in 0..self.shards {
            let (start, end) = self.slots_of(shard);
            world.command(shard, &format!("ADDSLOTSRANGE {start} {end}"));
        }
        for host in 1..self.nodes() {
            world.command(host, &format!("MEET {} {CLIENT_PORT} {BUS_PORT}", ip_of(0)));
        }
        let all = self.nodes();
        let knows =
            |world: &World, host| world.snapshot(host).is_some_and(|s| s.members.len() == all);
        let met = world
            .run_while_looking_every(250, 60_000, |world| !(0..all).all(|host| knows(world, host)));
        assert!(met.is_some(), "the nodes do not all know each other, seed {seed}");
        for host in self.shards..all {
            let primary = world.id(self.shard_of(host));
            world.command(host, &format!("REPLICATE {}", primary.expect("it was started")));
        }
        world
    }
}

/// A name that is a function of seed and number.
fn name(seed: u64, number: usize) -> NodeId {
    let mut rng = crate::rng::Rng::new(seed ^ (number as u64).wrapping_mul(0x1000_0000_01B3));
    let mut id = [0; 20];
    for chunk in id.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next_u64().to_be_bytes()[..chunk.len()]);
    }
    NodeId(id)
}
