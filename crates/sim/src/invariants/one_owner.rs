//! No two primaries claim one slot in one config epoch, ever.

use std::collections::BTreeMap;
use tessera_cluster::Claims;
use tessera_slot::{Epoch, NodeId, SlotSet};

/// The claims: which node has claimed which slots in which epoch.
#[derive(Debug, Default)]
pub(crate) struct OneOwner {
    claimed: BTreeMap<Epoch, BTreeMap<NodeId, SlotSet>>,
}

impl OneOwner {
    pub(crate) fn check(&mut self, claims: &Claims<'_>, seed: u64) {
        if !claims.is_primary || claims.slots.is_empty() {
            return;
        }
        let in_epoch = self.claimed.entry(claims.config_epoch).or_default();
        if in_epoch.get(&claims.id) == Some(claims.slots) {
            return;
        }
        for (other, slots) in in_epoch.iter().filter(|(other, _)| **other != claims.id) {
            if let Some(slot) = claims.slots.iter().find(|slot| slots.contains(*slot)) {
                let (epoch, id) = (claims.config_epoch, claims.id);
                panic!("slot {slot} is claimed by {id} and {other} in epoch {epoch}, seed {seed}");
            }
        }
        in_epoch.insert(claims.id, claims.slots.clone());
    }
}
