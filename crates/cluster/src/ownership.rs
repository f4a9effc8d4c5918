//! Roles and slots as nodes claim them: the higher config epoch wins.

use crate::bus::{Body, Header};
use crate::core::Cluster;
use crate::node::Role;
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

impl Cluster {
    /// Takes role and slots from a known node's ping.
    pub(crate) fn take_claims(&mut self, sender: NodeId, header: &Header) {
        let Some(node) = self.nodes.get(sender) else { return };
        let was_replica = node.is_replica();
        match header.primary {
            None => self.set_primary_role(sender),
            Some(primary) => self.take_replica_role(sender, primary, header.config_epoch),
        }
        if header.primary.is_some() {
            return;
        }
        let Some(node) = self.nodes.get(sender) else { return };
        let forgetful = header.config_epoch < node.config_epoch && !node.slots.is_empty();
        if was_replica || *node.slots.set() != header.slots {
            self.take_slots(sender, header.config_epoch, &header.slots);
            self.correct_stale_claim(sender, header);
        }
        if forgetful {
            self.remind(sender);
        }
        self.resolve_epoch_collision(sender, header.config_epoch);
    }

    fn take_replica_role(&mut self, sender: NodeId, claimed: NodeId, epoch: Epoch) {
        let known_primary = self.nodes.get(claimed).map(|node| node.id).filter(|id| *id != sender);
        let Some(node) = self.nodes.get(sender) else { return };
        // A node that has not told its role yet may have been given slots by a command.
        if !node.is_replica() {
            match known_primary.filter(|primary| self.nodes.same_shard(*primary, sender)) {
                Some(_) if node.config_epoch > epoch && !node.slots.is_empty() => {
                    self.remind(sender);
                    return;
                }
                Some(primary) if primary != self.id() => {
                    self.follow_failover(sender, primary, epoch);
                }
                _ => {}
            }
            let lost = self.nodes.get(sender).map(|node| node.slots.len()).unwrap_or_default();
            if lost > 0 {
                self.release_all_slots(sender);
                let name = self.name_of(sender);
                let text = format!(
                    "Node {name} is no longer primary; removed all {lost} slot(s) it used to own"
                );
                self.log(LogLevel::Notice, text);
            }
            self.changed();
        }
        let new_role = Role::Replica { of: known_primary };
        let Some(node) = self.nodes.get_mut(sender) else { return };
        let keeps = matches!(node.role, Role::Replica { of: Some(_) }) && known_primary.is_none();
        if node.role == new_role || keeps {
            return;
        }
        node.role = new_role;
        self.changed();
        if let Some(primary) = known_primary {
            self.joined_shard(sender, primary);
        }
    }

    /// A primary speaks by a view older than its own claim: the message was overtaken, or the node
    /// came back with an old disk. It is told what it owns.
    fn remind(&mut self, id: NodeId) {
        let name = self.name_of(id);
        self.log(LogLevel::Verbose, format!("Ignore stale message from {name}"));
        if let Some(node) = self.nodes.get(id) {
            let slots = Box::new(node.slots.set().clone());
            let config_epoch = node.config_epoch;
            self.send_to(id, Body::Update { node: id, config_epoch, slots });
        }
    }

    /// The others hold this node for the owner of slots by a claim that it does not remember. Where
    /// no node has a newer claim, it takes its place again; otherwise the slots would stay without
    /// service.
    fn take_reminder(&mut self, epoch: Epoch, slots: &SlotSet) {
        if self.nodes.me().config_epoch >= epoch {
            return;
        }
        let newer = self.nodes.others().filter(|node| node.config_epoch >= epoch);
        let taken = newer.fold(slots.clone(), |left, node| minus(&left, node.slots.set()));
        if taken.is_empty() {
            return;
        }
        let me = self.id();
        self.log(LogLevel::Warning, format!("I own slots by a forgotten claim of epoch {epoch}"));
        self.set_primary_role(me);
        self.nodes.me_mut().config_epoch = epoch;
        self.see_epoch(epoch);
        self.nodes.assign(&taken, Some(me));
        self.changed_durably();
        self.broadcast_pong(|_| true);
    }

    /// A primary of a shard says that another node has taken over from it: with its role go its
    /// slots, so that they are not without owner until the new primary is heard.
    fn follow_failover(&mut self, former: NodeId, primary: NodeId, epoch: Epoch) {
        self.set_primary_role(primary);
        if let Some(slots) = self.nodes.get(former).map(|node| node.slots.set().clone()) {
            self.nodes.assign(&slots, Some(primary));
        }
        self.see_epoch(epoch);
        if let Some(node) = self.nodes.get_mut(primary)
            && epoch > node.config_epoch
        {
            node.config_epoch = epoch;
            self.changed_durably();
        }
    }

    fn joined_shard(&mut self, replica: NodeId, primary: NodeId) {
        let (name, of) = (self.name_of(replica), self.name_of(primary));
        self.log(LogLevel::Notice, format!("Node {name} is now a replica of node {of}"));
        if let Some(node) = self.nodes.get_mut(primary) {
            node.had_replicas = true;
        }
        if let Some(shard) = self.nodes.get(primary).map(|node| node.shard) {
            self.nodes.set_shard(replica, shard);
        }
        self.leave_replica_chain();
    }

    /// A replica of a replica follows that one's primary instead.
    fn leave_replica_chain(&mut self) {
        let my_primary = self.nodes.me().primary();
        let above = my_primary.and_then(|id| self.nodes.get(id)).and_then(|node| node.primary());
        if let Some(above) = above.filter(|above| *above != self.id()) {
            let name = self.name_of(above);
            let text = format!("I'm a sub-replica! Reconfiguring myself as a replica of {name}");
            self.log(LogLevel::Notice, text);
            self.become_replica_of(above, true);
        }
    }

    /// A node that is a replica now serves nothing.
    fn release_all_slots(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        let slots = node.slots.set().clone();
        self.nodes.assign(&slots, None);
        self.changed_durably();
    }

    /// Gives a primary the slots that it claims and that no node claims with a higher epoch.
    pub(crate) fn take_slots(&mut self, sender: NodeId, epoch: Epoch, claimed: &SlotSet) {
        if sender == self.id() {
            self.log(LogLevel::Notice, "Discarding UPDATE message about myself.");
            return;
        }
        let Some(node) = self.nodes.get(sender) else { return };
        let same_shard = self.nodes.same_shard(sender, self.id());
        let confirmed = common(claimed, node.slots.set());
        let silent = minus(node.slots.set(), claimed);
        self.open.disowned = union(&minus(&self.open.disowned, &confirmed), &silent);
        let my_primary = self.nodes.me().primary().unwrap_or_else(|| self.id());
        let taken = self.transfer(sender, epoch, claimed, my_primary);
        if !taken.all.is_empty() {
            self.close_taken(sender, &taken.all, same_shard);
        }
        self.follow_migration_target(sender, epoch, claimed);
        self.after_transfer(sender, epoch, claimed, &taken, (my_primary, same_shard));
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
            if node.id == self.id() {
                taken.mine = held;
            }
        }
        taken.all = union(&taken.all, &unowned);
        if !taken.all.is_empty() {
            self.nodes.assign(&taken.all, Some(sender));
            self.open.disowned = minus(&self.open.disowned, &taken.all);
            self.changed_durably();
        }
        taken
    }

    /// Ends, or redirects, moves of slots that have changed hands.
    fn close_taken(&mut self, sender: NodeId, taken: &SlotSet, same_shard: bool) {
        let mut logs = Vec::new();
        if !same_shard {
            self.open.migrating.retain(|slot, to| {
                let ended = taken.contains(*slot);
                if ended {
                    logs.push(format!("Slot {slot} is no longer being migrated to node {to}"));
                }
                !ended
            });
        }
        let nodes = &self.nodes;
        self.open.importing.retain(|slot, from| {
            if !taken.contains(*slot) || *from == sender {
                return true;
            }
            if nodes.same_shard(sender, *from) {
                *from = sender;
                return true;
            }
            logs.push(format!("Slot {slot} is no longer being imported from node {from}"));
            false
        });
        for text in logs {
            self.log(LogLevel::Notice, text);
        }
    }

    /// The node that slots migrate to has been replaced by another of its shard.
    fn follow_migration_target(&mut self, sender: NodeId, epoch: Epoch, claimed: &SlotSet) {
        let nodes = &self.nodes;
        let mut moved = false;
        for (slot, to) in &mut self.open.migrating {
            let replaced = nodes
                .get(*to)
                .is_some_and(|target| target.config_epoch < epoch || target.is_replica());
            if !claimed.contains(*slot)
                && *to != sender
                && replaced
                && nodes.same_shard(*to, sender)
            {
                *to = sender;
                moved = true;
            }
        }
        if moved {
            self.changed_durably();
        }
    }

    /// The consequences of lost slots for this node.
    fn after_transfer(
        &mut self,
        sender: NodeId,
        epoch: Epoch,
        claimed: &SlotSet,
        taken: &Taken,
        (my_primary, same_shard): (NodeId, bool),
    ) {
        let shard_is_empty = self.nodes.get(my_primary).is_none_or(|node| node.slots.is_empty());
        let me = self.nodes.me();
        let empty_shard_taken_over = !taken.from_my_primary
            && me.primary() != Some(sender)
            && claimed.is_empty()
            && shard_is_empty
            && self.nodes.epoch_of(me.id) < epoch
            && same_shard;
        let replaced = taken.from_my_primary || empty_shard_taken_over;
        let may_follow = self.config.allow_replica_migration || same_shard;
        if replaced && shard_is_empty && may_follow {
            let name = self.name_of(sender);
            let text = format!(
                "Configuration change detected. Reconfiguring myself as a replica of node {name}"
            );
            self.log(LogLevel::Notice, text);
            self.become_replica_of(sender, !same_shard);
            // It votes in this node's place as soon as it knows that this node does not.
            self.broadcast_pong(|node| node.id == sender);
        } else if !taken.mine.is_empty() {
            self.out.push(Effect::DropKeys(Box::new(taken.mine.clone())));
        }
    }

    /// Tells a node whose claim is stale who owns the slot now.
    fn correct_stale_claim(&mut self, sender: NodeId, header: &Header) {
        let newer = self.nodes.iter().find(|node| {
            node.id != sender
                && node.config_epoch > header.config_epoch
                && !common(node.slots.set(), &header.slots).is_empty()
        });
        let Some(owner) = newer else { return };
        let body = Body::Update {
            node: owner.id,
            config_epoch: owner.config_epoch,
            slots: Box::new(minus(owner.slots.set(), &self.open.disowned)),
        };
        self.send_to(sender, body);
    }

    /// Two primaries with one config epoch: the one with the smaller name takes a new one.
    fn resolve_epoch_collision(&mut self, sender: NodeId, epoch: Epoch) {
        let me = self.nodes.me();
        let collides = self.nodes.get(sender).is_some_and(|node| node.is_primary())
            && me.is_primary()
            && epoch == me.config_epoch;
        if !collides || sender <= me.id {
            return;
        }
        let epoch = self.raise_own_epoch();
        let name = self.name_of(sender);
        let text = format!("configEpoch collision with node {name}. configEpoch set to {epoch}");
        self.log(LogLevel::Notice, text);
    }

    /// Takes a new epoch without asking the other nodes.
    pub(crate) fn raise_own_epoch(&mut self) -> Epoch {
        self.epochs.current = self.epochs.current.next();
        self.nodes.me_mut().config_epoch = self.epochs.current;
        self.changed_durably();
        self.epochs.current
    }

    /// Takes a new epoch unless this node has the highest already. True if it has taken one.
    pub(crate) fn bump_epoch(&mut self) -> bool {
        let highest = self.nodes.max_epoch().max(self.epochs.current);
        let mine = self.nodes.me().config_epoch;
        if mine != Epoch(0) && mine == highest || highest >= Epoch::HIGHEST {
            return false;
        }
        let epoch = self.raise_own_epoch();
        self.log(LogLevel::Notice, format!("New configEpoch set to {epoch}"));
        true
    }

    pub(crate) fn take_update(&mut self, owner: NodeId, epoch: Epoch, slots: &SlotSet) {
        if owner == self.id() {
            self.take_reminder(epoch, slots);
            return;
        }
        let Some(node) = self.nodes.get_mut(owner) else { return };
        if node.config_epoch >= epoch {
            return;
        }
        node.config_epoch = epoch;
        self.see_epoch(epoch);
        self.set_primary_role(owner);
        self.changed_durably();
        self.take_slots(owner, epoch, slots);
    }

    /// This node, which owns no slots (any more), replicates another from now on.
    pub(crate) fn become_replica_of(&mut self, primary: NodeId, close_open_slots: bool) {
        assert!(self.nodes.me().slots.is_empty(), "a replica owns no slots");
        assert_ne!(primary, self.id(), "a node does not replicate itself");
        if close_open_slots {
            self.open.migrating.clear();
            self.open.importing.clear();
        }
        self.nodes.me_mut().role = Role::Replica { of: Some(primary) };
        let shard = self.nodes.get(primary).map(|node| node.shard);
        let me = self.id();
        if let Some(shard) = shard {
            self.nodes.set_shard(me, shard);
        }
        if let Some(node) = self.nodes.get_mut(primary) {
            node.had_replicas = true;
        }
        self.reset_manual_failover();
        self.election = crate::election::Election::default();
        self.changed_durably();
    }

    /// Whether a slot belongs to this node.
    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.nodes.me().slots.contains(slot)
    }
}
