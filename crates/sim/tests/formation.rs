//! Clusters that are formed by commands.

use tessera_cluster::ClusterConfig;
use tessera_sim::Setup;
use tessera_sim::invariants::agreement::disagreement;

fn forms_within(setup: Setup, seed: u64, limit: u64) {
    let mut world = setup.formed(seed, ClusterConfig::default());
    let agreed = world.run_while_looking_every(250, limit, |world| disagreement(world).is_some());
    assert!(agreed.is_some(), "seed {seed}: {}", disagreement(&world).unwrap_or_default());
    println!("{} nodes agree after {} ms, seed {seed}", setup.nodes(), world.now);
}

#[test]
fn six_nodes_form_a_cluster() {
    for seed in 0..30 {
        forms_within(Setup { shards: 3, replicas: 1 }, seed, 30_000);
    }
}

#[test]
fn a_hundred_nodes_form_a_cluster() {
    forms_within(Setup { shards: 50, replicas: 1 }, 1, 60_000);
}
