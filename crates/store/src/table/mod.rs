//! The table of one (database, slot): a linear hash table of cache-line buckets.
//!
//! A bucket is eight words of 64 bits. A word is an entry's pointer (48 bits, of which the lowest
//! tells that the word links to an overflow bucket, and the next that the entry has an expiry) under the
//! 16-bit tag of its key's hash. A full bucket's last word may link to an overflow bucket.
//!
//! A table of `n` buckets, 2^L <= n < 2^(L+1), places a key by the low L+1 bits of its hash, or by L bits where
//! that bucket does not exist yet. It grows by one bucket: bucket n takes from bucket n - 2^L the entries whose bit L
//! is set. It shrinks the same way backwards. So no step ever moves more than the entries of one bucket, however
//! large the table is, and a scan in reverse-binary order meets every entry that stays (`scan.rs`).
//!
//! Up to [`SEGMENT`] buckets stand in one array, which is reallocated in steps of at most a quarter; from then on
//! segments of that many buckets hang off a directory.

mod bucket;
mod buckets;

pub use bucket::EntryRef;
pub(crate) use bucket::{EntryMut, Word};
use buckets::Buckets;

use crate::entry::Entry;
use crate::hash::{KeyHash, KeyHasher, TAG_INDEX_BITS};
use bucket::Bucket;

/// Buckets in a segment: 64 KiB.
pub(crate) const SEGMENT: usize = 1024;
/// Grow when there are more entries than this for every eight buckets: 7 a bucket.
const GROW_PER_EIGHT: usize = 56;
/// Shrink when there are fewer: 2.5 a bucket.
const SHRINK_PER_EIGHT: usize = 20;

/// The table of one database's keys in one slot.
#[derive(Default)]
pub(crate) struct Table {
    buckets: Buckets,
    len: u32,
    expiring: u32,
}

/// The place of a word, good until the table is changed.
#[derive(Clone, Copy)]
pub(crate) struct Place(*mut Word);

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many entries have an expiry.
    pub(crate) fn expiring(&self) -> usize {
        self.expiring as usize
    }

    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// The array of buckets while it is one array, for prefetching.
    pub(crate) fn array(&self) -> *const u8 {
        self.buckets.array()
    }

    /// Bytes of memory of the buckets, without overflow buckets.
    pub(crate) fn memory(&self) -> usize {
        self.buckets.memory()
    }

    /// The bucket that holds, or would hold, a key with these index bits.
    #[inline]
    pub(crate) fn bucket_of(count: usize, index_bits: u64) -> usize {
        debug_assert!(count > 0);
        let mask = count.next_power_of_two() - 1;
        let index = index_bits as usize & mask;
        if index < count { index } else { index & (mask >> 1) }
    }

    /// How many low hash bits all keys of this bucket have in common.
    fn level_of(count: usize, bucket: usize) -> u32 {
        let low = count.ilog2();
        let half = 1usize << low;
        if bucket >= half || bucket + half < count { low + 1 } else { low }
    }

    #[inline]
    pub(crate) fn find(&self, key: &[u8], hash: KeyHash) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let index = Table::bucket_of(self.buckets.len(), hash.index_bits());
        let tag = hash.tag();
        let mut bucket = self.buckets.pointer(index);
        loop {
            // SAFETY: `pointer` and `overflow_pointer` give buckets that this table owns.
            let view = unsafe { &*bucket };
            let mut matching = view.matching(tag);
            while matching != 0 {
                let at = matching.trailing_zeros() as usize;
                let word = &view.words()[at];
                if word.is_entry() && same(word.entry().key(), key) {
                    return Some(Place(Bucket::place(bucket, at)));
                }
                matching &= matching - 1;
            }
            bucket = view.overflow_pointer()?;
        }
    }

    /// The entry at a place.
    #[inline]
    pub(crate) fn entry(&self, place: &Place) -> EntryRef<'_> {
        // SAFETY: `find` and `insert` gave the place of a word with an entry in one of this table's
        // buckets, and the table has not changed since.
        unsafe { (*place.0).entry() }
    }

    #[inline]
    pub(crate) fn entry_mut(&mut self, place: &Place) -> EntryMut<'_> {
        // SAFETY: as in `entry`; the table is borrowed mutably.
        unsafe { (*place.0).entry_mut() }
    }

    /// Puts another entry for the same key into the place; gives the old one back.
    pub(crate) fn replace(&mut self, place: &Place, entry: Entry) -> Entry {
        let expires = entry.expiry().is_some();
        // SAFETY: as in `entry`; the table is borrowed mutably.
        let word = unsafe { &mut *place.0 };
        self.expiring -= u32::from(word.expires());
        self.expiring += u32::from(expires);
        let tag = word.tag();
        std::mem::replace(word, Word::of(entry, tag)).into_entry()
    }

    /// Adds an entry whose key is not in the table.
    pub(crate) fn insert(&mut self, hash: KeyHash, entry: Entry, hasher: &KeyHasher) -> Place {
        if (self.len as usize + 1) * 8 > self.buckets.len() * GROW_PER_EIGHT {
            self.grow(hasher);
        }
        self.len += 1;
        self.expiring += u32::from(entry.expiry().is_some());
        let index = Table::bucket_of(self.buckets.len(), hash.index_bits());
        let word = Word::of(entry, hash.tag());
        Place(self.buckets.at_mut(index).push(word))
    }

    /// Takes an entry out. `shrink`: whether the table may give a bucket back; not while a walk
    /// goes through it, which would miss what moves to buckets it has passed.
    pub(crate) fn remove(
        &mut self,
        place: &Place,
        hash: KeyHash,
        shrink: bool,
        hasher: &KeyHasher,
    ) -> Entry {
        // SAFETY: as in `entry`; the table is borrowed mutably.
        let word = std::mem::replace(unsafe { &mut *place.0 }, Word::EMPTY);
        self.len -= 1;
        self.expiring -= u32::from(word.expires());
        let index = Table::bucket_of(self.buckets.len(), hash.index_bits());
        self.buckets.at_mut(index).drop_empty_overflow();
        if shrink {
            self.shrink_once(hasher);
        }
        word.into_entry()
    }

    fn grow(&mut self, hasher: &KeyHasher) {
        let count = self.buckets.len();
        self.buckets.push();
        if count == 0 {
            return;
        }
        let level = count.ilog2();
        let mut moved = Bucket::EMPTY;
        let source = self.buckets.at_mut(count - (1 << level));
        source.move_where(&mut moved, |word| bit_of_index(word, level, hasher));
        *self.buckets.at_mut(count) = moved;
    }

    /// Gives the last bucket back if the table is sparse enough.
    pub(crate) fn shrink_once(&mut self, hasher: &KeyHasher) {
        let count = self.buckets.len();
        if self.len == 0 && count > 0 && count <= SEGMENT {
            self.buckets = Buckets::default();
            return;
        }
        if count <= 1 || self.len as usize * 8 > count * SHRINK_PER_EIGHT {
            return;
        }
        let last = count - 1;
        let level = last.ilog2();
        let mut moving = std::mem::replace(self.buckets.at_mut(last), Bucket::EMPTY);
        self.buckets.pop();
        let target = self.buckets.at_mut(last - (1 << level));
        moving.move_where(target, |_| true);
        debug_assert!(hasher_agrees(target, level, hasher));
    }

    /// Calls `see` with each entry of a bucket. Buckets from [`Table::bucket_count`] on are empty.
    pub(crate) fn for_bucket(&self, bucket: usize, mut see: impl FnMut(&Entry)) {
        if bucket >= self.buckets.len() {
            return;
        }
        let mut at = Some(self.buckets.at(bucket));
        while let Some(bucket) = at {
            bucket.words().iter().filter(|word| word.is_entry()).for_each(|w| see(&w.entry()));
            at = bucket.overflow();
        }
    }

    pub(crate) fn for_bucket_mut(&mut self, bucket: usize, mut see: impl FnMut(&mut Entry)) {
        if bucket < self.buckets.len() {
            self.buckets.at_mut(bucket).for_each_mut(&mut |word| see(&mut word.entry_mut()));
        }
    }

    /// Calls `see` with each entry of a bucket that has an expiry; touches no other entry.
    pub(crate) fn for_expiring(&self, bucket: usize, mut see: impl FnMut(&Entry)) {
        if bucket >= self.buckets.len() {
            return;
        }
        let mut at = Some(self.buckets.at(bucket));
        while let Some(bucket) = at {
            bucket
                .words()
                .iter()
                .filter(|word| word.is_entry() && word.expires())
                .for_each(|w| see(&w.entry()));
            at = bucket.overflow();
        }
    }

    /// One step of a scan: shows the entries of the bucket at `cursor` and gives the next cursor, 0 at the
    /// end. The cursor counts in reverse-binary order of the hash's index bits, so that every
    /// entry which is there throughout is shown, however the table grows or shrinks meanwhile.
    pub(crate) fn scan(&self, cursor: u64, see: impl FnMut(&Entry)) -> u64 {
        let count = self.buckets.len();
        if count == 0 {
            return 0;
        }
        let bucket = Table::bucket_of(count, cursor);
        self.for_bucket(bucket, see);
        // Everything with the bucket's common bits has been shown: count on above them.
        let level = Table::level_of(count, bucket);
        let low = cursor & ((1 << level) - 1);
        let reversed = low.reverse_bits() >> (64 - level.max(1));
        if level == 0 || (reversed + 1) >> level != 0 {
            return 0;
        }
        (reversed + 1).reverse_bits() >> (64 - level)
    }

    /// Prefetches the entries in the bucket of `hash` whose tag matches.
    #[inline]
    pub(crate) fn prefetch_entry(&self, hash: KeyHash) {
        if self.len == 0 {
            return;
        }
        let index = Table::bucket_of(self.buckets.len(), hash.index_bits());
        let tag = hash.tag();
        let bucket = self.buckets.at(index);
        let mut matching = bucket.matching(tag);
        while matching != 0 {
            // Key and value of a small entry lie on two lines.
            let address = bucket.words()[matching.trailing_zeros() as usize].address();
            crate::keyspace::prefetch(address);
            crate::keyspace::prefetch(address.wrapping_add(64));
            matching &= matching - 1;
        }
    }
}

/// Whether two keys are the same. Keys are short: comparing words in place is faster than a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    const WORD: usize = 8;
    const LONG: usize = 64;
    if a.len() != b.len() {
        return false;
    }
    if a.len() < WORD || a.len() > LONG {
        return a == b;
    }
    let word = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + WORD].try_into().expect("eight bytes"))
    };
    // The last word overlaps the one before it.
    let last = a.len() - WORD;
    let mut differing = word(a, last) ^ word(b, last);
    for at in (0..last).step_by(WORD) {
        differing |= word(a, at) ^ word(b, at);
    }
    differing == 0
}

fn bit_of_index(word: &Word, bit: u32, hasher: &KeyHasher) -> bool {
    if bit < TAG_INDEX_BITS {
        return word.tag() >> bit & 1 == 1;
    }
    let hash = KeyHash { slot: tessera_slot::Slot::MIN, hash: hasher.hash(word.entry().key()) };
    hash.index_bits() >> bit & 1 == 1
}

/// Every entry that was merged has the same low bits as its new neighbours.
fn hasher_agrees(bucket: &Bucket, level: u32, hasher: &KeyHasher) -> bool {
    let low = |word: &Word| {
        (0..level).fold(0u64, |bits, bit| bits | u64::from(bit_of_index(word, bit, hasher)) << bit)
    };
    let mut entries = bucket.words().iter().filter(|word| word.is_entry()).map(low);
    let first = entries.next();
    entries.all(|bits| Some(bits) == first)
}

impl Drop for Table {
    fn drop(&mut self) {
        for index in 0..self.buckets.len() {
            self.buckets.at_mut(index).clear();
        }
    }
}

#[cfg(test)]
mod tests;
