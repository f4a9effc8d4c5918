//! Nodes that are not proven: those in a handshake, and those of which another node has told but
//! which have not answered yet.
//!
//! Each process that reaches the bus can introduce any number of them. Each of them takes a
//! connection and a place in the table, so their number is limited, in all and from one source. A
//! node that is turned away is not lost: it introduces itself again, and gossip repeats itself.
//! Nodes that the operator asks for are not limited.

use crate::LinkId;
use crate::bus::PingKind;
use crate::core::Cluster;
use crate::node::{Node, Source};
use tessera_slot::NodeId;

/// Places for unproven nodes of the same kind: more than a cluster needs at a time, since an
/// acquaintance takes milliseconds.
const PLACES: usize = 64;
/// The number of places that one source may take.
const PLACES_OF_ONE: usize = 40;
/// How long a node that was met is waited for before it gets a second MEET, in milliseconds.
const FIRST_PAUSE: u64 = 1000;
/// The longest pause between two attempts to connect to an unproven node, in milliseconds.
const LONGEST_PAUSE: u64 = 2000;

impl Cluster {
    /// Whether one more node from this source can be taken in. A node that gossip has brought, and
    /// that has had its time without answering, goes for the new one.
    pub(crate) fn has_place(&mut self, source: Source) -> bool {
        let (now, patience) = (self.now.mono, self.handshake_timeout());
        let (mut all, mut of_one, mut stale) = (0, 0, None);
        for node in self.nodes.unproven() {
            let Some(other) = node.source.filter(|other| other.is_like(source)) else { continue };
            all += 1;
            of_one += usize::from(other == source);
            if !node.in_handshake() && now.since(node.created) > patience {
                stale = Some(node.id);
            }
        }
        if all < PLACES && of_one < PLACES_OF_ONE {
            return true;
        }
        let Some(stale) = stale else { return false };
        self.remove_node(stale);
        all <= PLACES && of_one <= PLACES_OF_ONE
    }

    /// How long to wait before the next attempt to connect to a node: the longer, the longer an
    /// unproven one has not been there.
    pub(crate) fn pause_before_retry(&self, node: &Node, shortest: u64) -> u64 {
        let age = self.now.mono.since(node.created);
        if node.is_unproven() { age.clamp(shortest, LONGEST_PAUSE) } else { shortest }
    }

    /// A node that this one has met, but that has not opened a link in return, has had no place for
    /// one more guest: it gets another MEET, later and later.
    pub(crate) fn introduce_again(&mut self, id: NodeId) {
        let (now, longest) = (self.now.mono, self.handshake_timeout());
        let Some(link) = self.link_to(id) else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        let pause = (now.since(node.created) / 2).clamp(FIRST_PAUSE, longest);
        if node.met_at.is_some_and(|at| now.since(at) >= pause) {
            node.met_at = Some(now);
            self.send_ping(link, PingKind::Meet);
        }
    }

    /// The address from which a link was opened.
    pub(crate) fn source_of(&self, link: LinkId) -> Option<Source> {
        self.links.get(&link).and_then(|known| known.peer).map(Source::Guest)
    }
}
