//! Where a key belongs: its slot and its place in the slot's table.

use tessera_collections::hasher::HashCode;
use tessera_slot::Slot;

/// A key's slot and hash, computed once per command. Valid for the [`crate::Keyspace`] that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    pub(crate) slot: Slot,
    pub(crate) code: HashCode,
}

impl KeyHash {
    /// The slot that holds the key.
    #[inline]
    pub fn slot(self) -> Slot {
        self.slot
    }
}
