//! What a node's data is, as one number.
//!
//! The number is kept up to date key by key: after a write the written key is looked at again. It
//! is made anew from the whole keyspace after a load, and when nodes are compared at the end.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tessera_slot::Slot;
use tessera_store::{Keyspace, StringRef};

/// The value of a key, if it has one and that is a string.
pub(crate) fn value_of(keyspace: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    let place = keyspace.locate(key);
    let mut world = keyspace.enter(0);
    let guard = world.lock(place.slot());
    let entry = guard.entry(0, key, place)?;
    Some(match entry.string()? {
        StringRef::Integer(number) => number.to_string().into_bytes(),
        StringRef::Bytes(bytes) => bytes.to_vec(),
    })
}

/// The sum over all keys of a hash of key and value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Digest {
    keys: BTreeMap<Vec<u8>, u64>,
    sum: u64,
}

impl Digest {
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// A key may have changed.
    pub(crate) fn look_at(&mut self, keyspace: &Keyspace, key: &[u8]) {
        let present = value_of(keyspace, key).map(|value| hash_of(key, &value));
        let before = match present {
            Some(hash) => self.keys.insert(key.to_vec(), hash),
            None => self.keys.remove(key),
        };
        self.sum ^= before.unwrap_or(0) ^ present.unwrap_or(0);
    }

    /// Looks at everything anew.
    pub(crate) fn compute(&mut self, keyspace: &Keyspace) {
        let mut keys = Vec::new();
        for slot in Slot::all().filter(|slot| keyspace.peek_len(*slot) > 0) {
            keyspace.enter(0).lock(slot).keys(0, usize::MAX, |key| keys.push(key.to_vec()));
        }
        *self = Digest::default();
        keys.iter().for_each(|key| self.look_at(keyspace, key));
    }
}

fn hash_of(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish() | 1
}
