//! All items of a table, one after another.

use super::bucket::{Bucket, Ref, Word};
use super::{Item, Table, prefetch};

/// All items of a table, bucket by bucket. Made by [`Table::iter`].
pub struct Iter<'a, T: Item> {
    table: &'a Table<T>,
    /// The next bucket to go to once this one's chain is through.
    next: usize,
    words: std::slice::Iter<'a, Word<T>>,
    overflow: Option<&'a Bucket<T>>,
}

impl<T: Item> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Iter { words: self.words.clone(), ..*self }
    }
}

impl<'a, T: Item> Iter<'a, T> {
    fn enter(&mut self, bucket: &'a Bucket<T>) {
        // The items lie anywhere in memory: have all of them on their way while the first is looked
        // at.
        bucket.words().iter().for_each(|word| prefetch(word.address()));
        self.words = bucket.words().iter();
        self.overflow = bucket.overflow();
    }
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = Ref<'a, T>;

    #[inline]
    fn next(&mut self) -> Option<Ref<'a, T>> {
        loop {
            if let Some(word) = self.words.find(|word| word.is_item()) {
                return Some(word.item());
            }
            match self.overflow {
                Some(overflow) => self.enter(overflow),
                None if self.next < self.table.buckets.len() => {
                    self.enter(self.table.buckets.at(self.next));
                    self.next += 1;
                }
                None => return None,
            }
        }
    }
}

impl<T: Item> Table<T> {
    /// All items, in the order of the buckets.
    pub fn iter(&self) -> Iter<'_, T> {
        let words = if self.is_few() { self.few() } else { &[] };
        Iter { table: self, next: 0, words: words.iter(), overflow: None }
    }
}
