//! The sorted set.

use crate::collection::{Collection, Kind};
use crate::listpack::Listpack;
use std::ptr::NonNull;

/// A sorted set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortedSet {
    /// Few small elements.
    Packed(Listpack),
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for SortedSet {
    const KIND: Kind = Kind::SortedSet;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            SortedSet::Packed(listpack) => (PACKED, listpack.into_raw()),
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> SortedSet {
        debug_assert_eq!(form, PACKED);
        // SAFETY: by the caller's promise.
        unsafe { SortedSet::Packed(Listpack::from_raw(pointer)) }
    }

    fn len(&self) -> usize {
        match self {
            SortedSet::Packed(listpack) => listpack.len(),
        }
    }

    fn memory(&self, _: usize) -> usize {
        match self {
            SortedSet::Packed(listpack) => listpack.memory(),
        }
    }

    fn free_effort(&self) -> usize {
        1
    }

    fn encoding(&self) -> &'static str {
        "listpack"
    }
}
