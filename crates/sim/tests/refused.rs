//! Firewalls that refuse, and others' restarts: when a primary must stop taking writes, and when it
//! must not.

use tessera_cluster::{ClusterConfig, ClusterState, ViewRole};
use tessera_sim::{Setup, World};

const SEEDS: std::ops::Range<u64> = 0..60;
/// How long two nodes may take writes for one slot, in milliseconds. The new one must be heard by
/// the old one, or the old one must see that it is cut off; ticks are 100 ms apart.
const MOMENT: u64 = 250;

fn is_ok(world: &World, host: usize) -> bool {
    world.cluster(host).is_some_and(|cluster| cluster.state() == ClusterState::Ok)
}

fn settled(setup: Setup, seed: u64, config: ClusterConfig) -> World {
    let mut world = setup.resumed(seed, config);
    let extra = world.rng.below(5000);
    world.run_for(6000 + extra);
    assert!((0..setup.nodes()).all(|host| is_ok(&world, host)), "seed {seed}");
    world
}

/// The traffic between two groups of hosts that a firewall refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    To,
    From,
    Both,
}

fn refuse(world: &mut World, side: &[usize], what: Refused) {
    for &inside in side {
        for outside in (0..world.host_count()).filter(|host| !side.contains(host)) {
            if what != Refused::From {
                world.refuse(outside, inside);
            }
            if what != Refused::To {
                world.refuse(inside, outside);
            }
        }
    }
}

#[test]
fn a_refused_primary_stops_before_it_is_replaced() {
    for (setup, timeout) in [(3, 2000), (5, 2000), (3, 15_000)]
        .map(|(shards, timeout)| (Setup { shards, replicas: 1 }, timeout))
    {
        let config = ClusterConfig { node_timeout: timeout, ..ClusterConfig::default() };
        for what in [Refused::To, Refused::From, Refused::Both] {
            let mut longest = 0;
            for seed in SEEDS {
                // When a firewall refuses what goes to a primary, or what comes from it.
                let mut world = settled(setup, seed, config.clone());
                refuse(&mut world, &[0], what);

                // Then its replica takes its place, and at no time do both take writes for long.
                let replica = setup.shards;
                let took_over =
                    world.run_while(timeout * 2 + 5000, |world| !world.takes_writes(replica));
                assert!(took_over.is_some(), "{what:?}, seed {seed}: {:?}", world.log);
                world.run_for(timeout);
                assert!(!world.takes_writes(0), "{what:?}, seed {seed}");
                longest = longest.max(world.longest_with_two_writers());
                assert!(
                    longest <= MOMENT,
                    "{longest} ms with two primaries, {what:?}, seed {seed}"
                );

                // And when the firewall is gone, it follows.
                world.mend_network();
                world.run_for(5000);
                let role = world.cluster(0).map(|cluster| cluster.role());
                assert_eq!(
                    role,
                    Some(ViewRole::Replica(world.id(replica))),
                    "{what:?}, seed {seed}"
                );
            }
            println!(
                "{setup:?}, timeout {timeout}, refused {what:?}: {longest} ms with two primaries"
            );
        }
    }
}

#[test]
fn so_does_one_that_is_refused_by_the_primaries_only() {
    let setup = Setup { shards: 3, replicas: 2 };
    let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
    for what in [Refused::To, Refused::From, Refused::Both] {
        for seed in SEEDS {
            let mut world = settled(setup, seed, config.clone());
            for other in [1, 2] {
                if what != Refused::From {
                    world.refuse(other, 0);
                }
                if what != Refused::To {
                    world.refuse(0, other);
                }
            }
            world.run_for(10_000);
            let writers = [0, 3, 6].into_iter().filter(|host| world.takes_writes(*host)).count();
            assert_eq!(writers, 1, "{what:?}, seed {seed}");
            let longest = world.longest_with_two_writers();
            assert!(longest <= MOMENT, "{longest} ms with two primaries, {what:?}, seed {seed}");
        }
    }
}

#[test]
fn one_that_is_refused_for_a_moment_goes_on() {
    let setup = Setup { shards: 3, replicas: 1 };
    let config = ClusterConfig { node_timeout: 5000, ..ClusterConfig::default() };
    for what in [Refused::To, Refused::From, Refused::Both] {
        for seed in SEEDS {
            let mut world = settled(setup, seed, config.clone());
            refuse(&mut world, &[0], what);
            let refused = world.run_while(3000, |world| world.takes_writes(0));
            assert_eq!(refused, None, "{what:?}, seed {seed}");
            world.mend_network();
            let refused = world.run_while(10_000, |world| world.takes_writes(0));
            assert_eq!(refused, None, "{what:?}, seed {seed}");
        }
    }
}

#[test]
fn one_that_was_cut_off_and_not_replaced_serves_again() {
    let setup = Setup { shards: 3, replicas: 0 };
    let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
    for seed in SEEDS {
        let mut world = settled(setup, seed, config.clone());
        refuse(&mut world, &[0], Refused::Both);
        world.run_for(6000);
        assert!(!world.takes_writes(0), "seed {seed}");
        world.mend_network();
        let again = world.run_while(10_000, |world| !world.takes_writes(0));
        assert!(again.is_some_and(|time| time <= 7000), "{again:?}, seed {seed}");
    }
}

/// Milliseconds for which host 0 takes no writes while this happens, and for three seconds after.
fn unserved(world: &mut World, mut happens: impl FnMut(&mut World, u64)) -> u64 {
    let mut unserved = 0;
    for step in 0..400 {
        happens(world, step * 10);
        world.run_for(10);
        unserved += if world.takes_writes(0) { 0 } else { 10 };
    }
    unserved
}

#[test]
fn restarts_of_others_do_not_stop_a_primary() {
    // Whether all slots are served is another matter.
    let config = ClusterConfig { require_full_coverage: false, ..ClusterConfig::default() };
    for replicas in [0, 1] {
        for seed in SEEDS {
            let mut world = settled(Setup { shards: 3, replicas }, seed, config.clone());
            let down = world.rng.below(900);
            // One at a time...
            for other in 1..world.host_count() {
                let time = unserved(&mut world, |world, at| match at {
                    0 => world.kill(other),
                    at if at >= down => world.start(other),
                    _ => {}
                });
                assert_eq!(time, 0, "host {other} restarted, {replicas} replicas, seed {seed}");
            }
            if world.cluster(0).map(|c| c.role()) != Some(ViewRole::Primary) {
                continue;
            }
            // ...and two of the three primaries, close together.
            world.run_for(20_000);
            let primaries: Vec<usize> = (1..world.host_count())
                .filter(|host| world.cluster(*host).is_some_and(|c| c.role() == ViewRole::Primary))
                .collect();
            let time = unserved(&mut world, |world, at| match at {
                0 => world.kill(primaries[0]),
                100 => world.kill(primaries[1]),
                at if at >= 100 + down => primaries.iter().for_each(|host| world.start(*host)),
                _ => {}
            });
            assert_eq!(time, 0, "{primaries:?} restarted, {replicas} replicas, seed {seed}");
        }
    }
}
