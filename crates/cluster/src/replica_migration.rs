//! `cluster-allow-replica-migration`: a replica that its shard can spare goes to a primary that has
//! lost all of its own.

use crate::LogLevel;
use crate::core::Cluster;
use crate::node::Node;
use std::collections::BTreeMap;
use tessera_slot::NodeId;

/// A primary must be without replicas for this long first, in milliseconds.
const ORPHANED_FOR: u64 = 5000;

impl Cluster {
    pub(crate) fn migrate_to_orphan(&mut self) {
        let Some(primary) = self.nodes.me().primary() else { return };
        if !self.config.allow_replica_migration || !self.state.is_ok() {
            return;
        }
        let replicas = self.working_replicas();
        self.track_orphans(&replicas);
        let mine = replicas.get(&primary).map_or(0, Vec::len);
        let most = replicas.values().map(Vec::len).max().unwrap_or(0);
        let barrier = self.config.migration_barrier as usize;
        if mine < 2 || mine < most || mine <= barrier {
            return;
        }
        // The replica with the smallest name goes, of all that could.
        let chosen = replicas.values().filter(|of| of.len() == most).flatten().min();
        if chosen != Some(&self.id()) {
            return;
        }
        if let Some(orphan) = self.longest_orphan() {
            let name = self.name_of(orphan);
            self.log(LogLevel::Notice, format!("Migrating to orphaned primary {name}"));
            self.become_replica_of(orphan, true);
        }
    }

    /// The replicas that work, by their primary.
    fn working_replicas(&self) -> BTreeMap<NodeId, Vec<NodeId>> {
        let mut replicas: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.is_healthy()) {
            if let Some(primary) = node.primary() {
                replicas.entry(primary).or_default().push(node.id);
            }
        }
        replicas
    }

    fn track_orphans(&mut self, replicas: &BTreeMap<NodeId, Vec<NodeId>>) {
        let now = self.now.mono;
        for node in self.nodes.iter_mut() {
            let orphaned = node.is_voter()
                && node.had_replicas
                && !node.has_failed()
                && !replicas.contains_key(&node.id);
            node.orphaned_since = orphaned.then(|| node.orphaned_since.unwrap_or(now));
        }
    }

    fn longest_orphan(&self) -> Option<NodeId> {
        let now = self.now.mono;
        let due =
            |node: &&Node| node.orphaned_since.is_some_and(|since| now.since(since) > ORPHANED_FOR);
        self.nodes.others().filter(due).min_by_key(|node| node.orphaned_since).map(|node| node.id)
    }
}
