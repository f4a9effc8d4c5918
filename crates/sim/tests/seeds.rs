//! Thousands of unkind runs. A failure prints its seed; `TESSERA_SIM_SEED=n` runs that one alone,
//! `TESSERA_SIM_SEEDS=n` runs so many.

mod night;

use night::seeds;
use tessera_cluster::ClusterConfig;
use tessera_sim::faults::Faults;
use tessera_sim::invariants::agreement::disagreement;
use tessera_sim::{Setup, World};

const DEFAULT_SEEDS: u64 = 2000;

/// All nodes must agree within this time after the last fault, in milliseconds: a failed primary
/// with slots is taken back after two node timeouts, and a replica's attempts are some seconds
/// apart.
const AGREE_WITHIN: u64 = 40_000;

fn config() -> ClusterConfig {
    ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() }
}

fn must_agree(world: &mut World) {
    let agreed =
        world.run_while_looking_every(250, AGREE_WITHIN, |world| disagreement(world).is_some());
    if agreed.is_none() {
        for (at, host, text) in &world.log {
            eprintln!("{at:>8} host {host}: {text}");
        }
        let seed = world.seed;
        panic!("no agreement, seed {seed}: {}", disagreement(world).unwrap_or_default());
    }
}

#[test]
fn safety_under_faults_and_agreement_after_them() {
    let (mut slowest, mut full_syncs) = ((0, 0), 0);
    for seed in seeds(DEFAULT_SEEDS) {
        let fast_failover = seed % 4 != 3;
        let config = ClusterConfig { fast_failover, ..config() };
        let setup = match seed % 6 {
            0..=2 => Setup { shards: 3, replicas: 1 },
            3 | 4 => Setup { shards: 3, replicas: 2 },
            _ => Setup { shards: 5, replicas: 1 },
        };
        let mut world = setup.resumed(seed, config);
        world.run_for(3000);
        world.suffer(Faults { duration: 10_000, every: 350 });
        let healed = world.now;
        must_agree(&mut world);
        slowest = slowest.max((world.now - healed, seed));
        full_syncs += world.full_syncs_begun;
    }
    assert!(full_syncs > 0, "no replica has had half its data");
    println!("slowest agreement: {} ms after the last fault, seed {}", slowest.0, slowest.1);
}

#[test]
fn a_node_with_an_old_disk_comes_to_agree() {
    for seed in seeds(DEFAULT_SEEDS / 10) {
        let mut world = Setup { shards: 3, replicas: 1 }.resumed(seed, config());
        let copies: Vec<_> = (0..6).map(|host| world.copy_of_disk(host)).collect();
        world.run_for(3000);
        world.suffer(Faults { duration: 6000, every: 300 });
        let host = world.rng.below(6) as usize;
        let copy = copies[host].clone().expect("a start saves the file");
        world.restore_old_disk(host, copy);
        must_agree(&mut world);
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let run = || {
        let mut world = Setup { shards: 3, replicas: 1 }.resumed(7, config());
        world.suffer(Faults { duration: 10_000, every: 300 });
        world.run_for(5000);
        world.log
    };
    let first = run();
    assert!(!first.is_empty());
    assert_eq!(first, run());
}
