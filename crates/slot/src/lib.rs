//! Hash slots and the identifiers that every other crate shares.
//!
//! Here are CRC16 and hash tags ([`Slot::of_key`]), sets and ranges of slots ([`SlotSet`],
//! [`SlotRange`]), a node's rights on a slot ([`SlotState`]), and the small newtypes that keep
//! unlike numbers apart ([`NodeId`], [`Epoch`], [`Offset`], [`Millis`]).
//!
//! Deliberately not here: keys, tables, clocks, sockets. This crate has no dependencies.

mod crc16;
mod ids;
mod set;
mod state;

pub use crc16::crc16;
use crc16::hash_tag;
pub use ids::{Epoch, Millis, NodeId, Offset, ParseNodeIdError};
pub use set::{SlotRange, SlotSet};
pub use state::SlotState;

/// The number of hash slots of a cluster (Redis Cluster specification, "Key distribution model").
pub const SLOT_COUNT: usize = 16_384;

/// One of the 16,384 hash slots. Always below [`SLOT_COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    /// The first slot.
    pub const MIN: Slot = Slot(0);
    /// The last slot.
    pub const MAX: Slot = Slot(SLOT_COUNT as u16 - 1);

    /// The slot with this number, or `None` from 16,384 on.
    #[inline]
    pub const fn new(number: u16) -> Option<Slot> {
        if (number as usize) < SLOT_COUNT { Some(Slot(number)) } else { None }
    }

    /// The slot chosen by the low 14 bits of `bits`; the rest is ignored.
    #[inline]
    pub const fn from_low_bits(bits: u16) -> Slot {
        Slot(bits & (SLOT_COUNT as u16 - 1))
    }

    /// The slot of a key: CRC16 of its hash tag, modulo 16,384.
    #[inline]
    pub fn of_key(key: &[u8]) -> Slot {
        Slot::from_low_bits(crc16(hash_tag(key)))
    }

    /// The slot's number.
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The slot's number, as an index into an array of [`SLOT_COUNT`] elements.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All slots in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Slot> + ExactSizeIterator {
        (0..SLOT_COUNT as u16).map(Slot)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_well_known_keys() {
        // Values that redis-cli prints for CLUSTER KEYSLOT.
        for (key, slot) in [("mykey", 14687), ("foo", 12182), ("bar", 5061), ("", 0)] {
            assert_eq!(Slot::of_key(key.as_bytes()).number(), slot, "{key}");
        }
        assert_eq!(Slot::of_key(b"{foo}.x"), Slot::of_key(b"foo"));
    }

    #[test]
    fn a_slot_number_is_below_the_count() {
        assert_eq!(Slot::new(16_383), Some(Slot::MAX));
        assert_eq!(Slot::new(16_384), None);
        assert_eq!(Slot::from_low_bits(16_384), Slot::MIN);
        assert_eq!(Slot::all().len(), SLOT_COUNT);
    }
}
