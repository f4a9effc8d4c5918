//! The place of a key: its slot, and its position in the slot's table.

use tessera_collections::hasher::{HashCode, hasher};
use tessera_slot::Slot;

/// A key's slot and hash, computed once per command. Valid for the [`crate::Keyspace`] that made
/// it.
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

/// The hash of a member of a collection, for
/// [`Keyspace::prefetch_value`](crate::Keyspace::prefetch_value).
#[derive(Clone, Copy, Debug)]
pub struct MemberHash(pub(crate) HashCode);

impl MemberHash {
    /// For commands that touch the value, and no certain member of it.
    pub const NONE: MemberHash = MemberHash(HashCode(0));

    /// The hash of a member, field or the like.
    #[inline]
    pub fn of(member: &[u8]) -> MemberHash {
        MemberHash(hasher().hash(member))
    }
}
