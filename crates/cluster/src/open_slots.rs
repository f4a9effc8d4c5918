//! Slots on the move, and slots whose owner no longer claims them.

use crate::LogLevel;
use crate::nodes::Nodes;
use crate::slot_sets::{common, minus, union};
use crate::surroundings::Surroundings;
use std::collections::BTreeMap;
use tessera_slot::{Epoch, NodeId, Slot, SlotSet};

/// The open slots of this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenSlots {
    migrating: BTreeMap<Slot, NodeId>,
    importing: BTreeMap<Slot, NodeId>,
    /// Slots whose owner, by our table, no longer claims them: the new owner has not spoken yet.
    disowned: SlotSet,
}

impl OpenSlots {
    /// The slots that leave this node, and where they go.
    pub(crate) fn migrating(&self) -> &BTreeMap<Slot, NodeId> {
        &self.migrating
    }

    /// The slots that come to this node, and where they come from.
    pub(crate) fn importing(&self) -> &BTreeMap<Slot, NodeId> {
        &self.importing
    }

    pub(crate) fn disowned(&self) -> &SlotSet {
        &self.disowned
    }

    pub(crate) fn migrate(&mut self, slot: Slot, to: NodeId) {
        self.migrating.insert(slot, to);
    }

    pub(crate) fn import(&mut self, slot: Slot, from: NodeId) {
        self.importing.insert(slot, from);
    }

    pub(crate) fn end_migration(&mut self, slot: Slot) {
        self.migrating.remove(&slot);
    }

    /// True if the slot was being imported.
    pub(crate) fn end_import(&mut self, slot: Slot) -> bool {
        self.importing.remove(&slot).is_some()
    }

    pub(crate) fn end_migrations_of(&mut self, slots: &SlotSet) {
        self.migrating.retain(|slot, _| !slots.contains(*slot));
    }

    pub(crate) fn end_imports_of(&mut self, slots: &SlotSet) {
        self.importing.retain(|slot, _| !slots.contains(*slot));
    }

    /// Ends every move.
    pub(crate) fn end_all(&mut self) {
        self.migrating.clear();
        self.importing.clear();
    }

    /// Ends the moves from and to a node that is no longer in the table.
    pub(crate) fn forget(&mut self, id: NodeId) {
        self.migrating.retain(|_, to| *to != id);
        self.importing.retain(|_, from| *from != id);
    }

    /// A node claims slots, and owns some by our table: those that are in both are confirmed, those
    /// that it owns without claiming them are disowned.
    pub(crate) fn hear_claim(&mut self, owned: &SlotSet, claimed: &SlotSet) {
        let (confirmed, silent) = (common(claimed, owned), minus(owned, claimed));
        self.disowned = union(&minus(&self.disowned, &confirmed), &silent);
    }

    /// Slots have a new owner, which claims them.
    pub(crate) fn changed_hands(&mut self, slots: &SlotSet) {
        self.disowned = minus(&self.disowned, slots);
    }

    /// Ends, or redirects, moves of slots that a node has taken.
    pub(crate) fn close_taken(
        &mut self,
        nodes: &Nodes,
        around: &mut Surroundings,
        taker: NodeId,
        taken: &SlotSet,
    ) {
        if !nodes.same_shard(taker, nodes.my_id()) {
            self.migrating.retain(|slot, to| {
                let ended = taken.contains(*slot);
                if ended {
                    let text = format!("Slot {slot} is no longer being migrated to node {to}");
                    around.log(LogLevel::Notice, text);
                }
                !ended
            });
        }
        self.importing.retain(|slot, from| {
            if !taken.contains(*slot) || *from == taker {
                return true;
            }
            if nodes.same_shard(taker, *from) {
                *from = taker;
                return true;
            }
            let text = format!("Slot {slot} is no longer being imported from node {from}");
            around.log(LogLevel::Notice, text);
            false
        });
    }

    /// The node that slots migrate to has been replaced by another of its shard, which claims slots
    /// by this epoch. True if a migration has a new target.
    pub(crate) fn follow_target(
        &mut self,
        nodes: &Nodes,
        successor: NodeId,
        epoch: Epoch,
        claimed: &SlotSet,
    ) -> bool {
        let mut moved = false;
        for (slot, to) in &mut self.migrating {
            let replaced = nodes
                .get(*to)
                .is_some_and(|target| target.config_epoch < epoch || target.is_replica());
            if !claimed.contains(*slot)
                && *to != successor
                && replaced
                && nodes.same_shard(*to, successor)
            {
                *to = successor;
                moved = true;
            }
        }
        moved
    }
}
