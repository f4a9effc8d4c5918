//! Nodes that are not proven: those in a handshake, and those of which another node has told but
//! which have not answered yet.
//!
//! Each process that reaches the bus can introduce any number of them. Each of them takes a
//! connection and a place in the table, so their number is limited, in all and from one source. A
//! node that is turned away is not lost: it introduces itself again, and gossip repeats itself.
//! Nodes that the operator asks for are not limited.

use crate::ClusterConfig;
use crate::node::{Address, Node, Source};
use crate::nodes::Nodes;
use tessera_slot::{Millis, NodeId};

/// Places for unproven nodes of the same kind: more than a cluster needs at a time, since an
/// acquaintance takes milliseconds.
const PLACES: usize = 64;
/// The number of places that one source may take.
const PLACES_OF_ONE: usize = 40;
/// How long a node that was met is waited for before it gets a second MEET, in milliseconds.
const FIRST_PAUSE: u64 = 1000;
/// The longest pause between two attempts to connect to an unproven node, in milliseconds.
const LONGEST_PAUSE: u64 = 2000;
/// A handshake is given up after the node timeout, but not before this, in ms.
const MIN_HANDSHAKE: u64 = 1000;

/// Whether one more unproven node can be taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) is_free: bool,
    /// The node that goes for the new one: gossip has brought it, and it has had its time without
    /// answering.
    pub(crate) stale: Option<NodeId>,
}

/// The place for one more node from this source, where an acquaintance may take so long.
pub(crate) fn place_for(nodes: &Nodes, source: Source, now: Millis, patience: u64) -> Place {
    let (mut all, mut of_one, mut stale) = (0, 0, None);
    for node in nodes.unproven() {
        let Some(other) = node.source.filter(|other| other.is_like(source)) else { continue };
        all += 1;
        of_one += usize::from(other == source);
        if !node.in_handshake() && now.since(node.created) > patience {
            stale = Some(node.id);
        }
    }
    if all < PLACES && of_one < PLACES_OF_ONE {
        return Place { is_free: true, stale: None };
    }
    let is_free = stale.is_some() && all <= PLACES && of_one <= PLACES_OF_ONE;
    Place { is_free, stale }
}

/// How long an acquaintance may take.
pub(crate) fn handshake_timeout(config: &ClusterConfig) -> u64 {
    config.node_timeout.max(MIN_HANDSHAKE)
}

/// Whether a node at this address is being met.
pub(crate) fn handshake_in_progress(nodes: &Nodes, address: &Address) -> bool {
    nodes.unproven().any(|node| {
        node.in_handshake()
            && node.address.ip == address.ip
            && node.address.bus_port == address.bus_port
    })
}

/// How long to wait before the next attempt to connect to a node: the longer, the longer an
/// unproven one has not been there.
pub(crate) fn pause_before_retry(node: &Node, now: Millis, shortest: u64) -> u64 {
    let age = now.since(node.created);
    if node.is_unproven() { age.clamp(shortest, LONGEST_PAUSE) } else { shortest }
}

/// Whether a node that this one has met, but that has not opened a link in return, is due for
/// another MEET: it has had no place for one more guest. It gets them later and later.
pub(crate) fn is_due_for_meet(node: &Node, now: Millis, longest: u64) -> bool {
    let pause = (now.since(node.created) / 2).clamp(FIRST_PAUSE, longest);
    node.met_at.is_some_and(|at| now.since(at) >= pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ShardId;

    fn told_by(sources: impl Iterator<Item = Source>) -> Nodes {
        let id = |number: usize| NodeId([number as u8; 20]);
        let mut nodes = Nodes::new(Node::new(id(0), ShardId(id(0)), Millis(0)));
        for (index, source) in sources.enumerate() {
            let mut node = Node::new(id(index + 1), ShardId(id(0)), Millis(index as u64));
            node.source = Some(source);
            nodes.insert(node);
        }
        nodes
    }

    #[test]
    fn one_source_does_not_take_all_places() {
        let (talker, other) =
            (Source::Gossip(NodeId([200; 20])), Source::Gossip(NodeId([201; 20])));
        let nodes = told_by((0..40).map(|_| talker));
        let patience = 1000;
        let place = |source, now| place_for(&nodes, source, Millis(now), patience);
        assert_eq!(place(talker, 500), Place { is_free: false, stale: None });
        assert_eq!(place(other, 500), Place { is_free: true, stale: None });
        assert_eq!(place(Source::Guest([127, 0, 0, 1].into()), 500).stale, None);
        // The last of those that have had their time goes.
        let stale = Some(NodeId([6; 20]));
        assert_eq!(place(talker, 1006), Place { is_free: true, stale });
    }

    #[test]
    fn all_sources_together_have_their_limit() {
        let source = |index: u8| Source::Gossip(NodeId([200 + index % 4; 20]));
        let nodes = told_by((0..64).map(source));
        let place = place_for(&nodes, Source::Gossip(NodeId([250; 20])), Millis(100), 1000);
        assert_eq!(place, Place { is_free: false, stale: None });
    }
}
