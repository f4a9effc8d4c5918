//! Who owns a slot after two have claimed it, who gives way, and who is told.

use super::*;
use crate::ClusterConfig;
use crate::testing::three_shards;
use crate::testing::{
    SLOTS, around, around_with, config, effects, epochs, header, id, node, slots,
};
use tessera_slot::Slot;

struct Owner {
    nodes: Nodes,
    open: OpenSlots,
    epochs: Epochs,
    around: Surroundings,
}

impl Owner {
    fn new(me: u8) -> Owner {
        let (open, around) = (OpenSlots::default(), around());
        Owner { nodes: three_shards(me), open, epochs: epochs(), around }
    }

    fn borrow(&mut self) -> Ownership<'_> {
        Ownership {
            nodes: &mut self.nodes,
            open: &mut self.open,
            epochs: &mut self.epochs,
            around: &mut self.around,
        }
    }

    /// A primary claims slots by a config epoch, as its header says it.
    fn claim(&mut self, byte: u8, epoch: u64, slots: SlotSet) -> Vec<Outcome> {
        let mut header = header(&self.nodes, byte);
        (header.config_epoch, header.slots, header.primary) = (Epoch(epoch), slots, None);
        self.take(&header)
    }

    fn take(&mut self, header: &Header) -> Vec<Outcome> {
        self.borrow().take_epochs(header.sender, header);
        self.borrow().take_claims(header.sender, header)
    }

    fn owner(&self, slot: u16) -> Option<NodeId> {
        let slot = Slot::from_low_bits(slot);
        self.nodes.iter().find(|node| node.slots.contains(slot)).map(|node| node.id)
    }
}

fn update(of: u8, epoch: u64, slots: SlotSet) -> Body {
    Body::Update { node: id(of), config_epoch: Epoch(epoch), slots: Box::new(slots) }
}

fn with(set: &SlotSet, slot: u16) -> SlotSet {
    let mut set = set.clone();
    set.insert(Slot::from_low_bits(slot));
    set
}

fn without(set: &SlotSet, slot: u16) -> SlotSet {
    minus(set, &slots(slot..=slot))
}

#[test]
fn the_higher_config_epoch_has_the_slot() {
    // Slot 0 is node 1's, by epoch 1. Node 3 claims it too, by this epoch.
    for (epoch, owner) in [(9, 3), (2, 3), (1, 1), (0, 1)] {
        let mut third = Owner::new(2);
        node(&mut third.nodes, 3).config_epoch = Epoch(0);
        let claimed = with(&slots(SLOTS[2].clone()), 0);
        third.claim(3, epoch, claimed);
        assert_eq!(third.owner(0), Some(id(owner)), "epoch {epoch}");
        assert_eq!(third.owner(10_923), Some(id(3)), "what is its own stays its own");
    }
}

#[test]
fn a_slot_without_owner_goes_to_whoever_claims_it() {
    let mut third = Owner::new(2);
    third.borrow().delete_slots(&slots(0..=0));
    assert_eq!(third.owner(0), None);
    effects(&mut third.around);
    third.claim(3, 3, with(&slots(SLOTS[2].clone()), 0));
    assert_eq!(third.owner(0), Some(id(3)));
    assert!(effects(&mut third.around).1, "owners are on disk before others hear of it");
}

#[test]
fn a_stale_claim_is_corrected() {
    let mut third = Owner::new(2);
    let outcomes = third.claim(1, 1, with(&slots(SLOTS[0].clone()), 10_923));
    let correct = Outcome::Correct { node: id(1), update: update(3, 3, slots(SLOTS[2].clone())) };
    assert_eq!(outcomes, [correct]);

    // An owner that no longer claims the slot does not speak for it.
    third.claim(3, 3, without(&slots(SLOTS[2].clone()), 16_383));
    let outcomes = third.claim(1, 1, with(&slots(SLOTS[0].clone()), 10_923));
    let claimed = without(&slots(SLOTS[2].clone()), 16_383);
    let correct = Outcome::Correct { node: id(1), update: update(3, 3, claimed) };
    assert_eq!(outcomes, [correct]);
}

#[test]
fn a_primary_that_has_forgotten_its_claim_is_reminded() {
    let mut third = Owner::new(2);
    let outcomes = third.claim(3, 2, slots(SLOTS[2].clone()));
    let remind = Outcome::Correct { node: id(3), update: update(3, 3, slots(SLOTS[2].clone())) };
    assert_eq!(outcomes, [remind]);
}

#[test]
fn a_reminder_is_believed_where_nobody_has_a_newer_claim() {
    let mut loser = Owner::new(1);
    loser.borrow().delete_slots(&slots(0..=5460));
    loser.nodes.assign(&slots(5461..=5461), Some(id(1)));
    loser.nodes.assign(&slots(3..=3), Some(id(3)));
    node(&mut loser.nodes, 3).config_epoch = Epoch(8);
    assert_eq!(loser.borrow().take_update(id(1), Epoch(7), &slots(0..=9)), [Outcome::TellAll]);
    assert_eq!((loser.owner(0), loser.owner(3)), (Some(id(1)), Some(id(3))));
    assert_eq!(loser.nodes.me().config_epoch, Epoch(7));
    assert_eq!(loser.epochs.current(), Epoch(7));
    assert_eq!(loser.borrow().take_update(id(1), Epoch(7), &slots(0..=9)), [], "it is known now");
}

#[test]
fn a_primary_that_has_lost_its_last_slot_follows_the_winner() {
    let mut loser = Owner::new(1);
    let outcomes = loser.claim(4, 9, slots(SLOTS[0].clone()));
    assert_eq!(outcomes, [Outcome::NowReplica, Outcome::Tell(id(4))]);
    assert!(loser.nodes.me().is_replica_of(id(4)));
    let (effects, is_durable) = effects(&mut loser.around);
    assert!(effects.is_empty(), "its keys are its new primary's: {effects:?}");
    assert!(is_durable);
}

#[test]
fn a_primary_that_has_lost_a_slot_drops_the_keys() {
    let mut loser = Owner::new(1);
    assert_eq!(loser.claim(3, 9, with(&slots(SLOTS[2].clone()), 7)), []);
    let dropped = vec![Effect::DropKeys(Box::new(slots(7..=7)))];
    assert_eq!(effects(&mut loser.around).0, dropped);
    assert_eq!(loser.nodes.me().slots.len(), 5460);
}

#[test]
fn a_primary_without_slots_follows_a_newer_one_of_its_shard() {
    for (epoch, follows) in [(9, true), (1, false)] {
        let mut empty = Owner::new(1);
        empty.borrow().flush_slots();
        let outcomes = empty.claim(4, epoch, SlotSet::EMPTY);
        assert_eq!(outcomes.contains(&Outcome::NowReplica), follows, "epoch {epoch}");
    }
    let mut serving = Owner::new(1);
    assert_eq!(serving.claim(4, 9, SlotSet::EMPTY), [], "one with slots does not");
}

#[test]
fn a_primary_follows_into_another_shard_only_where_replicas_migrate() {
    for allow_replica_migration in [true, false] {
        let mut loser = Owner::new(1);
        loser.around = around_with(ClusterConfig { allow_replica_migration, ..config() });
        let outcomes = loser.claim(3, 9, SlotSet::FULL);
        assert_eq!(!outcomes.is_empty(), allow_replica_migration);
        assert_eq!(loser.nodes.me().is_replica_of(id(3)), allow_replica_migration);
        let shard = node(&mut loser.nodes, 3).shard;
        assert_eq!(loser.nodes.me().shard == shard, allow_replica_migration);
    }
}

#[test]
fn a_primary_that_has_become_a_replica_hands_its_slots_on() {
    let mut third = Owner::new(2);
    let mut header = header(&third.nodes, 1);
    (header.primary, header.config_epoch) = (Some(id(4)), Epoch(9));
    assert_eq!(third.take(&header), []);
    assert_eq!(third.owner(0), Some(id(4)), "to the primary that it follows");
    assert_eq!(node(&mut third.nodes, 4).config_epoch, Epoch(9));
    assert!(node(&mut third.nodes, 1).is_replica_of(id(4)));

    // A message that was overtaken does not demote it.
    let mut third = Owner::new(2);
    node(&mut third.nodes, 1).config_epoch = Epoch(10);
    let remind = Outcome::Correct { node: id(1), update: update(1, 10, slots(SLOTS[0].clone())) };
    assert_eq!(third.take(&header), [remind]);
    assert!(node(&mut third.nodes, 1).is_primary());
}

#[test]
fn a_replica_of_a_replica_moves_up() {
    let mut replica = Owner::new(5);
    let mut header = header(&replica.nodes, 1);
    (header.primary, header.config_epoch) = (Some(id(4)), Epoch(9));
    assert_eq!(replica.take(&header), [Outcome::NowReplica]);
    assert!(replica.nodes.me().is_replica_of(id(4)));
}

#[test]
fn an_elected_replica_takes_role_slots_and_epoch() {
    let mut replica = Owner::new(4);
    assert_eq!(replica.borrow().replace_primary(Some(Epoch(6))), Some(id(1)));
    let me = replica.nodes.me();
    assert!(me.is_primary());
    assert_eq!((me.config_epoch, me.slots.len()), (Epoch(6), 5461));
    assert!(effects(&mut replica.around).1);
    assert_eq!(replica.borrow().replace_primary(None), None, "it has no primary any more");
}

#[test]
fn of_two_with_one_epoch_the_smaller_name_takes_another() {
    for (me, taken) in [(1, Epoch(6)), (3, Epoch(4))] {
        let mut owner = Owner::new(me);
        owner.nodes.me_mut().config_epoch = Epoch(4);
        owner.borrow().resolve_epoch_collision(id(2), Epoch(4));
        assert_eq!(owner.nodes.me().config_epoch, taken, "node {me}");
    }
}

#[test]
fn an_epoch_is_bumped_unless_it_is_the_highest() {
    let mut owner = Owner::new(2);
    assert!(owner.borrow().bump_epoch());
    assert_eq!(owner.nodes.me().config_epoch, Epoch(6));
    assert!(!owner.borrow().bump_epoch(), "it has the highest");
    owner.epochs.see(Epoch::HIGHEST, &mut owner.around);
    assert!(!owner.borrow().bump_epoch(), "there is none beyond");
}

#[test]
fn moves_of_a_slot_end_or_follow_when_it_changes_hands() {
    let slot = Slot::from_low_bits;
    let mut owner = Owner::new(3);
    owner.open.migrate(slot(16_000), id(1));
    owner.open.migrate(slot(16_001), id(2));
    owner.open.import(slot(0), id(1));
    owner.open.import(slot(1), id(2));
    // Node 4 takes over from node 1: what moves to and from that one moves to and from it now.
    owner.claim(4, 9, slots(SLOTS[0].clone()));
    let migrating = [(slot(16_000), id(4)), (slot(16_001), id(2))];
    assert_eq!(owner.open.migrating().clone(), migrating.into());
    assert_eq!(owner.open.importing().clone(), [(slot(0), id(4))].into());
    // Node 2 takes a slot that was on its way.
    owner.claim(2, 10, with(&slots(SLOTS[1].clone()), 16_001));
    assert_eq!(owner.open.migrating().clone(), [(slot(16_000), id(4))].into());
}
