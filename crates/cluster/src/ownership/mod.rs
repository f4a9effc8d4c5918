//! Roles and slots as nodes claim them: the higher config epoch wins. What a claim means for the
//! rest of the node, and whom it must tell, is done by the caller, whom [`Outcome`]s say it.

mod slots;
#[cfg(test)]
mod tests;

use crate::bus::{Body, Header};
use crate::epochs::Epochs;
use crate::node::Role;
use crate::nodes::Nodes;
use crate::open_slots::OpenSlots;
use crate::slot_sets::minus;
use crate::surroundings::Surroundings;
use crate::{Effect, LogLevel};
use tessera_slot::{Epoch, NodeId, SlotSet};

/// What follows from a claim.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome {
    /// This node replicates another from now on: whatever it did in its former role is over.
    NowReplica,
    /// A node must hear at once what this one is now.
    Tell(NodeId),
    /// All nodes must.
    TellAll,
    /// A node's claim is stale, and it is to hear this UPDATE.
    Correct { node: NodeId, update: Body },
}

/// Changes the roles, the owners of slots, and the epochs by which they are claimed.
pub(crate) struct Ownership<'a> {
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) open: &'a mut OpenSlots,
    pub(crate) epochs: &'a mut Epochs,
    pub(crate) around: &'a mut Surroundings,
}

impl Ownership<'_> {
    /// Takes role and slots from a known node's ping.
    pub(crate) fn take_claims(&mut self, sender: NodeId, header: &Header) -> Vec<Outcome> {
        let Some(node) = self.nodes.get(sender) else { return Vec::new() };
        let was_replica = node.is_replica();
        match header.primary {
            None => self.make_primary(sender),
            Some(primary) => return self.take_replica_role(sender, primary, header.config_epoch),
        }
        let Some(node) = self.nodes.get(sender) else { return Vec::new() };
        let forgetful = header.config_epoch < node.config_epoch && !node.slots.is_empty();
        let mut outcomes = Vec::new();
        if was_replica || *node.slots.set() != header.slots {
            outcomes = self.take_slots(sender, header.config_epoch, &header.slots);
            outcomes.extend(self.correct_stale_claim(sender, header));
        }
        if forgetful {
            outcomes.extend(self.remind(sender));
        }
        outcomes
    }

    fn take_replica_role(&mut self, sender: NodeId, claimed: NodeId, epoch: Epoch) -> Vec<Outcome> {
        let known_primary = self.nodes.get(claimed).map(|node| node.id).filter(|id| *id != sender);
        let Some(node) = self.nodes.get(sender) else { return Vec::new() };
        // A node that has not told its role yet may have been given slots by a command.
        if !node.is_replica() {
            match known_primary.filter(|primary| self.nodes.same_shard(*primary, sender)) {
                Some(_) if node.config_epoch > epoch && !node.slots.is_empty() => {
                    return self.remind(sender).into_iter().collect();
                }
                Some(primary) if primary != self.nodes.my_id() => {
                    self.follow_failover(sender, primary, epoch);
                }
                _ => {}
            }
            self.release_all_slots(sender);
            self.around.changed();
        }
        let new_role = Role::Replica { of: known_primary };
        let Some(node) = self.nodes.get_mut(sender) else { return Vec::new() };
        let keeps = matches!(node.role, Role::Replica { of: Some(_) }) && known_primary.is_none();
        if node.role == new_role || keeps {
            return Vec::new();
        }
        node.role = new_role;
        self.around.changed();
        let joined = known_primary.and_then(|primary| self.joined_shard(sender, primary));
        joined.into_iter().collect()
    }

    /// A primary speaks by a view older than its own claim: the message was overtaken, or the node
    /// came back with an old disk. It is told what it owns.
    fn remind(&mut self, id: NodeId) -> Option<Outcome> {
        let name = self.nodes.name_of(id);
        self.around.log(LogLevel::Verbose, format!("Ignore stale message from {name}"));
        let node = self.nodes.get(id)?;
        let slots = Box::new(node.slots.set().clone());
        let update = Body::Update { node: id, config_epoch: node.config_epoch, slots };
        Some(Outcome::Correct { node: id, update })
    }

    /// UPDATE has arrived: a node's claim, by the word of another.
    pub(crate) fn take_update(
        &mut self,
        owner: NodeId,
        epoch: Epoch,
        slots: &SlotSet,
    ) -> Vec<Outcome> {
        if owner == self.nodes.my_id() {
            return self.take_reminder(epoch, slots).into_iter().collect();
        }
        let Some(node) = self.nodes.get_mut(owner) else { return Vec::new() };
        if node.config_epoch >= epoch {
            return Vec::new();
        }
        node.config_epoch = epoch;
        self.epochs.see(epoch, self.around);
        self.make_primary(owner);
        self.around.changed_durably();
        self.take_slots(owner, epoch, slots)
    }

    /// The others hold this node for the owner of slots by a claim that it does not remember. Where
    /// no node has a newer claim, it takes its place again; otherwise the slots would stay without
    /// service.
    fn take_reminder(&mut self, epoch: Epoch, slots: &SlotSet) -> Option<Outcome> {
        if self.nodes.me().config_epoch >= epoch {
            return None;
        }
        let newer = self.nodes.others().filter(|node| node.config_epoch >= epoch);
        let taken = newer.fold(slots.clone(), |left, node| minus(&left, node.slots.set()));
        if taken.is_empty() {
            return None;
        }
        let me = self.nodes.my_id();
        let text = format!("I own slots by a forgotten claim of epoch {epoch}");
        self.around.log(LogLevel::Warning, text);
        self.make_primary(me);
        self.nodes.me_mut().config_epoch = epoch;
        self.epochs.see(epoch, self.around);
        self.nodes.assign(&taken, Some(me));
        self.around.changed_durably();
        Some(Outcome::TellAll)
    }

    /// A node is a primary from now on. Its slots do not change.
    fn make_primary(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id).filter(|node| !node.is_primary()) else { return };
        node.had_replicas |= node.primary().is_some();
        node.role = Role::Primary;
        self.around.changed();
    }

    /// A primary of a shard says that another node has taken over from it: with its role go its
    /// slots, so that they are not without owner until the new primary is heard.
    fn follow_failover(&mut self, former: NodeId, primary: NodeId, epoch: Epoch) {
        self.make_primary(primary);
        if let Some(slots) = self.nodes.get(former).map(|node| node.slots.set().clone()) {
            self.nodes.assign(&slots, Some(primary));
        }
        self.epochs.see(epoch, self.around);
        if let Some(node) = self.nodes.get_mut(primary)
            && epoch > node.config_epoch
        {
            node.config_epoch = epoch;
            self.around.changed_durably();
        }
    }

    fn joined_shard(&mut self, replica: NodeId, primary: NodeId) -> Option<Outcome> {
        let (name, of) = (self.nodes.name_of(replica), self.nodes.name_of(primary));
        self.around.log(LogLevel::Notice, format!("Node {name} is now a replica of node {of}"));
        if let Some(node) = self.nodes.get_mut(primary) {
            node.had_replicas = true;
        }
        if let Some(shard) = self.nodes.get(primary).map(|node| node.shard) {
            self.nodes.set_shard(replica, shard);
        }
        self.leave_replica_chain()
    }

    /// A replica of a replica follows that one's primary instead.
    fn leave_replica_chain(&mut self) -> Option<Outcome> {
        let my_primary = self.nodes.me().primary();
        let above = my_primary.and_then(|id| self.nodes.get(id)).and_then(|node| node.primary());
        let above = above.filter(|above| *above != self.nodes.my_id())?;
        let name = self.nodes.name_of(above);
        let text = format!("I'm a sub-replica! Reconfiguring myself as a replica of {name}");
        self.around.log(LogLevel::Notice, text);
        Some(self.replicate(above, true))
    }

    /// This node, which owns no slots (any more), replicates another from now on.
    pub(crate) fn replicate(&mut self, primary: NodeId, close_open_slots: bool) -> Outcome {
        let me = self.nodes.my_id();
        assert!(self.nodes.me().slots.is_empty(), "a replica owns no slots");
        assert_ne!(primary, me, "a node does not replicate itself");
        if close_open_slots {
            self.open.end_all();
        }
        self.nodes.me_mut().role = Role::Replica { of: Some(primary) };
        if let Some(shard) = self.nodes.get(primary).map(|node| node.shard) {
            self.nodes.set_shard(me, shard);
        }
        if let Some(node) = self.nodes.get_mut(primary) {
            node.had_replicas = true;
        }
        self.around.changed_durably();
        Outcome::NowReplica
    }

    /// This replica takes role and slots of its primary, whose name is given, as it has been
    /// elected in this epoch, or ordered to.
    pub(crate) fn replace_primary(&mut self, elected_in: Option<Epoch>) -> Option<NodeId> {
        let me = self.nodes.me_mut();
        if let Some(epoch) = elected_in.filter(|epoch| me.config_epoch < *epoch) {
            me.config_epoch = epoch;
            let text = format!("configEpoch set to {epoch} after successful failover");
            self.around.log(LogLevel::Notice, text);
        }
        let (me, former) = (self.nodes.my_id(), self.nodes.me().primary()?);
        let slots = self.nodes.get(former)?.slots.set().clone();
        self.make_primary(me);
        self.nodes.assign(&slots, Some(me));
        self.around.changed_durably();
        Some(former)
    }

    /// Two primaries with one config epoch: the one with the smaller name takes a new one.
    pub(crate) fn resolve_epoch_collision(&mut self, sender: NodeId, epoch: Epoch) {
        let me = self.nodes.me();
        let collides = self.nodes.get(sender).is_some_and(|node| node.is_primary())
            && me.is_primary()
            && epoch == me.config_epoch;
        if !collides || sender <= me.id {
            return;
        }
        let epoch = self.raise_own_epoch();
        let name = self.nodes.name_of(sender);
        let text = format!("configEpoch collision with node {name}. configEpoch set to {epoch}");
        self.around.log(LogLevel::Notice, text);
    }

    /// Takes a new epoch without asking the other nodes.
    fn raise_own_epoch(&mut self) -> Epoch {
        let epoch = self.epochs.advance();
        self.nodes.me_mut().config_epoch = epoch;
        self.around.changed_durably();
        epoch
    }

    /// Takes a new epoch unless this node has the highest already. True if it has taken one.
    pub(crate) fn bump_epoch(&mut self) -> bool {
        let highest = self.nodes.max_epoch().max(self.epochs.current());
        let mine = self.nodes.me().config_epoch;
        if mine != Epoch(0) && mine == highest || highest >= Epoch::HIGHEST {
            return false;
        }
        let epoch = self.raise_own_epoch();
        self.around.log(LogLevel::Notice, format!("New configEpoch set to {epoch}"));
        true
    }

    /// Takes the config epoch that an operator has chosen.
    pub(crate) fn set_epoch(&mut self, epoch: Epoch) {
        self.nodes.me_mut().config_epoch = epoch;
        self.epochs.see(epoch, self.around);
        let text = format!("configEpoch set to {epoch} via CLUSTER SET-CONFIG-EPOCH");
        self.around.log(LogLevel::Notice, text);
        self.around.changed_durably();
    }

    /// Gives up the role, all slots and their moves (CLUSTER RESET). The keys of a replica go too.
    pub(crate) fn reset(&mut self) {
        let me = self.nodes.me_mut();
        me.had_replicas = false;
        if me.is_replica() {
            me.role = Role::Primary;
            self.around.push(Effect::DropAllKeys);
        }
        *self.open = OpenSlots::default();
        self.nodes.assign(&SlotSet::FULL, None);
    }

    /// Begins again as a node that has heard of no epoch.
    pub(crate) fn reset_epochs(&mut self) {
        self.epochs.reset();
        self.nodes.me_mut().config_epoch = Epoch(0);
    }

    /// The config epoch that a node's header tells, and the current one.
    pub(crate) fn take_epochs(&mut self, sender: NodeId, header: &Header) {
        let Some(node) = self.nodes.get_mut(sender) else { return };
        let is_claim = header.primary.is_none() && header.config_epoch > node.config_epoch;
        if is_claim {
            node.config_epoch = header.config_epoch;
        }
        self.epochs.see(header.current_epoch.max(header.config_epoch), self.around);
        if is_claim {
            self.around.changed_durably();
        }
    }
}
