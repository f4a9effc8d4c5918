//! The hash.

use crate::collection::{Collection, Kind};
use crate::listpack::Listpack;
use std::ptr::NonNull;

/// A hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    /// Few small elements.
    Packed(Listpack),
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for Hash {
    const KIND: Kind = Kind::Hash;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            Hash::Packed(listpack) => (PACKED, listpack.into_raw()),
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Hash {
        debug_assert_eq!(form, PACKED);
        // SAFETY: by the caller's promise.
        unsafe { Hash::Packed(Listpack::from_raw(pointer)) }
    }

    fn len(&self) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.len(),
        }
    }

    fn memory(&self, _: usize) -> usize {
        match self {
            Hash::Packed(listpack) => listpack.memory(),
        }
    }

    fn free_effort(&self) -> usize {
        1
    }

    fn encoding(&self) -> &'static str {
        "listpack"
    }
}
