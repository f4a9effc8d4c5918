//! The table of nodes, and the questions that are asked of the whole of it.

use crate::node::{Node, ShardId, Stage};
use crate::slot_sets::{minus, union};
use std::collections::{BTreeMap, BTreeSet};
use tessera_slot::{Epoch, Millis, NodeId, SlotSet};

/// Every node that is known, this one included. Slots belong to at most one of them.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    table: BTreeMap<NodeId, Node>,
    my_id: NodeId,
    /// The nodes that are not proven. They are few, so a stranger's packet may go through all of
    /// them.
    unproven: BTreeSet<NodeId>,
}

impl Nodes {
    pub(crate) fn new(me: Node) -> Nodes {
        let my_id = me.id;
        Nodes { table: BTreeMap::from([(my_id, me)]), my_id, unproven: BTreeSet::new() }
    }

    pub(crate) fn my_id(&self) -> NodeId {
        self.my_id
    }

    pub(crate) fn me(&self) -> &Node {
        self.table.get(&self.my_id).expect("this node is always in its own table")
    }

    pub(crate) fn me_mut(&mut self) -> &mut Node {
        self.table.get_mut(&self.my_id).expect("this node is always in its own table")
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.table.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.table.get_mut(&id)
    }

    /// The name of a node as log lines give it: the id, then the human name in brackets.
    pub(crate) fn name_of(&self, id: NodeId) -> String {
        let human = self.get(id).map_or("", |node| node.human_name.as_str());
        format!("{id} ({human})")
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.table.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.table.values_mut()
    }

    /// All nodes but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Node> {
        self.table.values().filter(|node| node.id != self.my_id)
    }

    pub(crate) fn other_ids(&self) -> Vec<NodeId> {
        self.others().map(|node| node.id).collect()
    }

    pub(crate) fn insert(&mut self, node: Node) {
        if node.is_unproven() {
            self.unproven.insert(node.id);
        }
        self.table.insert(node.id, node);
    }

    /// The nodes that are not proven.
    pub(crate) fn unproven(&self) -> impl Iterator<Item = &Node> {
        self.unproven.iter().filter_map(|id| self.table.get(id))
    }

    /// A node has answered to its name.
    pub(crate) fn prove(&mut self, id: NodeId) {
        if self.unproven.remove(&id)
            && let Some(node) = self.table.get_mut(&id)
        {
            node.stage = Stage::Known;
            node.source = None;
        }
    }

    /// Takes a node out, and what the others have heard from it.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Node> {
        assert_ne!(id, self.my_id, "a node never removes itself");
        let node = self.table.remove(&id)?;
        self.unproven.remove(&id);
        if node.in_handshake() {
            // No other node knows a name that was made up here.
            return Some(node);
        }
        for other in self.table.values_mut() {
            other.reports.remove(&id);
            if other.is_replica_of(id) {
                other.role = crate::node::Role::Replica { of: None };
            }
        }
        Some(node)
    }

    /// Gives a node the name it has told. Its links must be told too.
    pub(crate) fn rename(&mut self, old: NodeId, new: NodeId) {
        if let Some(mut node) = self.table.remove(&old) {
            node.id = new;
            if self.unproven.remove(&old) {
                self.unproven.insert(new);
            }
            if old == self.my_id {
                self.my_id = new;
            }
            self.table.insert(new, node);
        }
    }

    /// Gives slots to a node, taking them from their owners.
    pub(crate) fn assign(&mut self, slots: &SlotSet, to: Option<NodeId>) {
        for node in self.table.values_mut() {
            if Some(node.id) == to {
                node.slots.replace(union(node.slots.set(), slots));
            } else if !node.slots.is_empty() {
                node.slots.replace(minus(node.slots.set(), slots));
            }
        }
    }

    /// Every slot that has an owner.
    pub(crate) fn assigned(&self) -> SlotSet {
        self.table.values().fold(SlotSet::EMPTY, |all, node| {
            if node.slots.is_empty() { all } else { union(&all, node.slots.set()) }
        })
    }

    /// `cluster_size`: the primaries with slots.
    pub(crate) fn voters(&self) -> usize {
        self.table.values().filter(|node| node.is_voter()).count()
    }

    /// How many of the primaries with slots are a majority.
    pub(crate) fn quorum(&self) -> usize {
        self.voters() / 2 + 1
    }

    pub(crate) fn max_epoch(&self) -> Epoch {
        self.table.values().map(|node| node.config_epoch).max().unwrap_or_default()
    }

    /// The config epoch that counts for a node: a replica has its primary's.
    pub(crate) fn epoch_of(&self, id: NodeId) -> Epoch {
        let Some(node) = self.get(id) else { return Epoch(0) };
        node.primary().and_then(|primary| self.get(primary)).unwrap_or(node).config_epoch
    }

    /// The replicas of a primary, in the order of their names.
    pub(crate) fn replicas_of(&self, primary: NodeId) -> impl Iterator<Item = &Node> {
        self.table.values().filter(move |node| node.is_replica_of(primary))
    }

    pub(crate) fn same_shard(&self, a: NodeId, b: NodeId) -> bool {
        match (self.get(a), self.get(b)) {
            (Some(a), Some(b)) => a.shard == b.shard,
            _ => false,
        }
    }

    /// Sets a node's shard; if it is our primary, ours too. True if anything changed.
    pub(crate) fn set_shard(&mut self, id: NodeId, shard: ShardId) -> bool {
        let mine = self.me().is_replica_of(id);
        let mut changed = false;
        for node in self.table.values_mut() {
            if (node.id == id || (mine && node.id == self.my_id)) && node.shard != shard {
                node.shard = shard;
                changed = true;
            }
        }
        changed
    }

    /// The reports against a node that are still valid; older ones are dropped.
    pub(crate) fn failure_reports(&mut self, id: NodeId, now: Millis, validity: u64) -> usize {
        let Some(node) = self.get_mut(id) else { return 0 };
        node.reports.retain(|_, reported| now.since(*reported) <= validity);
        node.reports.len()
    }
}
