//! How long a failed primary's slots are without service, in virtual time.

use tessera_cluster::{ClusterConfig, ClusterState, ViewRole};
use tessera_sim::{Setup, World};

const THREE_AND_THREE: Setup = Setup { shards: 3, replicas: 1 };
const SEEDS: std::ops::Range<u64> = 0..100;

/// A settled cluster of three primaries (hosts 0 to 2) and three replicas (3 to 5).
fn settled(seed: u64, config: ClusterConfig) -> World {
    let mut world = THREE_AND_THREE.resumed(seed, config);
    // A random moment: pings and ticks must not be in step with the fault.
    let extra = world.rng.below(5000);
    world.run_for(6000 + extra);
    assert!((0..6).all(|host| is_ok(&world, host)), "the cluster does not settle, seed {seed}");
    world
}

fn is_ok(world: &World, host: usize) -> bool {
    world.cluster(host).is_some_and(|cluster| cluster.state() == ClusterState::Ok)
}

/// Whether the replica of host 0 serves in its place.
fn replaced(world: &World) -> bool {
    let replica = world.cluster(3).expect("it runs");
    replica.role() == ViewRole::Primary && is_ok(world, 3)
}

fn takeover_time(world: &mut World, limit: u64) -> u64 {
    let seed = world.seed;
    world.run_while(limit, |world| !replaced(world)).unwrap_or_else(|| {
        for (at, host, text) in &world.log {
            eprintln!("{at:>8} host {host}: {text}");
        }
        panic!("no failover within {limit} ms, seed {seed}")
    })
}

#[test]
fn a_killed_primary_is_replaced_within_1200_ms_by_default_settings() {
    let mut times: Vec<u64> = SEEDS
        .map(|seed| {
            let mut world = settled(seed, ClusterConfig::default());
            world.kill(0);
            takeover_time(&mut world, 1200)
        })
        .collect();
    times.sort_unstable();
    println!(
        "kill -9: median {} ms, slowest {} ms",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

#[test]
fn in_a_cluster_of_a_hundred_too() {
    let setup = Setup { shards: 50, replicas: 1 };
    let mut world = setup.resumed(1, ClusterConfig::default());
    world.run_for(6000);
    world.kill(0);
    let replacement = |world: &World| {
        world.cluster(50).is_some_and(|cluster| cluster.role() == ViewRole::Primary)
    };
    let time = world.run_while(1200, |world| !replacement(world)).expect("it is replaced");
    println!("kill -9 among a hundred nodes: {time} ms");
    world.run_for(500);
    let new_owner = world.id(50);
    for host in 1..100 {
        let view = world.cluster(host).and_then(|cluster| cluster.routing_view());
        let owner = view.and_then(|view| view.owner(tessera_slot::Slot::MIN).map(|node| node.id));
        assert_eq!(owner, new_owner, "host {host}");
    }
}

#[test]
fn a_stopped_primary_is_replaced_within_3300_ms_at_a_timeout_of_2000() {
    let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
    let mut times: Vec<u64> = SEEDS
        .map(|seed| {
            let mut world = settled(seed, config.clone());
            world.pause(0);
            takeover_time(&mut world, 3300)
        })
        .collect();
    times.sort_unstable();
    assert!(times[0] >= 2000, "a stopped process is judged by the timeout: {times:?}");
    println!(
        "SIGSTOP: median {} ms, slowest {} ms",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

#[test]
fn without_fast_failover_a_killed_primary_is_judged_by_the_timeout() {
    let config =
        ClusterConfig { node_timeout: 2000, fast_failover: false, ..ClusterConfig::default() };
    for seed in 0..20 {
        let mut world = settled(seed, config.clone());
        world.kill(0);
        let time = takeover_time(&mut world, 6000);
        assert!(time >= 2000, "{time} ms, seed {seed}");
    }
}

#[test]
fn a_killed_primary_comes_back_as_a_replica() {
    for seed in 0..20 {
        let mut world = settled(seed, ClusterConfig::default());
        world.kill(0);
        takeover_time(&mut world, 1200);
        world.run_for(2000);
        world.start(0);
        world.run_for(3000);
        let new_primary = world.id(3);
        let role = world.cluster(0).map(|cluster| cluster.role());
        assert_eq!(role, Some(ViewRole::Replica(new_primary)), "seed {seed}");
        assert!((0..6).all(|host| is_ok(&world, host)), "seed {seed}");
    }
}

#[test]
fn the_replica_with_more_data_wins() {
    for seed in 0..50 {
        let mut world = Setup { shards: 3, replicas: 2 }.resumed(seed, ClusterConfig::default());
        world.run_for(6000);
        world.cut(0, 3);
        world.run_for(3000);
        world.mend_network();
        world.kill(0);
        let gone = world.run_while(3000, |world| {
            [3, 6].iter().all(|host| {
                world.cluster(*host).is_some_and(|cluster| cluster.role() != ViewRole::Primary)
            })
        });
        assert!(gone.is_some(), "nobody takes over, seed {seed}");
        let winner = world.cluster(6).map(|cluster| cluster.role());
        assert_eq!(winner, Some(ViewRole::Primary), "seed {seed}");
    }
}

#[test]
fn a_manual_failover_swaps_the_roles() {
    for seed in 0..50 {
        let mut world = settled(seed, ClusterConfig::default());
        let answer = world.command(3, "FAILOVER");
        assert_eq!(answer, Some(tessera_resp::Value::ok()), "seed {seed}");
        world.run_for(1500);
        assert!(replaced(&world), "seed {seed}");
        let role = world.cluster(0).map(|cluster| cluster.role());
        assert_eq!(role, Some(ViewRole::Replica(world.id(3))), "seed {seed}");
        assert!((0..6).all(|host| is_ok(&world, host)), "seed {seed}");
    }
}

#[test]
fn a_replica_with_half_its_data_does_not_take_over() {
    for seed in 0..20 {
        // Given: one shard whose first replica was in the middle of a full synchronisation when its
        // primary died.
        let mut world = Setup { shards: 3, replicas: 2 }.resumed(seed, ClusterConfig::default());
        world.run_for(6000);
        world.lose_data(3);
        world.kill(0);

        // Then the other one takes over.
        world.run_for(3000);
        let roles = [3, 6].map(|host| world.cluster(host).map(|cluster| cluster.role()));
        let winner = world.id(6);
        assert_eq!(
            roles,
            [Some(ViewRole::Replica(winner)), Some(ViewRole::Primary)],
            "seed {seed}"
        );
    }
}

#[test]
fn no_command_lets_a_replica_with_half_its_data_stand() {
    for seed in 0..20 {
        // Given: the only replica has half the data.
        let mut world = settled(seed, ClusterConfig::default());
        world.lose_data(3);
        world.kill(0);
        world.run_for(3000);
        assert!(!replaced(&world), "seed {seed}");

        // When an operator insists, then it does not stand all the same.
        assert_eq!(world.command(3, "FAILOVER FORCE"), Some(tessera_resp::Value::ok()));
        world.run_for(6000);
        assert!(!replaced(&world), "seed {seed}");

        // And when the primary is back, all is well once the others believe it.
        world.start(0);
        let recovered = world.run_while(40_000, |world| !(0..6).all(|host| is_ok(world, host)));
        assert!(recovered.is_some() && !replaced(&world), "seed {seed}");
    }
}
