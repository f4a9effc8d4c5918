//! `cluster-allow-replica-migration`: a replica that its shard can spare goes to a primary that has
//! lost all of its own.

use crate::LogLevel;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::surroundings::Surroundings;
use std::collections::BTreeMap;
use tessera_slot::{Millis, NodeId};

/// A primary must be without replicas for this long first, in milliseconds.
const ORPHANED_FOR: u64 = 5000;

/// The orphaned primary that this node is to replicate from now on. Notes since when a primary is
/// without replicas.
pub(crate) fn orphan_to_join(
    nodes: &mut Nodes,
    around: &mut Surroundings,
    cluster_is_ok: bool,
) -> Option<NodeId> {
    let primary = nodes.me().primary()?;
    let config = around.config();
    if !config.allow_replica_migration || !cluster_is_ok {
        return None;
    }
    let replicas = working_replicas(nodes);
    track_orphans(nodes, &replicas, around.now());
    let mine = replicas.get(&primary).map_or(0, Vec::len);
    let most = replicas.values().map(Vec::len).max().unwrap_or(0);
    let barrier = config.migration_barrier as usize;
    if mine < 2 || mine < most || mine <= barrier {
        return None;
    }
    // The replica with the smallest name goes, of all that could.
    let chosen = replicas.values().filter(|of| of.len() == most).flatten().min();
    if chosen != Some(&nodes.my_id()) {
        return None;
    }
    let orphan = longest_orphan(nodes, around.now())?;
    let name = nodes.name_of(orphan);
    around.log(LogLevel::Notice, format!("Migrating to orphaned primary {name}"));
    Some(orphan)
}

/// The replicas that work, by their primary.
fn working_replicas(nodes: &Nodes) -> BTreeMap<NodeId, Vec<NodeId>> {
    let mut replicas: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.is_healthy()) {
        if let Some(primary) = node.primary() {
            replicas.entry(primary).or_default().push(node.id);
        }
    }
    replicas
}

fn track_orphans(nodes: &mut Nodes, replicas: &BTreeMap<NodeId, Vec<NodeId>>, now: Millis) {
    for node in nodes.iter_mut() {
        let orphaned = node.is_voter()
            && node.had_replicas
            && !node.has_failed()
            && !replicas.contains_key(&node.id);
        node.orphaned_since = orphaned.then(|| node.orphaned_since.unwrap_or(now));
    }
}

fn longest_orphan(nodes: &Nodes, now: Millis) -> Option<NodeId> {
    let due =
        |node: &&Node| node.orphaned_since.is_some_and(|since| now.since(since) > ORPHANED_FOR);
    nodes.others().filter(due).min_by_key(|node| node.orphaned_since).map(|node| node.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{around, id, node, pass, three_shards};

    /// Replica 4 or 5 of primary 1, which has both, beside primary 3, which has lost its own.
    fn spare(me: u8) -> (Nodes, Surroundings) {
        let mut nodes = three_shards(me);
        node(&mut nodes, 3).had_replicas = true;
        (nodes, around())
    }

    /// Where the node goes after it has seen an orphan for so long.
    fn goes_after(millis: u64, nodes: &mut Nodes, around: &mut Surroundings) -> Option<NodeId> {
        assert_eq!(orphan_to_join(nodes, around, true), None, "not at first sight");
        pass(around, millis);
        orphan_to_join(nodes, around, true)
    }

    #[test]
    fn the_smallest_name_of_the_largest_shard_goes() {
        let (mut nodes, mut around) = spare(4);
        assert_eq!(goes_after(ORPHANED_FOR, &mut nodes, &mut around), None, "too early");
        let (mut nodes, mut around) = spare(4);
        assert_eq!(goes_after(ORPHANED_FOR + 1, &mut nodes, &mut around), Some(id(3)));
        let (mut nodes, mut around) = spare(5);
        assert_eq!(goes_after(ORPHANED_FOR + 1, &mut nodes, &mut around), None, "not both");
    }

    #[test]
    fn a_primary_that_never_had_replicas_is_no_orphan() {
        let (mut nodes, mut around) = (three_shards(4), around());
        assert_eq!(goes_after(ORPHANED_FOR + 1, &mut nodes, &mut around), None);
    }

    #[test]
    fn the_last_working_replica_stays() {
        let (mut nodes, mut around) = spare(4);
        crate::testing::fail(&mut nodes, 5, &around);
        assert_eq!(goes_after(ORPHANED_FOR + 1, &mut nodes, &mut around), None);
    }
}
