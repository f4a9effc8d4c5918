//! The keyed hash that tables place their items by.

use foldhash::quality::FixedState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

/// The hash of a key, good for tables which use the same [`KeyHasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCode(pub u64);

/// How many of the index bits can be read off the tag.
pub(crate) const TAG_INDEX_BITS: u32 = 8;

impl HashCode {
    /// The fingerprint kept beside an item's pointer: bits 48–63.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The bits which choose the bucket, lowest first. The first eight are also in the tag, so that
    /// splitting a bucket of a small table never needs to read the keys; the other eight bits of
    /// the tag tell the keys of a bucket apart. Bits 32–47 are left to others (the keyspace chooses
    /// slots by them).
    #[inline]
    pub(crate) fn index_bits(self) -> u64 {
        (self.0 >> 48) & 0xff | (self.0 & 0xffff_ffff) << TAG_INDEX_BITS
    }
}

/// A keyed hash function.
pub struct KeyHasher(FixedState);

impl KeyHasher {
    /// The function that this secret seed chooses.
    pub fn new(seed: u64) -> KeyHasher {
        KeyHasher(FixedState::with_seed(seed))
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> HashCode {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        HashCode(hasher.finish())
    }
}

/// For collections of the standard library, whose members come from outside too.
impl BuildHasher for &KeyHasher {
    type Hasher = <FixedState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

static OF_COLLECTIONS: OnceLock<KeyHasher> = OnceLock::new();

/// Chooses the hash function of all hashes, sets and sorted sets of the process; only the first
/// call, before the first of them is made, has an effect. Without it the seed is a constant: then a
/// sender of chosen keys can make tables slow.
pub fn seed(seed: u64) {
    OF_COLLECTIONS.get_or_init(|| KeyHasher::new(seed));
}

/// The hash function of all hashes, sets and sorted sets of the process.
#[inline]
pub fn hasher() -> &'static KeyHasher {
    OF_COLLECTIONS.get_or_init(|| KeyHasher::new(0x7E55_E7A0))
}
