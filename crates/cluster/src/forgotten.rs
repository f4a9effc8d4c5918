//! Nodes that were forgotten by command, and until when gossip may not bring them back.

use std::collections::BTreeMap;
use tessera_slot::{Millis, NodeId};

/// The forgotten nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forgotten {
    until: BTreeMap<NodeId, Millis>,
}

impl Forgotten {
    pub(crate) fn ban(&mut self, id: NodeId, until: Millis) {
        self.until.insert(id, until);
    }

    pub(crate) fn lift(&mut self, id: NodeId) {
        self.until.remove(&id);
    }

    pub(crate) fn clear(&mut self) {
        self.until.clear();
    }

    /// Drops those whose time is over.
    pub(crate) fn expire(&mut self, now: Millis) {
        self.until.retain(|_, until| *until > now);
    }

    /// Whether a node was forgotten, and its time was not over when this was last looked at.
    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.until.contains_key(&id)
    }

    pub(crate) fn is_banned(&self, id: NodeId, now: Millis) -> bool {
        self.until.get(&id).is_some_and(|until| *until > now)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, Millis)> {
        self.until.iter().map(|(id, until)| (*id, *until))
    }
}
