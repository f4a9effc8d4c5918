//! Sets and ranges of slots.

use crate::{SLOT_COUNT, Slot};
use std::fmt;

const WORDS: usize = SLOT_COUNT / 64;

/// A set of slots: one bit each, 2 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

/// Slots from `start` to `end`, both included. Printed as `0-5460`, or `7` where it is one slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotRange {
    /// The first slot.
    pub start: Slot,
    /// The last slot; not before `start`.
    pub end: Slot,
}

impl SlotRange {
    /// The number of slots in the range.
    pub fn count(self) -> usize {
        self.end.index() - self.start.index() + 1
    }

    /// The slots of the range in ascending order.
    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (self.start.0..=self.end.0).map(Slot)
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}-{}", self.start, self.end)
        }
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        SlotSet::EMPTY
    }
}

impl SlotSet {
    /// No slot.
    pub const EMPTY: SlotSet = SlotSet([0; WORDS]);
    /// Every slot.
    pub const FULL: SlotSet = SlotSet([u64::MAX; WORDS]);

    /// Adds a slot; true if it was not in the set.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let added = !self.contains(slot);
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
        added
    }

    /// Removes a slot; true if it was in the set.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let removed = self.contains(slot);
        self.0[slot.index() / 64] &= !(1 << (slot.index() % 64));
        removed
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & (1 << (slot.index() % 64)) != 0
    }

    /// The number of slots in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set has no slot.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(Slot(index as u16 * 64 + bit as u16))
            })
        })
    }

    /// The slots as maximal ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = SlotRange> + '_ {
        let mut slots = self.iter().peekable();
        std::iter::from_fn(move || {
            let start = slots.next()?;
            let mut end = start;
            while let Some(next) = slots.next_if(|next| next.0 == end.0 + 1) {
                end = next;
            }
            Some(SlotRange { start, end })
        })
    }

    /// The bitmap of cluster bus headers: slot n is bit n % 8 (least significant first) of byte n
    /// / 8.
    pub fn to_bitmap(&self) -> [u8; SLOT_COUNT / 8] {
        let mut bitmap = [0; SLOT_COUNT / 8];
        for (bytes, word) in bitmap.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bitmap
    }

    /// Reads the bitmap of a cluster bus header.
    pub fn from_bitmap(bitmap: &[u8; SLOT_COUNT / 8]) -> SlotSet {
        let mut set = SlotSet::EMPTY;
        for (word, bytes) in set.0.iter_mut().zip(bitmap.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
        }
        set
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = SlotSet::EMPTY;
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl FromIterator<SlotRange> for SlotSet {
    fn from_iter<I: IntoIterator<Item = SlotRange>>(ranges: I) -> Self {
        ranges.into_iter().flat_map(SlotRange::slots).collect()
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges().map(|range| range.to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(numbers in proptest::collection::vec(0u16..16_384, 0..200)) {
            let model: BTreeSet<u16> = numbers.iter().copied().collect();
            let mut set: SlotSet = numbers.iter().map(|&n| Slot(n)).collect();
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.iter().map(Slot::number).eq(model.iter().copied()));
            let from_ranges: SlotSet = set.ranges().collect();
            prop_assert_eq!(&from_ranges, &set);
            prop_assert_eq!(&SlotSet::from_bitmap(&set.to_bitmap()), &set);
            for &n in &model {
                prop_assert!(set.remove(Slot(n)) && !set.remove(Slot(n)));
            }
            prop_assert!(set.is_empty());
        }
    }

    #[test]
    fn ranges_are_maximal_and_print_as_redis_does() {
        let set: SlotSet = [0, 1, 2, 7, 63, 64, 65, 16_383].into_iter().map(Slot).collect();
        let text: Vec<_> = set.ranges().map(|range| range.to_string()).collect();
        assert_eq!(text, ["0-2", "7", "63-65", "16383"]);
        assert_eq!(SlotSet::FULL.ranges().next().unwrap().count(), SLOT_COUNT);
        assert_eq!(set.to_bitmap()[0], 0b1000_0111);
    }
}
