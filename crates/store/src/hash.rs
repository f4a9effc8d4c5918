//! Where a key belongs: its slot and its place in the slot's table.

use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hasher};
use tessera_slot::Slot;

/// A key's slot and hash, computed once per command. Valid for the [`crate::Keyspace`] that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    pub(crate) slot: Slot,
    pub(crate) hash: u64,
}

impl KeyHash {
    /// The slot that holds the key.
    #[inline]
    pub fn slot(self) -> Slot {
        self.slot
    }

    /// The fingerprint kept beside an entry's pointer: bits 48–63.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.hash >> 48) as u16
    }

    /// The bits which choose the bucket, lowest first. The first eight are also in the tag, so that
    /// splitting a bucket of a small table never needs to read the keys; the other eight bits of the tag
    /// tell the keys of a bucket apart. Bits 32–45 choose the slot outside cluster mode, and are not used.
    #[inline]
    pub(crate) fn index_bits(self) -> u64 {
        (self.hash >> 48) & 0xff | (self.hash & 0xffff_ffff) << TAG_INDEX_BITS
    }
}

/// How many of the index bits can be read off the tag.
pub(crate) const TAG_INDEX_BITS: u32 = 8;

/// The keyed hash function of this process.
pub(crate) struct KeyHasher(FixedState);

impl KeyHasher {
    pub(crate) fn new(seed: u64) -> KeyHasher {
        KeyHasher(FixedState::with_seed(seed))
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
