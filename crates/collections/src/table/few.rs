//! A table of few items, which has no bucket yet: an array of exactly this many words, in no order.
//!
//! Most slots of a small keyspace have a key or two; a bucket of 64 bytes for each would be more
//! than the rest of what a key costs. The allocator has a size for each word up to 64 bytes.

use super::bucket::Word;
use super::buckets::Buckets;
use super::{Item, Place, Table, same};
use std::alloc::Layout;

/// Items that need no bucket.
pub(super) const FEW: usize = 4;

fn layout(words: usize) -> Layout {
    Layout::array::<u64>(words).expect("few words")
}

impl<T: Item> Table<T> {
    /// Whether the items, if there are any, stand in an array of words instead of buckets.
    #[inline]
    pub(super) fn is_few(&self) -> bool {
        self.buckets.len() == 0
    }

    /// The words of few items.
    #[inline]
    pub(super) fn few(&self) -> &[Word<T>] {
        debug_assert!(self.is_few());
        // SAFETY: without buckets `start` is an array of `len` words; with none it is aligned,
        // which is enough for an empty slice.
        unsafe { std::slice::from_raw_parts(self.buckets.words(), self.len()) }
    }

    /// The words of few items.
    pub(super) fn few_mut(buckets: &mut Buckets<T>, len: u32) -> &mut [Word<T>] {
        debug_assert!(buckets.len() == 0);
        // SAFETY: as in `few`; the buckets are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(buckets.words(), len as usize) }
    }

    pub(super) fn find_among_few(&self, key: &[u8], tag: u16) -> Option<Place<T>> {
        let is_wanted = |word: &Word<T>| word.tag() == tag && same(word.item().key(), key);
        let at = self.few().iter().position(is_wanted)?;
        Some(Place(self.buckets.words().wrapping_add(at)))
    }

    /// Adds a word to fewer than [`FEW`].
    pub(super) fn push_to_few(&mut self, word: Word<T>) -> Place<T> {
        let len = self.len();
        self.buckets.resize_words(layout(len), layout(len + 1));
        self.len += 1;
        let place = self.buckets.words().wrapping_add(len);
        // SAFETY: the array has just got this word.
        unsafe { place.write(word) };
        Place(place)
    }

    /// The word of an item that was taken out goes.
    pub(super) fn close_gap_of_few(&mut self) {
        let len = self.len();
        let words = Self::few_mut(&mut self.buckets, self.len);
        let gap = words.iter().position(|word| !word.is_item()).expect("one was just taken out");
        words.swap(gap, len - 1);
        self.len -= 1;
        self.buckets.resize_words(layout(len), layout(len - 1));
    }

    /// Gives the words a bucket.
    pub(super) fn few_to_bucket(&mut self) {
        let len = self.len();
        let mut words = std::mem::take(&mut self.buckets);
        self.buckets.push();
        for word in Self::few_mut(&mut words, self.len) {
            self.buckets.at_mut(0).push(std::mem::replace(word, Word::EMPTY));
        }
        words.resize_words(layout(len), layout(0));
    }

    /// Takes the only bucket from at most [`FEW`] items.
    pub(super) fn bucket_to_few(&mut self) {
        let mut old = std::mem::take(&mut self.buckets);
        self.len = 0;
        old.at_mut(0).for_each_mut(&mut |word| {
            self.push_to_few(std::mem::replace(word, Word::EMPTY));
        });
        old.at_mut(0).clear();
    }

    /// Frees few items and their words.
    pub(super) fn clear_few(&mut self) {
        if !self.is_few() {
            return;
        }
        let len = self.len();
        for word in Self::few_mut(&mut self.buckets, self.len) {
            drop(std::mem::replace(word, Word::EMPTY).into_item());
        }
        self.len = 0;
        self.buckets.resize_words(layout(len), layout(0));
    }
}
