//! A linear hash table of cache-line buckets: of the entries of one (database, slot), of the fields
//! of a hash, of the members of a set.
//!
//! A bucket is eight words of 64 bits. A word is an item's pointer (48 bits, of which the lowest
//! tells that the word links to an overflow bucket, the next that the item is marked: has an
//! expiry, and the third that it is aging: parts of it have one) under the 16-bit tag of its key's
//! hash. A full bucket's last word may link to an overflow bucket.
//!
//! A table of `n` buckets, 2^L <= n < 2^(L+1), places a key by the low L+1 bits of its hash, or by
//! L bits where that bucket does not exist yet. It grows by one bucket: bucket n takes from bucket
//! n - 2^L the items whose bit L is set. It shrinks the same way backwards. So no step ever moves
//! more than the items of one bucket, however large the table is, and a scan in reverse-binary
//! order meets every item that stays.
//!
//! A table of at most [`FEW`] items has no bucket yet, only an array of their words (`few.rs`); to
//! scans and walks it is one bucket. Up to [`SEGMENT`] buckets stand in one array, which is
//! reallocated in steps of at most a quarter; from then on segments of that many buckets hang off a
//! directory.

mod bucket;
mod buckets;
mod draw;
mod elements;
mod few;
mod iter;

pub use bucket::{Ref, RefMut};
pub(crate) use elements::Elements;
pub use iter::Iter;

use crate::hasher::{HashCode, KeyHasher, TAG_INDEX_BITS};
use bucket::{Bucket, Counts, Word};
use buckets::Buckets;
use few::FEW;
use std::ptr::NonNull;

/// An item of a table: an owner of one allocation, which has a key.
///
/// # Safety
/// `into_raw` gives an address below 2^48 that is aligned to 8 bytes, and `from_raw` makes of it
/// what it was made of. `key` and `is_marked` give the same as long as the item is not changed
/// through [`RefMut`].
pub unsafe trait Item: Sized {
    /// Gives the allocation away.
    fn into_raw(self) -> NonNull<u8>;

    /// Takes the allocation back.
    ///
    /// # Safety
    /// The pointer came from `into_raw`. If several are made of one pointer, only one of them may
    /// be dropped, and none used after that.
    unsafe fn from_raw(pointer: NonNull<u8>) -> Self;

    /// The key that it is found by.
    fn key(&self) -> &[u8];

    /// Whether it is among those that [`Table::for_marked`] shows.
    fn is_marked(&self) -> bool {
        false
    }

    /// Whether it is among those that [`Table::for_aging`] shows: parts of it expire. Under the
    /// same rule as `is_marked`.
    fn is_aging(&self) -> bool {
        false
    }
}

/// Buckets in a segment: 64 KiB.
pub(crate) const SEGMENT: usize = 1024;
/// Grow when there are more entries than this for every eight buckets: 7 a bucket.
const GROW_PER_EIGHT: usize = 56;
/// Shrink when there are fewer: 2.5 a bucket.
const SHRINK_PER_EIGHT: usize = 20;
/// How many buckets' items a walk prefetches before it comes to them, and how many buckets before
/// their items.
const ITEMS_AHEAD: usize = 2;
const BUCKETS_AHEAD: usize = 4;

/// A hash table.
pub struct Table<T: Item> {
    buckets: Buckets<T>,
    len: u32,
    counts: Counts,
}

impl<T: Item> Default for Table<T> {
    fn default() -> Table<T> {
        Table { buckets: Buckets::default(), len: 0, counts: Counts::default() }
    }
}

/// The place of an item in its table. It is meant for the next operation on that table: after a
/// change of the table it is good for nothing.
pub struct Place<T>(*mut Word<T>);

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

/// Hints to the processor that this address will be read soon. Any address is allowed.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address, even an invalid one, has no effect that can be observed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Prefetches the beginning of bytes that are going to be read from there on; the processor itself
/// sees to the rest.
#[inline]
pub fn prefetch_start(address: *const u8) {
    const LINE: usize = 64;
    (0..4).for_each(|line| prefetch(address.wrapping_add(line * LINE)));
}

impl<T: Item> Table<T> {
    /// The number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items are marked.
    #[inline]
    pub fn marked(&self) -> usize {
        self.counts.marked as usize
    }

    /// How many items are aging.
    #[inline]
    pub fn aging(&self) -> usize {
        self.counts.aging as usize
    }

    /// The number of buckets; few items without a bucket count as one.
    #[inline]
    pub fn bucket_count(&self) -> usize {
        if self.is_few() { usize::from(self.len > 0) } else { self.buckets.len() }
    }

    /// The array of buckets, or of words, while it is one array, for prefetching.
    #[inline]
    pub fn array(&self) -> *const u8 {
        self.buckets.array()
    }

    /// Bytes of memory of the buckets, without overflow buckets.
    pub fn memory(&self) -> usize {
        if self.is_few() { size_of_val(self.few()) } else { self.buckets.memory() }
    }

    /// The bucket that holds, or would hold, a key with this hash, where there are `count`.
    #[inline]
    pub fn bucket_index(count: usize, hash: HashCode) -> usize {
        Self::bucket_of(count, hash.index_bits())
    }

    #[inline]
    fn bucket_of(count: usize, index_bits: u64) -> usize {
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

    /// The place of the item with this key.
    #[inline]
    pub fn find(&self, key: &[u8], hash: HashCode) -> Option<Place<T>> {
        let tag = hash.tag();
        if self.is_few() {
            return self.find_among_few(key, tag);
        }
        let index = Self::bucket_of(self.buckets.len(), hash.index_bits());
        let mut bucket = self.buckets.pointer(index);
        loop {
            // SAFETY: `pointer` and `overflow_pointer` give buckets that this table owns.
            let view = unsafe { &*bucket };
            let mut matching = view.matching(tag);
            while matching != 0 {
                let at = matching.trailing_zeros() as usize;
                let word = &view.words()[at];
                if word.is_item() && same(word.item().key(), key) {
                    return Some(Place(Bucket::place(bucket, at)));
                }
                matching &= matching - 1;
            }
            bucket = view.overflow_pointer()?;
        }
    }

    /// The item with this key.
    #[inline]
    pub fn get(&self, key: &[u8], hash: HashCode) -> Option<Ref<'_, T>> {
        let place = self.find(key, hash)?;
        // SAFETY: the place was just found.
        Some(unsafe { self.item(place) })
    }

    /// The item with this key.
    #[inline]
    pub fn get_mut(&mut self, key: &[u8], hash: HashCode) -> Option<RefMut<'_, T>> {
        let place = self.find(key, hash)?;
        // SAFETY: the place was just found.
        Some(unsafe { self.item_mut(place) })
    }

    /// Takes the item with this key out, and gives a bucket back if there are too many.
    pub fn take(&mut self, key: &[u8], hash: HashCode, hasher: &KeyHasher) -> Option<T> {
        let place = self.find(key, hash)?;
        // SAFETY: the place was just found.
        Some(unsafe { self.remove(place, hash, true, hasher) })
    }

    /// The item at a place.
    ///
    /// # Safety
    /// The place came from [`Table::find`] or [`Table::insert`] of this table, and no item was
    /// added or removed since.
    #[inline]
    pub unsafe fn item(&self, place: Place<T>) -> Ref<'_, T> {
        // SAFETY: by the caller's promise the word lies in one of this table's buckets, and holds
        // an item.
        unsafe { (*place.0).item() }
    }

    /// The item at a place.
    ///
    /// # Safety
    /// As for [`Table::item`].
    #[inline]
    pub unsafe fn item_mut(&mut self, place: Place<T>) -> RefMut<'_, T> {
        // SAFETY: as in `item`; the table is borrowed mutably.
        unsafe { (*place.0).item_mut(&mut self.counts) }
    }

    /// Puts another item with the same key into the place; gives the old one back.
    ///
    /// # Safety
    /// As for [`Table::item`].
    pub unsafe fn replace(&mut self, place: Place<T>, item: T) -> T {
        // SAFETY: by the caller's promise; the table is borrowed mutably.
        let word = unsafe { &mut *place.0 };
        let new = Word::of(item, word.tag());
        self.counts.remove(word);
        self.counts.add(&new);
        std::mem::replace(word, new).into_item()
    }

    /// Adds an item whose key is not in the table.
    pub fn insert(&mut self, hash: HashCode, item: T, hasher: &KeyHasher) -> Place<T> {
        let word = Word::of(item, hash.tag());
        self.counts.add(&word);
        if (self.len as usize + 1) * 8 > self.buckets.len() * GROW_PER_EIGHT {
            if self.is_few() && self.len() < FEW {
                return self.push_to_few(word);
            }
            self.grow(hasher);
        }
        self.len += 1;
        let index = Self::bucket_of(self.buckets.len(), hash.index_bits());
        Place(self.buckets.at_mut(index).push(word))
    }

    /// Takes an item out. `shrink`: whether the table may give a bucket back; not while a walk
    /// goes through it, which would miss what moves to buckets it has passed.
    ///
    /// # Safety
    /// As for [`Table::item`]; `hash` is the hash of the item's key.
    pub unsafe fn remove(
        &mut self,
        place: Place<T>,
        hash: HashCode,
        shrink: bool,
        hasher: &KeyHasher,
    ) -> T {
        // SAFETY: by the caller's promise; the table is borrowed mutably.
        let word = std::mem::replace(unsafe { &mut *place.0 }, Word::EMPTY);
        self.counts.remove(&word);
        if self.is_few() {
            self.close_gap_of_few();
            return word.into_item();
        }
        self.len -= 1;
        let index = Self::bucket_of(self.buckets.len(), hash.index_bits());
        self.buckets.at_mut(index).drop_empty_overflow();
        if shrink {
            self.shrink_once(hasher);
        }
        word.into_item()
    }

    fn grow(&mut self, hasher: &KeyHasher) {
        let count = self.buckets.len();
        if count == 0 {
            return self.few_to_bucket();
        }
        self.buckets.push();
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
        if count == 1 && self.len() <= FEW / 2 {
            return self.bucket_to_few();
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

    /// Calls `see` with each item of a bucket. Buckets from [`Table::bucket_count`] on are empty.
    pub fn for_bucket(&self, bucket: usize, mut see: impl FnMut(&T)) {
        let mut show = |word: &Word<T>| {
            if word.is_item() {
                see(&word.item());
            }
        };
        if self.is_few() {
            if bucket == 0 {
                self.few().iter().for_each(show);
            }
            return;
        }
        let mut next = (bucket < self.buckets.len()).then(|| self.buckets.at(bucket));
        while let Some(bucket) = next {
            bucket.words().iter().for_each(&mut show);
            next = bucket.overflow();
        }
    }

    /// The first item of a bucket for which `wanted` holds.
    pub(crate) fn find_in(&self, bucket: usize, wanted: impl Fn(&T) -> bool) -> Option<Ref<'_, T>> {
        let words = self.chain(bucket).flatten().filter(|word| word.is_item());
        words.map(Word::item).find(|item| wanted(item))
    }

    /// The words of a bucket and of its overflow buckets, one bucket after the other.
    fn chain(&self, bucket: usize) -> impl Iterator<Item = &[Word<T>]> {
        let few = (self.is_few() && bucket == 0).then(|| self.few());
        let first = (bucket < self.buckets.len()).then(|| self.buckets.at(bucket));
        let buckets = std::iter::successors(first, |bucket| bucket.overflow());
        few.into_iter().chain(buckets.map(|bucket| &bucket.words()[..]))
    }

    /// Calls `see` with each item of a bucket.
    pub fn for_bucket_mut(&mut self, bucket: usize, mut see: impl FnMut(&mut T)) {
        let counts = &mut self.counts;
        let mut see = |word: &mut Word<T>| see(&mut word.item_mut(counts));
        if bucket < self.buckets.len() {
            self.buckets.at_mut(bucket).for_each_mut(&mut see);
        } else if bucket == 0 {
            Self::few_mut(&mut self.buckets, self.len).iter_mut().for_each(see);
        }
    }

    /// Calls `see` with each marked item of a bucket; touches no other item.
    pub fn for_marked(&self, bucket: usize, see: impl FnMut(&T)) {
        self.for_words(bucket, Word::is_marked, see);
    }

    /// Calls `see` with each aging item of a bucket; touches no other item.
    pub fn for_aging(&self, bucket: usize, see: impl FnMut(&T)) {
        self.for_words(bucket, Word::is_aging, see);
    }

    fn for_words(&self, bucket: usize, wanted: impl Fn(&Word<T>) -> bool, mut see: impl FnMut(&T)) {
        let words = self.chain(bucket).flatten();
        words.filter(|word| word.is_item() && wanted(word)).for_each(|word| see(&word.item()));
    }

    /// Calls `see` with every item.
    pub fn for_each(&self, mut see: impl FnMut(&T)) {
        (0..self.bucket_count()).for_each(|bucket| self.for_bucket(bucket, &mut see));
    }

    /// Some item of the bucket that `random` chooses, if that bucket has any: fair within the
    /// bucket. Callers draw again until there is one; items of fuller buckets come a little less
    /// often.
    pub fn pick(&self, random: u64, see: impl FnOnce(&T)) -> bool {
        if self.len == 0 {
            return false;
        }
        let (bucket, pick) = ((random >> 32) as usize % self.bucket_count(), random as u32);
        let mut count = 0;
        self.for_bucket(bucket, |_| count += 1);
        if count == 0 {
            return false;
        }
        let (mut index, mut see) = (0, Some(see));
        self.for_bucket(bucket, |item| {
            if index == pick % count
                && let Some(see) = see.take()
            {
                see(item);
            }
            index += 1;
        });
        true
    }

    /// One step of a scan: shows the items of the bucket at `cursor` and gives the next cursor, 0
    /// at the end. The cursor counts in reverse-binary order of the hash's index bits, so that
    /// every item which is there throughout is shown, however the table grows or shrinks meanwhile.
    pub fn scan(&self, cursor: u64, see: impl FnMut(&T)) -> u64 {
        let count = self.bucket_count();
        if count == 0 {
            return 0;
        }
        let bucket = Self::bucket_of(count, cursor);
        self.for_bucket(bucket, see);
        Self::next_cursor(count, cursor)
    }

    /// The cursor behind the bucket that `cursor` stands for, where there are `count`; 0 at the
    /// end.
    #[inline]
    fn next_cursor(count: usize, cursor: u64) -> u64 {
        // Everything with the bucket's common bits has been shown: count on above them.
        let level = Self::level_of(count, Self::bucket_of(count, cursor));
        let low = cursor & ((1 << level) - 1);
        let reversed = low.reverse_bits() >> (64 - level.max(1));
        if level == 0 || (reversed + 1) >> level != 0 {
            return 0;
        }
        (reversed + 1).reverse_bits() >> (64 - level)
    }

    /// Scans on from `cursor`, as [`Table::scan`], bucket by bucket, as long as `go_on` says so
    /// after each; gives the next cursor. The items of the next buckets are prefetched meanwhile: a
    /// walk waits for memory far longer than it looks at keys.
    pub fn scan_on(
        &self,
        mut cursor: u64,
        mut see: impl FnMut(&T),
        mut go_on: impl FnMut() -> bool,
    ) -> u64 {
        let count = self.bucket_count();
        if count == 0 {
            return 0;
        }
        if self.is_few() {
            self.prefetch_first(0);
            self.for_bucket(0, see);
            go_on();
            return 0;
        }
        // Behind the end they begin anew, which does no harm.
        let mut items = cursor;
        for _ in 0..ITEMS_AHEAD {
            self.prefetch_items(Self::bucket_of(count, items));
            items = Self::next_cursor(count, items);
        }
        let mut lines = items;
        for _ in 0..BUCKETS_AHEAD {
            prefetch(self.buckets.pointer(Self::bucket_of(count, lines)).cast());
            lines = Self::next_cursor(count, lines);
        }
        loop {
            prefetch(self.buckets.pointer(Self::bucket_of(count, lines)).cast());
            lines = Self::next_cursor(count, lines);
            self.prefetch_items(Self::bucket_of(count, items));
            items = Self::next_cursor(count, items);
            self.for_bucket(Self::bucket_of(count, cursor), &mut see);
            cursor = Self::next_cursor(count, cursor);
            if !go_on() || cursor == 0 {
                return cursor;
            }
        }
    }

    /// Prefetches the items of the first buckets, for [`Table::for_each`] of a table that has no
    /// more, and for the beginning of a scan.
    pub fn prefetch_first(&self, buckets: usize) {
        if self.is_few() {
            return self.few().iter().for_each(Word::prefetch);
        }
        (0..buckets.min(self.buckets.len())).for_each(|bucket| self.prefetch_items(bucket));
    }

    /// Reads the beginning of every item, so that it is at hand. Some processors drop prefetches of
    /// addresses whose translation they have not at hand; reads of which none depends on another
    /// are waited for together.
    pub fn fetch(&self) {
        let fetch = |words: &[Word<T>]| words.iter().fold(0, |sum, word| sum ^ word.fetch());
        if self.is_few() {
            std::hint::black_box(fetch(self.few()));
            return;
        }
        let buckets = (0..self.buckets.len()).map(|bucket| self.buckets.at(bucket));
        std::hint::black_box(buckets.fold(0, |sum, bucket| sum ^ fetch(bucket.words())));
    }

    /// Prefetches the beginnings of the items in a bucket, without the chain.
    #[inline]
    fn prefetch_items(&self, bucket: usize) {
        self.buckets.at(bucket).words().iter().for_each(Word::prefetch);
    }

    /// Whether a scan that goes on from `cursor` has shown items with this hash: those of merged
    /// buckets are met again.
    #[inline]
    pub fn is_behind(cursor: u64, hash: HashCode) -> bool {
        hash.index_bits().reverse_bits() < cursor.reverse_bits()
    }

    /// Prefetches the bucket of `hash`.
    #[inline]
    pub fn prefetch_bucket(&self, hash: HashCode) {
        match self.bucket_count() {
            0 => {}
            1 => prefetch(self.array()),
            count => {
                let index = Self::bucket_of(count, hash.index_bits());
                prefetch(self.buckets.pointer(index).cast());
            }
        }
    }

    /// Prefetches the items in the bucket of `hash` whose tag matches.
    #[inline]
    pub fn prefetch_item(&self, hash: HashCode) {
        self.for_matching(hash, |word| {
            // Key and value of a small entry lie on two lines.
            let address = word.address();
            prefetch(address);
            prefetch(address.wrapping_add(64));
            false
        });
    }

    /// A table's part in [`Collection::prefetch`]: itself as step 0, the bucket as step 1, the item
    /// as step 2 and last.
    ///
    /// [`Collection::prefetch`]: crate::Collection::prefetch
    #[inline]
    pub(crate) fn prefetch_step(&self, step: u8, hash: HashCode) -> bool {
        match step {
            0 => prefetch(std::ptr::from_ref(self).cast()),
            1 => self.prefetch_bucket(hash),
            _ => self.prefetch_item(hash),
        }
        step < 2
    }

    /// The item that is probably the one with this hash, by its tag: its key is not looked at. For
    /// prefetching what it leads to.
    #[inline]
    pub fn probable(&self, hash: HashCode) -> Option<Ref<'_, T>> {
        self.for_matching(hash, Word::is_item).map(Word::item)
    }

    /// As [`Table::probable`], but in the whole chain, and to be changed.
    pub fn probable_mut(&mut self, hash: HashCode) -> Option<RefMut<'_, T>> {
        let is_wanted = |word: &Word<T>| word.is_item() && word.tag() == hash.tag();
        if self.is_few() {
            let mut words = Self::few_mut(&mut self.buckets, self.len).iter_mut();
            return Some(words.find(|word| is_wanted(word))?.item_mut(&mut self.counts));
        }
        let index = Self::bucket_of(self.buckets.len(), hash.index_bits());
        let mut bucket = self.buckets.at_mut(index);
        loop {
            if let Some(at) = bucket.words().iter().position(is_wanted) {
                return Some(bucket.words_mut()[at].item_mut(&mut self.counts));
            }
            bucket = bucket.overflow_mut()?;
        }
    }

    /// Shows the words with the tag of `hash` in its bucket, without the chain, until `stop` says
    /// so; gives the one where it did.
    #[inline]
    fn for_matching(&self, hash: HashCode, stop: impl Fn(&Word<T>) -> bool) -> Option<&Word<T>> {
        let tag = hash.tag();
        if self.is_few() {
            return self.few().iter().find(|word| word.tag() == tag && stop(word));
        }
        let index = Self::bucket_of(self.buckets.len(), hash.index_bits());
        let bucket = self.buckets.at(index);
        let mut matching = bucket.matching(tag);
        while matching != 0 {
            let word = &bucket.words()[matching.trailing_zeros() as usize];
            if stop(word) {
                return Some(word);
            }
            matching &= matching - 1;
        }
        None
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

fn bit_of_index<T: Item>(word: &Word<T>, bit: u32, hasher: &KeyHasher) -> bool {
    if bit < TAG_INDEX_BITS {
        return word.tag() >> bit & 1 == 1;
    }
    hasher.hash(word.item().key()).index_bits() >> bit & 1 == 1
}

/// Every entry that was merged has the same low bits as its new neighbours.
fn hasher_agrees<T: Item>(bucket: &Bucket<T>, level: u32, hasher: &KeyHasher) -> bool {
    let low = |word: &Word<T>| {
        (0..level).fold(0u64, |bits, bit| bits | u64::from(bit_of_index(word, bit, hasher)) << bit)
    };
    let mut entries = bucket.words().iter().filter(|word| word.is_item()).map(low);
    let first = entries.next();
    entries.all(|bits| Some(bits) == first)
}

impl<T: Item> Drop for Table<T> {
    fn drop(&mut self) {
        self.clear_few();
        for index in 0..self.buckets.len() {
            self.buckets.at_mut(index).clear();
        }
    }
}

#[cfg(test)]
mod tests;
