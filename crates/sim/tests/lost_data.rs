//! Primaries that start without their data: a replica that has it takes over, and no replica is
//! emptied.

use tessera_cluster::{ClusterConfig, ClusterState, ViewRole};
use tessera_sim::{Setup, World};

const SEEDS: std::ops::Range<u64> = 0..100;

fn is_ok(world: &World, host: usize) -> bool {
    world.cluster(host).is_some_and(|cluster| cluster.state() == ClusterState::Ok)
}

fn all_ok(world: &World) -> bool {
    (0..world.host_count()).all(|host| is_ok(world, host))
}

/// Kills a primary and starts it again before any node is certain of its end; its shard's data must
/// be all there.
fn restart_at_once(setup: Setup, seed: u64, config: ClusterConfig) -> u64 {
    // Given
    let mut world = setup.resumed(seed, config);
    let extra = world.rng.below(5000);
    world.run_for(6000 + extra);
    assert!(all_ok(&world), "seed {seed}");
    let replica = setup.shards;
    let had = world.offset(replica);
    assert!(had > 0, "seed {seed}");

    // When
    world.kill(0);
    let down = world.rng.below(200);
    world.run_for(down);
    world.start(0);

    // Then
    let is_replaced = |world: &World| {
        world.cluster(replica).is_some_and(|c| c.role() == ViewRole::Primary)
            && is_ok(world, replica)
    };
    let time = world.run_while(5000, |world| !is_replaced(world));
    let time = time.unwrap_or_else(|| panic!("no takeover, seed {seed}: {:?}", world.log));
    assert!(world.offset(replica) >= had, "seed {seed}: {:?}", world.log);
    world.run_for(5000);
    let role = world.cluster(0).map(|cluster| cluster.role());
    assert_eq!(role, Some(ViewRole::Replica(world.id(replica))), "seed {seed}");
    assert!(all_ok(&world), "seed {seed}");
    down + time
}

#[test]
fn a_primary_that_restarts_at_once_does_not_empty_its_replica() {
    for config in [true, false] {
        let config = ClusterConfig { fast_failover: config, ..ClusterConfig::default() };
        let setup = Setup { shards: 3, replicas: 1 };
        let times = SEEDS.map(|seed| restart_at_once(setup, seed, config.clone()));
        println!("restarted at once: replaced within {:?} ms", times.max());
    }
}

#[test]
fn nor_in_a_cluster_of_two_or_of_one() {
    for shards in [1, 2] {
        let setup = Setup { shards, replicas: 1 };
        let times = SEEDS.map(|seed| restart_at_once(setup, seed, ClusterConfig::default()));
        println!("{shards} shards, restarted at once: replaced within {:?} ms", times.max());
    }
}

#[test]
fn of_two_replicas_the_one_with_more_data_takes_over() {
    for seed in SEEDS {
        let setup = Setup { shards: 3, replicas: 2 };
        let mut world = setup.resumed(seed, ClusterConfig::default());
        world.run_for(6000);
        world.cut(0, 3);
        world.run_for(3000);
        world.mend_network();
        world.kill(0);
        world.start(0);
        world.run_for(5000);
        let role = world.cluster(6).map(|cluster| cluster.role());
        assert_eq!(role, Some(ViewRole::Primary), "seed {seed}");
    }
}

#[test]
fn a_cluster_that_has_lost_all_its_data_serves() {
    for seed in SEEDS {
        let mut world = Setup { shards: 3, replicas: 1 }.resumed(seed, ClusterConfig::default());
        world.run_for(6000);
        (0..6).for_each(|host| world.kill(host));
        let pause = world.rng.below(3000);
        world.run_for(pause);
        (0..6).for_each(|host| world.start(host));
        let time = world.run_while(6000, |world| !all_ok(world));
        assert!(time.is_some(), "seed {seed}");
        let roles =
            (0..3).all(|host| world.cluster(host).is_some_and(|c| c.role() == ViewRole::Primary));
        assert!(roles, "seed {seed}");
    }
}

#[test]
fn a_primary_without_replicas_serves_without_its_data() {
    for seed in SEEDS {
        let mut world = Setup { shards: 3, replicas: 0 }.resumed(seed, ClusterConfig::default());
        world.run_for(6000);
        world.kill(0);
        world.run_for(100);
        world.start(0);
        let time = world.run_while(4000, |world| !all_ok(world));
        assert!(time.is_some(), "seed {seed}");
    }
}

#[test]
fn a_replica_that_may_not_take_over_is_waited_for_in_vain() {
    for seed in 0..20 {
        let config = ClusterConfig { replica_no_failover: true, ..ClusterConfig::default() };
        let mut world = Setup { shards: 3, replicas: 1 }.resumed(seed, config);
        world.run_for(6000);
        world.kill(0);
        world.run_for(100);
        world.start(0);
        let time = world.run_while(10_000, |world| !all_ok(world));
        assert!(time.is_some(), "seed {seed}");
        assert_eq!(world.cluster(0).map(|c| c.role()), Some(ViewRole::Primary), "seed {seed}");
    }
}
