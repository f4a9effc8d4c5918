//! A node votes at most once in an epoch, whatever happens to its process.

use super::TYPE;
use std::collections::BTreeSet;
use tessera_cluster::bus::{self, Body, MessageType, Packet};
use tessera_slot::{Epoch, NodeId};

/// The votes that have left a node.
#[derive(Debug, Default)]
pub(crate) struct OneVote {
    cast: BTreeSet<(NodeId, Epoch)>,
    excused: BTreeSet<NodeId>,
}

impl OneVote {
    pub(crate) fn excuse(&mut self, node: NodeId) {
        self.excused.insert(node);
    }

    pub(crate) fn sent(&mut self, bytes: &[u8], seed: u64) {
        if bytes[TYPE] != (MessageType::AuthAck as u16).to_be_bytes() {
            return;
        }
        let Ok(Packet::Full(header, Body::AuthAck)) = bus::decode(bytes) else {
            panic!("a vote that cannot be decoded, seed {seed}");
        };
        let (voter, epoch) = (header.sender, header.current_epoch);
        let first = self.cast.insert((voter, epoch)) || self.excused.contains(&voter);
        assert!(first, "{voter} votes twice in {epoch}, seed {seed}");
    }
}
