//! Algebra on slot sets, a word at a time.

use tessera_slot::{SLOT_COUNT, Slot, SlotRange, SlotSet};

/// The slots of a node, and beside them their ranges: those are asked for far more often than the
/// slots change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OwnedSlots {
    set: Box<SlotSet>,
    ranges: Vec<SlotRange>,
    count: usize,
}

impl OwnedSlots {
    pub(crate) fn none() -> OwnedSlots {
        OwnedSlots { set: Box::new(SlotSet::EMPTY), ranges: Vec::new(), count: 0 }
    }

    pub(crate) fn replace(&mut self, set: SlotSet) {
        if *self.set == set {
            return;
        }
        self.ranges = ranges(&set);
        self.count = self.ranges.iter().map(|range| range.count()).sum();
        *self.set = set;
    }

    pub(crate) fn set(&self) -> &SlotSet {
        &self.set
    }

    pub(crate) fn ranges(&self) -> &[SlotRange] {
        &self.ranges
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.set.contains(slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn combine(a: &SlotSet, b: &SlotSet, with: impl Fn(u64, u64) -> u64) -> SlotSet {
    let (mut result, other) = (a.to_bitmap(), b.to_bitmap());
    for (ours, theirs) in result.chunks_exact_mut(8).zip(other.chunks_exact(8)) {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
        let combined = with(word(ours), word(theirs));
        ours.copy_from_slice(&combined.to_le_bytes());
    }
    SlotSet::from_bitmap(&result)
}

/// The slots in either set.
pub(crate) fn union(a: &SlotSet, b: &SlotSet) -> SlotSet {
    combine(a, b, |a, b| a | b)
}

/// The slots of `a` that are not in `b`.
pub(crate) fn minus(a: &SlotSet, b: &SlotSet) -> SlotSet {
    combine(a, b, |a, b| a & !b)
}

/// The slots in both sets.
pub(crate) fn common(a: &SlotSet, b: &SlotSet) -> SlotSet {
    combine(a, b, |a, b| a & b)
}

/// The slots as maximal ranges in ascending order.
fn ranges(set: &SlotSet) -> Vec<SlotRange> {
    let bitmap = set.to_bitmap();
    let mut ranges = Vec::new();
    let mut next = 0;
    while let Some(start) = find(&bitmap, next, true) {
        let end = find(&bitmap, start, false).unwrap_or(SLOT_COUNT);
        let slot = |index: usize| Slot::from_low_bits(index as u16);
        ranges.push(SlotRange { start: slot(start), end: slot(end - 1) });
        next = end;
    }
    ranges
}

/// The first bit from `from` on that is `wanted`.
fn find(bitmap: &[u8], from: usize, wanted: bool) -> Option<usize> {
    let flip = if wanted { 0 } else { u64::MAX };
    for (index, bytes) in bitmap.chunks_exact(8).enumerate().skip(from / 64) {
        let word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight")) ^ flip;
        let skipped = if index == from / 64 { from % 64 } else { 0 };
        let word = word & (u64::MAX << skipped);
        if word != 0 {
            return Some(index * 64 + word.trailing_zeros() as usize);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sets() -> impl Strategy<Value = SlotSet> {
        proptest::collection::vec((0u16..16_384, 0u16..200), 0..20).prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(start, length)| start..start.saturating_add(length).min(16_384))
                .map(Slot::from_low_bits)
                .collect()
        })
    }

    proptest! {
        #[test]
        fn ranges_are_those_of_the_set(set in sets()) {
            prop_assert_eq!(ranges(&set), set.ranges().collect::<Vec<_>>());
        }

        #[test]
        fn algebra_slot_by_slot(a in sets(), b in sets()) {
            let (either, only_a, both) = (union(&a, &b), minus(&a, &b), common(&a, &b));
            for slot in Slot::all() {
                let (in_a, in_b) = (a.contains(slot), b.contains(slot));
                prop_assert_eq!(either.contains(slot), in_a || in_b);
                prop_assert_eq!(only_a.contains(slot), in_a && !in_b);
                prop_assert_eq!(both.contains(slot), in_a && in_b);
            }
        }
    }

    #[test]
    fn ranges_at_the_ends() {
        assert!(ranges(&SlotSet::EMPTY).is_empty());
        assert_eq!(ranges(&SlotSet::FULL), [SlotRange { start: Slot::MIN, end: Slot::MAX }]);
    }
}
