//! The replica with all acknowledged data takes over, not the other one, however slow its disk is.

use tessera_cluster::{ClusterConfig, ViewRole};
use tessera_sim::{Setup, World};

const TWO_REPLICAS: Setup = Setup { shards: 3, replicas: 2 };
const SEEDS: std::ops::Range<u64> = 0..100;
/// The replica that was cut off the stream, and the one that was not.
const BEHIND: usize = 3;
const AHEAD: usize = 6;

/// A shard one of whose replicas lacks what was written in the last seconds.
fn with_one_behind(seed: u64) -> World {
    let mut world = TWO_REPLICAS.resumed(seed, ClusterConfig::default());
    let extra = world.rng.below(4000);
    world.run_for(6000 + extra);
    world.cut(0, BEHIND);
    world.run_for(3000);
    assert!(world.offset(BEHIND) < world.offset(AHEAD), "seed {seed}");
    world
}

fn winner(world: &World) -> Option<usize> {
    [BEHIND, AHEAD].into_iter().find(|host| {
        world.cluster(*host).is_some_and(|cluster| cluster.role() == ViewRole::Primary)
    })
}

fn takeover(world: &mut World, limit: u64) -> (usize, u64) {
    let time = world.run_while(limit, |world| winner(world).is_none());
    let seed = world.seed;
    let time = time.unwrap_or_else(|| panic!("nobody takes over, seed {seed}: {:?}", world.log));
    (winner(world).expect("just seen"), time)
}

#[test]
fn what_wait_has_acknowledged_is_not_lost_with_a_slow_disk() {
    for delay in [100, 150, 300, 600] {
        let mut slowest = 0;
        for seed in SEEDS {
            let mut world = with_one_behind(seed);
            world.set_disk_delay(AHEAD, delay);
            world.kill(0);
            let (winner, time) = takeover(&mut world, 5000);
            assert_eq!(winner, AHEAD, "saving takes {delay} ms, seed {seed}");
            slowest = slowest.max(time);
        }
        println!("saving takes {delay} ms: the better replica serves after {slowest} ms at most");
    }
}

#[test]
fn nor_with_any_disks_and_copies() {
    for seed in 0..500 {
        let mut world = TWO_REPLICAS.resumed(seed, ClusterConfig::default());
        for host in 0..world.host_count() {
            world.set_random_disk_and_lag(host);
        }
        world.run_for(12_000);
        let primary = world.rng.below(3) as usize;
        world.kill(primary);
        // The invariant compares what the replicas have.
        world.run_for(6000);
        let replaced = [primary + 3, primary + 6].iter().any(|host| {
            world.cluster(*host).is_some_and(|cluster| cluster.role() == ViewRole::Primary)
        });
        assert!(replaced, "seed {seed}: {:?}", world.log);
    }
}

#[test]
fn a_better_replica_that_is_gone_too_is_not_waited_for() {
    let mut times: Vec<u64> = SEEDS
        .map(|seed| {
            let mut world = with_one_behind(seed);
            world.kill(AHEAD);
            world.kill(0);
            let (winner, time) = takeover(&mut world, 1200);
            assert_eq!(winner, BEHIND, "seed {seed}");
            time
        })
        .collect();
    times.sort_unstable();
    println!(
        "both gone: median {} ms, slowest {} ms",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

#[test]
fn a_better_replica_that_hangs_is_waited_for_in_bounds() {
    for seed in SEEDS {
        let mut world = with_one_behind(seed);
        world.pause(AHEAD);
        world.kill(0);
        let (winner, time) = takeover(&mut world, 4000);
        assert_eq!(winner, BEHIND, "after {time} ms, seed {seed}");
    }
}
