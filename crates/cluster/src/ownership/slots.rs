//! The slots of a claim: which of them change hands, and what that means for this node.

use super::{Outcome, Ownership};
use crate::bus::{Body, Header};
use crate::slot_sets::{common, minus, union};
use crate::{Effect, LogLevel};
use tessera_slot::{Epoch, NodeId, Slot, SlotSet};

/// The slots that a claim has taken.
struct Taken {
    /// Every slot that changed hands.
    all: SlotSet,
    /// The ones that were this node's own.
    mine: SlotSet,
    /// Whether any was this shard's.
    from_my_primary: bool,
}

impl Ownership<'_> {
    /// Gives a primary the slots that it claims and that no node claims with a higher epoch.
    pub(super) fn take_slots(
        &mut self,
        sender: NodeId,
        epoch: Epoch,
        claimed: &SlotSet,
    ) -> Vec<Outcome> {
        let Some(node) = self.nodes.get(sender) else { return Vec::new() };
        self.open.hear_claim(node.slots.set(), claimed);
        let me = self.nodes.me();
        let my_primary = me.primary().unwrap_or(me.id);
        let taken = self.transfer(sender, epoch, claimed, my_primary);
        if !taken.all.is_empty() {
            self.open.close_taken(self.nodes, self.around, sender, &taken.all);
        }
        if self.open.follow_target(self.nodes, sender, epoch, claimed) {
            self.around.changed_durably();
        }
        self.after_transfer(sender, epoch, claimed, &taken, my_primary)
    }

    fn transfer(
        &mut self,
        sender: NodeId,
        epoch: Epoch,
        claimed: &SlotSet,
        my_primary: NodeId,
    ) -> Taken {
        let mut taken = Taken { all: SlotSet::EMPTY, mine: SlotSet::EMPTY, from_my_primary: false };
        let mut unowned = claimed.clone();
        for node in self.nodes.iter().filter(|node| !node.slots.is_empty()) {
            let held = common(claimed, node.slots.set());
            if held.is_empty() {
                continue;
            }
            unowned = minus(&unowned, &held);
            if node.id == sender || node.config_epoch >= epoch {
                continue;
            }
            taken.all = union(&taken.all, &held);
            taken.from_my_primary |= node.id == my_primary;
            if node.id == self.nodes.my_id() {
                taken.mine = held;
            }
        }
        taken.all = union(&taken.all, &unowned);
        if !taken.all.is_empty() {
            self.nodes.assign(&taken.all, Some(sender));
            self.open.changed_hands(&taken.all);
            self.around.changed_durably();
        }
        taken
    }

    /// The consequences of lost slots for this node.
    fn after_transfer(
        &mut self,
        sender: NodeId,
        epoch: Epoch,
        claimed: &SlotSet,
        taken: &Taken,
        my_primary: NodeId,
    ) -> Vec<Outcome> {
        let same_shard = self.nodes.same_shard(sender, self.nodes.my_id());
        let shard_is_empty = self.nodes.get(my_primary).is_none_or(|node| node.slots.is_empty());
        let me = self.nodes.me();
        let empty_shard_taken_over = !taken.from_my_primary
            && me.primary() != Some(sender)
            && claimed.is_empty()
            && shard_is_empty
            && self.nodes.epoch_of(me.id) < epoch
            && same_shard;
        let replaced = taken.from_my_primary || empty_shard_taken_over;
        let may_follow = self.around.config().allow_replica_migration || same_shard;
        if replaced && shard_is_empty && may_follow {
            let name = self.nodes.name_of(sender);
            let text = format!(
                "Configuration change detected. Reconfiguring myself as a replica of node {name}"
            );
            self.around.log(LogLevel::Notice, text);
            // The sender votes in this node's place as soon as it knows that this node does not.
            return vec![self.replicate(sender, !same_shard), Outcome::Tell(sender)];
        }
        if !taken.mine.is_empty() {
            self.around.push(Effect::DropKeys(Box::new(taken.mine.clone())));
        }
        Vec::new()
    }

    /// Tells a node whose claim is stale who owns the slot now.
    pub(super) fn correct_stale_claim(&self, sender: NodeId, header: &Header) -> Option<Outcome> {
        let owner = self.nodes.iter().find(|node| {
            node.id != sender
                && node.config_epoch > header.config_epoch
                && !common(node.slots.set(), &header.slots).is_empty()
        })?;
        let update = Body::Update {
            node: owner.id,
            config_epoch: owner.config_epoch,
            slots: Box::new(minus(owner.slots.set(), self.open.disowned())),
        };
        Some(Outcome::Correct { node: sender, update })
    }

    /// A node that is a replica now serves nothing.
    pub(super) fn release_all_slots(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id).filter(|node| !node.slots.is_empty()) else { return };
        let (lost, slots) = (node.slots.len(), node.slots.set().clone());
        self.nodes.assign(&slots, None);
        self.around.changed_durably();
        let name = self.nodes.name_of(id);
        let text =
            format!("Node {name} is no longer primary; removed all {lost} slot(s) it used to own");
        self.around.log(LogLevel::Notice, text);
    }

    /// This node owns more slots by command.
    pub(crate) fn add_slots(&mut self, slots: &SlotSet) {
        let me = self.nodes.my_id();
        self.nodes.assign(slots, Some(me));
        self.open.end_imports_of(slots);
        self.around.changed_durably();
    }

    /// Slots have no owner from now on, as far as this node knows.
    pub(crate) fn delete_slots(&mut self, slots: &SlotSet) {
        self.nodes.assign(slots, None);
        self.open.end_imports_of(slots);
        self.open.end_migrations_of(slots);
        self.around.changed_durably();
    }

    /// None of this node's slots has an owner from now on.
    pub(crate) fn flush_slots(&mut self) {
        let mine = self.nodes.me().slots.set().clone();
        self.nodes.assign(&mine, None);
        self.open.end_migrations_of(&SlotSet::FULL);
        self.around.changed_durably();
    }

    /// Gives one slot to a node by command. Its migration has ended if no key is left here.
    pub(crate) fn give_slot(&mut self, slot: Slot, to: NodeId, keys_left: usize) {
        let name = self.nodes.name_of(to);
        self.around.log(LogLevel::Notice, format!("Assigning slot {slot} to node {name}"));
        if keys_left == 0 {
            self.open.end_migration(slot);
        }
        self.nodes.assign(&SlotSet::from_iter([slot]), Some(to));
    }
}
