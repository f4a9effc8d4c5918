//! Nodes and surroundings for the tests beside the handlers.

use crate::bus::{Header, MessageFlags, NodeFlags};
use crate::epochs::Epochs;
use crate::node::{Health, Node, Role, ShardId};
use crate::nodes::Nodes;
use crate::rng::Rng;
use crate::surroundings::Surroundings;
use crate::{ClusterConfig, Effect, Now};
use std::ops::RangeInclusive;
use tessera_slot::{Epoch, Millis, NodeId, Offset, Slot, SlotSet};

/// The time at which tests begin.
pub(crate) const START: u64 = 50_000;
pub(crate) const TIMEOUT: u64 = 2000;

pub(crate) fn id(byte: u8) -> NodeId {
    NodeId([byte; 20])
}

pub(crate) fn slots(range: RangeInclusive<u16>) -> SlotSet {
    range.map(Slot::from_low_bits).collect()
}

pub(crate) fn config() -> ClusterConfig {
    ClusterConfig { node_timeout: TIMEOUT, ..ClusterConfig::default() }
}

pub(crate) fn around() -> Surroundings {
    around_with(config())
}

pub(crate) fn around_with(config: ClusterConfig) -> Surroundings {
    Surroundings::new(config, at(START), Rng::new(1))
}

fn at(mono: u64) -> Now {
    Now { mono: Millis(mono), unix: Millis(1_700_000_000_000 + mono) }
}

/// Lets time pass, in milliseconds.
pub(crate) fn pass(around: &mut Surroundings, millis: u64) {
    let now = around.now().0 + millis;
    around.set_now(at(now));
}

/// The effects since the last call, log lines left out, and whether nodes.conf must be on disk
/// before them.
pub(crate) fn effects(around: &mut Surroundings) -> (Vec<Effect>, bool) {
    let is_durable = around.take_save() == Some(crate::outbox::Save::Durable);
    around.close_batch(None);
    let then = around.next_batch().map(|batch| batch.then).unwrap_or_default();
    let is_log = |effect: &Effect| matches!(effect, Effect::Log { .. });
    (then.into_iter().filter(|effect| !is_log(effect)).collect(), is_durable)
}

/// The slots of primaries 1 to 3.
pub(crate) const SLOTS: [RangeInclusive<u16>; 3] = [0..=5460, 5461..=10_922, 10_923..=16_383];

/// Primaries 1 to 3 with config epochs 1 to 3, replicas 4 and 5 of primary 1. This node is `me`.
pub(crate) fn three_shards(me: u8) -> Nodes {
    let mut all: Vec<Node> = (1..=5).map(member).collect();
    let me = all.remove(usize::from(me) - 1);
    let mut nodes = Nodes::new(me);
    all.into_iter().for_each(|node| nodes.insert(node));
    nodes
}

fn member(byte: u8) -> Node {
    let shard = if byte > 3 { 1 } else { byte };
    let mut node = Node::new(id(byte), ShardId(id(0xA0 + shard)), Millis(0));
    if byte > 3 {
        node.role = Role::Replica { of: Some(id(1)) };
    } else {
        node.role = Role::Primary;
        node.had_replicas = byte == 1;
        node.config_epoch = Epoch(u64::from(byte));
        node.slots.replace(slots(SLOTS[usize::from(byte) - 1].clone()));
    }
    node
}

/// The epochs of a node that has seen epoch 5.
pub(crate) fn epochs() -> Epochs {
    Epochs::new(Millis(START), Epoch(5), Epoch(0))
}

/// A node has failed, at the present.
pub(crate) fn fail(nodes: &mut Nodes, byte: u8, around: &Surroundings) {
    node(nodes, byte).health = Health::Failed { since: around.now(), gone: false };
}

/// A node is heard now, with so much data.
pub(crate) fn hear(nodes: &mut Nodes, byte: u8, offset: u64, around: &Surroundings) {
    let node = node(nodes, byte);
    node.offset = Offset(offset);
    node.heard(around.now());
}

pub(crate) fn node(nodes: &mut Nodes, byte: u8) -> &mut Node {
    nodes.get_mut(id(byte)).expect("it is in the table")
}

/// A header of a node, as this table has it.
pub(crate) fn header(nodes: &Nodes, byte: u8) -> Header {
    let node = nodes.get(id(byte)).expect("it is in the table");
    let speaks_for = node.primary().and_then(|id| nodes.get(id)).unwrap_or(node);
    Header {
        sender: node.id,
        current_epoch: Epoch(5),
        config_epoch: speaks_for.config_epoch,
        offset: node.offset,
        slots: speaks_for.slots.set().clone(),
        primary: node.primary(),
        ip: None,
        port: 7000,
        secondary_port: 0,
        bus_port: 17_000,
        flags: NodeFlags::default(),
        cluster_ok: true,
        message_flags: MessageFlags::default(),
    }
}
