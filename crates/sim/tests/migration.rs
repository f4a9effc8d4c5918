//! A primary that has lost all of its replicas gets one that another shard can spare.

use tessera_cluster::ClusterConfig;
use tessera_sim::{Setup, World};

const THREE_WITH_TWO: Setup = Setup { shards: 3, replicas: 2 };

/// How many replicas have gone to the primary of the first shard, which has lost its own.
fn migrations(seed: u64, config: ClusterConfig) -> usize {
    let config = ClusterConfig { node_timeout: 2000, ..config };
    let mut world: World = THREE_WITH_TWO.resumed(seed, config);
    world.run_for(10_000);
    let of_first = |host: &usize| *host != 0 && THREE_WITH_TWO.shard_of(*host) == 0;
    let lost: Vec<usize> = (0..THREE_WITH_TWO.nodes()).filter(of_first).collect();
    assert_eq!(lost.len(), 2);
    lost.into_iter().for_each(|host| world.kill(host));
    world.run_for(30_000);
    let line = "Migrating to orphaned primary";
    world.log.iter().filter(|(_, _, text)| text.starts_with(line)).count()
}

#[test]
fn a_spare_replica_goes_to_a_primary_without_one_if_it_may() {
    for seed in 0..10 {
        assert_eq!(migrations(seed, ClusterConfig::default()), 1, "seed {seed}");
        let config = ClusterConfig { allow_replica_migration: false, ..ClusterConfig::default() };
        assert_eq!(migrations(seed, config), 0, "seed {seed}");
        // Each of the other shards keeps its two.
        let config = ClusterConfig { migration_barrier: 2, ..ClusterConfig::default() };
        assert_eq!(migrations(seed, config), 0, "seed {seed}");
    }
}
