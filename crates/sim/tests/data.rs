//! Data under faults: no promise to a client is broken, and every shard's data comes to be the
//! same. A failure prints its seed; `TESSERA_SIM_SEED=n` runs that one alone, `TESSERA_SIM_SEEDS=n`
//! runs so many.

mod night;

use night::{number, seeds};
use tessera_cluster::ClusterConfig;
use tessera_sim::faults::Faults;
use tessera_sim::{Bug, Counts, DataOptions, Rule, Setup, Violation, World};

const DEFAULT_SEEDS: u64 = 150;
/// All nodes of a shard must have the same data within this time after the last fault, in
/// milliseconds: they agree on who is who first, which takes up to 40 s (`seeds.rs`).
const SAME_WITHIN: u64 = 60_000;

fn options(seed: u64) -> DataOptions {
    // A chunk of the log has 64 KiB: large values get beyond a backlog that keeps nothing more.
    let (backlog, value_bytes) = if seed.is_multiple_of(3) { (0, 3000) } else { (1 << 20, 20) };
    let repl_timeout = if seed % 5 < 3 { 5000 } else { 2000 };
    DataOptions { backlog, value_bytes, repl_timeout, ..DataOptions::default() }
}

fn setup(seed: u64) -> Setup {
    match seed % 4 {
        0 | 1 => Setup { shards: 3, replicas: 1 },
        _ => Setup { shards: 3, replicas: 2 },
    }
}

/// Runs with faults, then without, and gives what was broken.
fn run(seed: u64, options: DataOptions) -> (World, Vec<Violation>) {
    let config = ClusterConfig {
        node_timeout: 2000,
        fast_failover: seed % 4 != 3,
        ..ClusterConfig::default()
    };
    let mut world = setup(seed).resumed_with_data(seed, config, options);
    world.run_for(5000);
    let every = if seed.is_multiple_of(2) { 350 } else { 700 };
    world.suffer(Faults { duration: 12_000, every });
    world.run_for(5000);
    world.stop_clients();
    world.run_for(2000);
    world.expect_convergence(SAME_WITHIN);
    let verdict = world.verdict();
    (world, verdict)
}

fn add(sum: &mut Counts, counts: Counts) {
    sum.acknowledged += counts.acknowledged;
    sum.refused += counts.refused;
    sum.unknown += counts.unknown;
    sum.promised += counts.promised;
    sum.survived += counts.survived;
    sum.void += counts.void;
    sum.partial_syncs += counts.partial_syncs;
    sum.full_syncs += counts.full_syncs;
    sum.loads += counts.loads;
    sum.promotions += counts.promotions;
    sum.compared += counts.compared;
}

#[test]
fn no_promise_is_broken_under_faults() {
    let mut sum = Counts::default();
    for seed in seeds(DEFAULT_SEEDS) {
        let (world, verdict) = run(seed, options(seed));
        if let Some(first) = verdict.first() {
            for (at, host, text) in &world.log {
                eprintln!("{at:>8} host {host}: {text}");
            }
            panic!("seed {seed}: {first:#?} and {} more", verdict.len() - 1);
        }
        add(&mut sum, world.counts());
    }
    println!("{sum:?}");
    let Counts { promised, survived, partial_syncs, loads, .. } = sum;
    let is_all = promised > 0 && survived > 0 && partial_syncs > 0 && loads > 0;
    assert!(is_all || number("TESSERA_SIM_SEED").is_some(), "{sum:?}");
}

#[test]
fn what_wait_has_promised_survives_primaries_that_die_one_by_one() {
    let mut survived = 0;
    for seed in seeds(8) {
        let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
        let setup = Setup { shards: 3, replicas: 2 };
        let mut world = setup.resumed_with_data(seed, config, options(seed));
        for host in 0..world.host_count() {
            world.set_random_disk_and_lag(host);
        }
        world.run_for(8000);
        for _ in 0..3 {
            let primaries: Vec<_> =
                (0..world.host_count()).filter(|host| world.takes_writes(*host)).collect();
            let primary = primaries[world.rng.below(primaries.len() as u64) as usize];
            world.kill(primary);
            let pause = world.rng.below(3000);
            world.run_for(pause);
            world.start(primary);
            world.run_for(9000);
        }
        world.stop_clients();
        world.run_for(2000);
        world.expect_convergence(SAME_WITHIN);
        assert_eq!(world.verdict(), [], "seed {seed}");
        let counts = world.counts();
        assert_eq!(counts.void, 0, "seed {seed}: {counts:?} {:?}", world.log);
        survived += counts.survived;
    }
    assert!(survived > 0);
    println!("{survived} promises were kept by another primary");
}

#[test]
fn a_manual_failover_loses_nothing_that_was_acknowledged() {
    for seed in seeds(25) {
        let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
        let setup = Setup { shards: 3, replicas: 1 };
        let mut world = setup.resumed_with_data(seed, config, options(seed));
        world.run_for(5000);
        for _ in 0..5 {
            let replicas: Vec<_> =
                (0..world.host_count()).filter(|host| !world.takes_writes(*host)).collect();
            let replica = replicas[world.rng.below(replicas.len() as u64) as usize];
            world.command(replica, "FAILOVER");
            let pause = 500 + world.rng.below(3000);
            world.run_for(pause);
        }
        world.stop_clients();
        world.run_for(3000);
        world.expect_convergence(SAME_WITHIN);
        assert_eq!((world.verdict(), world.lost_writes()), (vec![], vec![]), "seed {seed}");
        let counts = world.counts();
        assert!(counts.promotions >= 2 && counts.full_syncs == 3, "seed {seed}: {counts:?}");
    }
}

#[test]
fn a_run_with_data_is_a_function_of_its_seed() {
    for seed in [3, 6] {
        let story = || {
            let (world, _) = run(seed, options(seed));
            (world.log.clone(), world.counts(), world.data_fingerprint())
        };
        assert_eq!(story(), story(), "seed {seed}");
    }
}

/// The only replica of a primary is far behind. It reaches the primary again just when the
/// majority, which does not, elects it, and its nodes.conf is slow.
fn elected_in_the_middle(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
    let options =
        DataOptions { backlog: 0, value_bytes: 3000, clients: 8, bug, ..DataOptions::default() };
    let setup = Setup { shards: 3, replicas: 1 };
    let mut world = setup.resumed_with_data(seed, config, options);
    world.run_for(6000);
    world.set_disk_delay(3, 400);
    world.cut(0, 3);
    // The link's next two attempts are 5 and 10 s after it has ended by its time-out.
    let early = 6900 + world.rng.below(500);
    world.run_for(early);
    [1, 2, 4, 5].into_iter().for_each(|other| world.cut(0, other));
    world.run_for(9900 - early);
    world.mend(0, 3);
    world.run_for(3000);
    world.mend_network();
    world.stop_clients();
    world.run_for(3000);
    world.expect_convergence(SAME_WITHIN);
    world.verdict()
}

#[test]
fn a_replica_that_is_elected_keeps_the_data_that_it_was_elected_with() {
    let found = |bug| (0..12).find(|seed| !elected_in_the_middle(*seed, bug).is_empty());
    assert_eq!(found(None), None);
    assert!(found(Some(Bug::DropsDataWhenElected)).is_some());
}

/// A primary is cut off and stopped for so long that it is replaced. It goes on before anybody can
/// tell it; some clients are on its side of the cut.
fn stopped_and_replaced(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    let config = ClusterConfig { node_timeout: 2000, ..ClusterConfig::default() };
    let options = DataOptions { clients: 12, bug, ..DataOptions::default() };
    let setup = Setup { shards: 3, replicas: 1 };
    let mut world = setup.resumed_with_data(seed, config, options);
    world.run_for(5000);
    (1..6).for_each(|other| world.cut(0, other));
    world.pause(0);
    let pause = 5000 + world.rng.below(3000);
    world.run_for(pause);
    world.resume(0);
    world.run_for(500);
    world.mend_network();
    world.run_for(1500);
    world.stop_clients();
    world.run_for(2000);
    world.expect_convergence(SAME_WITHIN);
    world.verdict()
}

#[test]
fn a_primary_that_was_stopped_and_replaced_answers_nothing_more() {
    let found = |bug| (0..40).find(|seed| !stopped_and_replaced(*seed, bug).is_empty());
    assert_eq!(found(None), None);
    assert!(found(Some(Bug::IgnoresThatItWasStopped)).is_some());
}

/// The oracle finds a fault of the system within this many seeds.
const SOON: u64 = 40;

#[test]
fn the_oracle_finds_what_is_wrong() {
    for (bug, rule) in [
        (Bug::WaitsForNobody, Rule::Wait),
        (Bug::SkipsCommands, Rule::Fork),
        (Bug::KeepsReplicationId, Rule::Fork),
        (Bug::ServesWhenDown, Rule::Stale),
        (Bug::RefusesWhatItDoes, Rule::Invented),
        (Bug::ForgetsWrites, Rule::Reign),
        (Bug::ResumesAnyHistory, Rule::Fork),
        (Bug::TakesNoStream, Rule::Converges),
    ] {
        let finds = |seed: &u64| {
            let options = DataOptions { bug: Some(bug), ..options(*seed) };
            let (_, verdict) = run(*seed, options);
            verdict.iter().any(|violation| violation.rule == rule)
        };
        let found = (0..SOON).find(finds);
        println!("{bug:?}: {rule:?}, seed {found:?}");
        assert!(found.is_some(), "{bug:?} is not found");
    }
}
